"""The most probable variance parameters: ``model.fit("map")``, type-II maximum a posteriori.

    (θ, σ, ψ) maximise  p(θ, σ, ψ) ∫ p(y | β, u, θ, σ, ψ) p(u) p(β) du dβ,      then  E(β, u | θ, σ, ψ, y)

Group effects are integrated out, exactly for linear models and by Laplace's approximation for others. Coefficients are
too in linear models (a prior of theirs that is not normal by the normal one that matches it); elsewhere they are
maximised over. The density is one of standard deviations, correlations and σ themselves: with flat priors this is
REML or Laplace. A standard deviation may be zero at the mode; with ``boundary_avoiding=True`` its prior is multiplied
by sd, the limit of gamma(2, λ) as λ → 0, which keeps it off zero by about one standard error (Chung et al.).

Intervals come from a normal approximation of the posterior in coordinates without bounds, around its mode there:
quick, symmetric in log sd, and as good as that. Few groups need draws from the posterior itself.

References: Chung, Rabe-Hesketh, Dorie, Gelman & Liu (2013), Psychometrika 78, 685-709; MacKay (1996), *Hyperparameters:
optimize, or integrate out?*, in Maximum Entropy and Bayesian Methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.completed import Completed
from ..core.natural import Natural
from ..errors import ConvergenceError, ConvergenceWarning, SettingError, printable
from ..fit.estimates import Estimates
from ..fit.prior_conflict import prior_warnings
from ..fit.sample import Sample
from .bayesian import Bayesian
from .collapsed import _target, sample_of

if TYPE_CHECKING:
    from ..model.model import Model

NEAR_ZERO = 0.2  # times the standard deviation at the mode of its logarithm: below, zero itself is tried
ZERO = np.log(1e-6)  # what stands for it
CLOSE = 1e-4  # decrement that counts as the mode
LEVEL = 1e-6  # by how much the density may fall on the way to zero


@dataclass(frozen=True)
class MAP(Bayesian):
    """Settings: `boundary_avoiding` keeps standard deviations off zero; `draws`, `chains`, `seed` of the intervals."""

    tune: int = 0
    boundary_avoiding: bool = False

    def check(self, model: Model) -> None:
        super().check(model)
        poles = [item for item in model.priors.linear if item.prior.shared is not None]
        if poles:
            raise SettingError(
                f"there is no mode: the prior {poles[0].prior} of {printable(poles[0].name)} is infinite at zero",
                code="E_PRIOR",
                hint='Draw from the posterior with "collapsed" or "gibbs", or use a normal or Laplace prior.',
            )

    def sample(self, model: Model) -> Sample:
        """Draws from the normal approximation."""
        return self._approximate(_target(model))[0]

    def estimate(self, model: Model) -> Estimates:
        from ..fit.sampled import estimates_of
        from .propriety import check_propriety

        check_propriety(model)
        target = _target(model)
        with np.errstate(all="ignore"):
            sample, centre = self._approximate(target)
            found = self._mode(target, centre)
            at = _conditional(model, target, found.z)
        if not found.close:
            raise _not_found(found)
        return _moved(model, estimates_of(model, sample, prior_warnings(model)), at, target, found)

    def _approximate(self, target: Any) -> tuple[Sample, np.ndarray]:
        """Draws from the normal approximation, and its centre."""
        from ..samplers.mode import find_mode

        centre, _, curvature = find_mode(target)
        seeds = np.random.SeedSequence(self.seed).spawn(2)
        n = self.draws * self.chains
        noise = np.random.default_rng(seeds[0]).standard_normal((n, target.d))
        root = np.linalg.cholesky(curvature)
        z = centre + np.linalg.solve(root.T, noise.T).T
        completed = target.complete(z, np.random.default_rng(seeds[1]))
        info = {
            "sampler": "a normal approximation at the posterior's mode", "exact": False, "tune": 0, "seed": self.seed,
        }  # fmt: skip
        shape = (self.chains, self.draws)
        log_prior = target.coordinates.log_prior(z)[0].reshape(shape)
        density = target.log_density(z).reshape(shape)
        return sample_of(target, z.reshape(*shape, -1), completed, density, log_prior, {}, info), centre

    def _mode(self, target: Any, start: np.ndarray) -> Mode:
        """The mode of the natural parameters; standard deviations far below their usual size are tried at zero."""
        from ..samplers.mode import find_mode

        whole = not self.boundary_avoiding
        density = Natural(target, whole)
        z, value, curvature = find_mode(density, start)
        zeros: list[int] = []
        places = [part.start + j for b, part in zip(*_blocks(target), strict=True) for j in range(b.n_sds)]
        for j in sorted(places, key=lambda j: z[j] - start[j]):
            if not whole or z[j] - start[j] > np.log(NEAR_ZERO):
                break
            held = z.copy()
            held[j] = start[j] + ZERO
            reduced = Natural(target, whole, (*zeros, j)).at(held)
            free, reached, bent = find_mode(reduced, held[reduced.free])
            if reached >= value - LEVEL:
                zeros.append(j)
                density, z, value, curvature = reduced, reduced.full(free), reached, bent
        slope = density.gradient(z[density.free])[1]
        return Mode(z, tuple(zeros), value, float(slope @ np.linalg.solve(curvature, slope)))


@dataclass(frozen=True)
class Mode:
    """Coordinates, which of them are standard deviations of zero, the log density, and the decrement that is left."""

    z: np.ndarray
    zeros: tuple[int, ...]
    value: float
    decrement: float

    @property
    def close(self) -> bool:
        """Whether another step would move nothing by more than a hundredth of its standard error."""
        return self.decrement < CLOSE


def _not_found(found: Mode) -> ConvergenceError:
    return ConvergenceError(
        f"the mode was not found: the search ended {found.decrement**0.5:.2g} standard errors away from one",
        hint='Give proper priors to what is flat, rescale predictors, or draw from the posterior with "nuts".',
    )


def _blocks(target: Any) -> tuple[Any, Any]:
    return target.coordinates.blocks, target.coordinates.parts


class _Still(np.random.Generator):
    """Noise of zero: a draw from a normal distribution then is its mean."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def standard_normal(self, size: Any = None, *_: Any, **__: Any) -> Any:
        return np.zeros(() if size is None else size)


