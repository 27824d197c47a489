"""The No-U-Turn sampler, for every model and family.

    linear models        (θ, σ), and β where a prior of its is not normal, with what can be integrated integrated out
    all others           parameters, coefficients and group effects together, in coordinates near to white noise

Linear models have few coordinates left then, and their effects are drawn exactly. The coordinates of the others follow
a quadratic approximation of the likelihood at the mode (`core/joint.py`), which takes the funnels out of hierarchies;
the draws are from the posterior itself.

References: Hoffman & Gelman (2014), JMLR 15, 1593-1623; Betancourt (2017), arXiv:1701.02434; `docs/bayes.md`, "NUTS".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.completed import Completed
from ..errors import SettingError, printable
from ..fit.sample import Sample
from .bayesian import Bayesian
from .collapsed import sample_of

if TYPE_CHECKING:
    from ..core.joint import JointPosterior
    from ..model.model import Model
    from ..samplers.nuts import Chains

LATENT = ("auto", "joint", "marginal")
MOST_ROWS = 20_000  # of a linear model with several factors whose effects are among the coordinates


@dataclass(frozen=True)
class Nuts(Bayesian):
    """Draws by the No-U-Turn sampler.

    log p(θ, c, u | y) = Σ ℓ_i(η_i) − ½ u'u + log p(θ, c) + constant

    Parameters
    ----------
    draws, tune, chains, seed : int
        As for every Bayesian estimator. The draws of a seed are the same on any number of cores.
    cores : int, optional
        Processes at most, by default as many as there are cores; one where processes cannot be forked.
    target_accept : float
        Between 0 and 1: acceptance that the step size is adapted to. Larger values mean shorter steps: the remedy for
        divergences.
    max_depth : int
        A trajectory has at most 2^max_depth − 1 steps.
    latent : {"auto", "joint", "marginal"}
        Group effects as coordinates, or integrated out: exactly in linear models, elsewhere by Laplace's approximation,
        with the draws weighted afterwards so that they are exact if k̂ is below 0.7. "auto" integrates them out of
        linear models but those with several grouping factors and up to 20,000 rows, or with shrinkage priors.
    progress : bool
        Whether a terminal shows how far the chains are.

    Returns
    -------
    A fit whose `fit.estimates.certainty.sample` holds the draws; its `stats` say where trajectories diverged.

    Raises
    ------
    SettingError
        For settings out of range, and for ``latent="joint"`` in linear models with known standard errors.
    FitInterrupted
        Ctrl-C before the first draw; afterwards the fit has the draws made so far, and its info says "partial".
    WorkerDiedError
        When the processes of all chains were killed.

    Notes
    -----
    Divergences mean that a part of the posterior was missed. Where the data hardly identify a parameter, its prior
    decides: look at `fit.prior_sensitivity()`.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("nuts", chains=2, seed=1)
    >>> fit.estimates.certainty.sample.stats["divergent"].shape
    (2, 1000)

    References
    ----------
    Hoffman & Gelman (2014), JMLR 15, 1593-1623; Betancourt (2017), arXiv:1701.02434.
    """

    cores: int | None = None
    target_accept: float = 0.9
    max_depth: int = 10
    latent: str = "auto"
    progress: bool = True

    def check(self, model: Model) -> None:
        super().check(model)
        if self.latent not in LATENT:
            raise SettingError(f"latent={printable(repr(self.latent))} is unknown", hint=f"Use one of {LATENT}.")
        if not 0.0 < self.target_accept < 1.0:
            raise SettingError(f"target_accept={self.target_accept} is not between 0 and 1", hint="Try 0.95.")
        for name, value in (("max_depth", self.max_depth), ("cores", self.cores)):
            if value is not None and (not isinstance(value, int | np.integer) or value < 1):
                raise SettingError(f"{name}={printable(repr(value))} is not a whole number of at least 1")
        if model.is_linear and model.design.known_se is not None and self.latent == "joint":
            raise SettingError('latent="joint" needs a residual variance to estimate', hint='Use latent="marginal".')

    def sample(self, model: Model) -> Sample:
        if self.latent == "marginal" or (self.latent == "auto" and model.is_linear and not _better_joint(model)):
            return self._collapsed(model) if model.is_linear else self._weighted(model)
        return self.joint(model)

    def _run(self, target: Any, starts: np.ndarray, metric: np.ndarray | None = None) -> Chains:
        from ..samplers.nuts import sample

        return sample(
            target, draws=self.draws, tune=self.tune, chains=self.chains, seed=self.seed, starts=starts,
            cores=self.cores, progress=self.progress, target_accept=self.target_accept, max_depth=self.max_depth,
            metric=metric,
        )  # fmt: skip

    @property
    def _rng(self) -> np.random.Generator:
        """For starts and completions; apart from those of the chains."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, 1]))

    def joint(self, model: Model, target: JointPosterior | None = None) -> Sample:
        """Draws of everything together; `target` where it is at hand."""
        from ..core.joint_shrinkage import joint_posterior

        target = joint_posterior(model) if target is None else target
        rng = self._rng
        chains = self._run(target, target.starts(self.chains, rng))
        flat = chains.flat
        z = target.points(flat)[:, : target.reported.d]
        info = {**chains.info, "sampler": "NUTS", "exact": True}
        return _sample(target, chains, z, target.complete(flat), info)

    def _collapsed(self, model: Model) -> Sample:
        from ..core.collapsed import CollapsedPosterior

        target = CollapsedPosterior(model)
        if not target.exact:
            target = CollapsedPosterior(model, coefficients=True)
        rng = self._rng
        chains = self._run(target, *_around_the_mode(target, self.chains, rng))
        info = {**chains.info, "sampler": "NUTS, group effects integrated out", "exact": True}
        return _sample(target, chains, chains.flat, target.complete(chains.flat, rng), info)

    def _weighted(self, model: Model) -> Sample:
        """Laplace's marginal posterior, its draws taken in proportion to the weights that make them exact."""
        from ..core.marginal import LaplacePosterior
        from ..numerics.psis import psis, threshold
        from ..samplers.importance import systematic

        target = LaplacePosterior(model)
        rng = self._rng
        chains = self._run(target, *_around_the_mode(target, self.chains, rng))
        flat = chains.flat
        target.settle(flat.mean(axis=0))
        completed = target.complete(flat, rng)
        smooth = psis(completed.log_weights)
        khat, exact = float(smooth.khat[0]), False
        log_density = chains.log_density.ravel()
        if khat < threshold(len(flat)):
            # within chains, in their order: their autocorrelation stays visible
            kept = systematic(smooth.log_weights, len(flat), rng)
            flat, completed, log_density = flat[kept], completed.take(kept), log_density[kept]
            log_density, exact = log_density + completed.log_weights, True
        info = {
            **chains.info, "sampler": "NUTS, group effects integrated out by Laplace's approximation", "exact": exact,
            "khat": khat, "ess": float(smooth.ess[0]),
        }  # fmt: skip
        return _sample(target, chains, flat, completed, info, log_density)