def _conditional(model: Model, target: Any, z: np.ndarray) -> Completed:
    """Coefficients and effects given z: their mean in a linear model, the effects' mode in others."""
    if model.is_linear:
        found: Completed = target.complete(z[None], _Still())
        return found
    at, rows = target.coordinates, model.rows
    factors = at.factors(z[None])
    state = target.evaluate(target.phi(z[None])[0])
    effects: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    u = target.criterion.by_factor(state.mode.u) if model.scales else []
    for f, factor in enumerate(rows.factors):
        for t, a, b in factor.terms:
            effects[t] = (u[f][:, a:b] @ (rows.to_effects[t] @ state.lam[f][a:b, a:b]).T)[None]
    beta = at.beta(z[None])
    beta[:, [j for j, _ in rows.dropped]] = np.nan
    covariances = tuple(x @ x.transpose(0, 2, 1) for x in factors)
    return Completed(beta, None, covariances, tuple(effects), at.natural(z[None]))


def _kept(target: Any, zeros: tuple[int, ...]) -> list[np.ndarray]:
    """Per term, which coefficients (k,) have a standard deviation that is not zero."""
    out = []
    for block, part in zip(*_blocks(target), strict=True):
        kept = np.array([part.start + j not in zeros for j in range(block.n_sds)])
        out.append(np.broadcast_to(kept, block.k).astype(float))
    return out


def _moved(model: Model, estimates: Estimates, at: Completed, target: Any, found: Mode) -> Estimates:
    """The estimates at the mode, the draws as their certainty."""
    kept = _kept(target, found.zeros)
    covariances = tuple(c[0] * np.outer(k, k) for c, k in zip(at.covariances, kept, strict=True))
    sds = [np.sqrt(np.diag(c)).tolist() for c in covariances]
    singular = [g.label for g, k in zip(model.design.groups, kept, strict=True) if not k.all()]
    return replace(
        estimates,
        boundary=tuple(dict.fromkeys(singular)),
        beta=at.beta[0],
        sigma=None if at.sigma is None else float(at.sigma[0]),
        covariances=covariances,
        effects=tuple(b[0] * k for b, k in zip(at.effects, kept, strict=True)),
        objective=-found.value,
        converged=True,  # the draws are independent: how they mix is nothing to be warned of
        warnings=tuple(w for w in estimates.warnings if not isinstance(w, ConvergenceWarning)),
        notes={**estimates.notes, "method": "maximum a posteriori", "sds": sds},
        dispersion={name: float(v[0]) for name, v in at.constants.items()},
    )


MEMBER = MAP