def _better_joint(model: Model) -> bool:
    """Whether a linear model's effects are better among the coordinates.

    So it is with the local scales of shrinkage priors, and with several factors, where each point would take a
    factorisation, as long as passes over the rows are cheap.
    """
    from ..core.joint_shrinkage import shrinks

    if model.design.known_se is not None:
        return False
    return shrinks(model) or (len(model.rows.factors) > 1 and model.rows.n <= MOST_ROWS)


def _around_the_mode(target: Any, chains: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Starts drawn from the normal approximation at the mode, its tails cut, and its covariance."""
    from ..samplers.mode import find_mode

    mode, _, curvature = find_mode(target)
    covariance = np.linalg.inv(curvature)
    noise = np.clip(rng.standard_normal((chains, target.d)), -2.0, 2.0)
    return mode + noise @ np.linalg.cholesky(covariance).T, covariance


def _sample(
    target: Any, chains: Chains, z: np.ndarray, completed: Completed, info: dict[str, Any],
    log_density: np.ndarray | None = None,
) -> Sample:  # fmt: skip
    shape = chains.z.shape[:2]
    at = getattr(target, "reported", target.coordinates)
    log_prior = at.log_prior(z)[0].reshape(shape)
    log_posterior = chains.log_density if log_density is None else log_density.reshape(shape)
    return sample_of(target, z.reshape(*shape, -1), completed, log_posterior, log_prior, dict(chains.stats), info)


MEMBER = Nuts
