"""The exact posterior: what can be integrated is, the rest is drawn by importance sampling or by NUTS.

    p(θ, σ | y) ∝ p(θ, σ) ∫∫ p(y | β, u, θ, σ) p(β) du dβ,      then  (β, b) | θ, σ, y  exactly

Linear models lose group effects and coefficients that way; generalized ones the group effects, by Laplace's
approximation with weights that undo it. The few parameters left are drawn with even points, certified by the Pareto
shape k̂ of their weights.

Reference: `docs/bayes.md`, "Collapsed".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.collapsed import CollapsedPosterior
from ..core.completed import Completed, LateEffects
from ..fit.sample import Sample
from .bayesian import Bayesian

if TYPE_CHECKING:
    from ..model.model import Model
    from ..samplers.importance import Drawn, Weighted

MOST_COORDINATES = 20  # beyond which importance sampling is not tried
TRUSTED = 0.7  # k̂ up to which its draws are
FEWEST, ENOUGH, MOST_POINTS = 2048, 4096, 2**16
CHEAP = 2e-5  # seconds of an evaluation up to which twice as many points are made as are drawn
PATIENCE = 5.0  # seconds that evaluating points may take, roughly


@dataclass(frozen=True)
class Collapsed(Bayesian):
    """Independent draws from the posterior, with a certificate.

        p(θ, σ | y) ∝ p(θ, σ) ∫∫ p(y | β, u, θ, σ) p(β) du dβ

    Parameters
    ----------
    draws, chains, seed : int
        ``draws * chains`` independent draws, dealt to chains as diagnostics expect them.
    tune : int
        Counts only where NUTS has to step in.

    Returns
    -------
    A fit whose `fit.estimates.certainty.sample` holds the draws. Its `info` says what drew them ("sampler"), the Pareto
    shape of the weights ("khat"), what they are worth ("ess"), and log p(y) where all priors are proper
    ("log_evidence").

    Raises
    ------
    SettingError
        For settings out of range.
    MemoryNeededError
        When all draws of all group effects do not fit into memory.

    Notes
    -----
    NUTS draws the parameters where k̂ is above 0.7, or more than 20 of them are left. With few groups the prior of a
    standard deviation decides: look at `fit.prior_sensitivity()`.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("collapsed", draws=250)
    >>> fit.estimates.certainty.sample.info["exact"]
    True

    References
    ----------
    Geweke (1989), Econometrica 57; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
    """

    def late(self, model: Model) -> bool:
        from ..core.marginal import many_levels

        return not model.is_linear and many_levels(model) and coordinates_of(model) <= MOST_COORDINATES

    def sample(self, model: Model) -> Sample:
        target = _target(model)
        if target.d <= MOST_COORDINATES:
            from ..samplers.importance import draw

            wanted = self.draws * self.chains
            points = _by_nodes(model, target, self.seed)
            drawn = draw(target, wanted, self.seed, *_points(target), points=points)
            if drawn.khat <= TRUSTED:
                found = self._independent(target, drawn)
                return found if points is None else replace(found, info={**found.info, **late_facts(target, points)})
            return self._chained(model, drawn.khat)
        return self._chained(model, None)

    def _independent(self, target: Any, drawn: Drawn) -> Sample:
        info = {
            "sampler": f"importance sampling from {drawn.points} points",
            "exact": True, "khat": drawn.khat, "ess": drawn.ess, "ess_tail": drawn.ess_tail,
            "log_evidence": drawn.log_evidence, "tune": 0, "seed": self.seed,
        }  # fmt: skip
        shape = (self.chains, self.draws)
        log_prior = target.coordinates.log_prior(drawn.z)[0]
        return sample_of(
            target, drawn.z.reshape(*shape, -1), drawn.completed, drawn.log_density.reshape(shape),
            log_prior.reshape(shape), {}, info,
        )  # fmt: skip

    def _chained(self, model: Model, khat: float | None) -> Sample:
        """Markov chains instead, and why."""
        from .nuts import Nuts

        sample = Nuts(draws=self.draws, tune=self.tune, chains=self.chains, seed=self.seed).sample(model)
        why = "many parameters" if khat is None else f"importance sampling had k-hat {khat:.1f}"
        info = {**sample.info, "sampler": f"{sample.info['sampler']} ({why})"}
        return replace(sample, info=info)


def sample_of(
    target: Any, z: np.ndarray, completed: Completed, log_posterior: np.ndarray, log_prior: np.ndarray,
    stats: dict[str, np.ndarray], info: dict[str, Any],
) -> Sample:  # fmt: skip
    """Draws by chain: z (C, S, d), and what was completed for each, one chain after another."""
    shape, effects = z.shape[:2], completed.effects

    def dealt(a: np.ndarray) -> np.ndarray:
        return a.reshape(*shape, *a.shape[1:])

    return Sample(
        beta=dealt(completed.beta),
        covariances=tuple(dealt(c) for c in completed.covariances),
        effects=effects.shaped(shape) if isinstance(effects, LateEffects) else tuple(dealt(e) for e in effects),
        sigma=None if completed.sigma is None else dealt(completed.sigma),
        constants={name: dealt(v) for name, v in completed.constants.items()},
        z=z,
        names=getattr(target, "reported", target.coordinates).names,
        log_posterior=log_posterior,
        log_prior=log_prior,
        stats=stats,
        info=info,
    )


def late_facts(target: Any, points: Weighted) -> dict[str, Any]:
    """What `info` says besides of a posterior whose levels were integrated by quadrature."""
    if not target.exact:
        return {}
    found = {"effects": target.draws.words, "quadrature_error": target.quadrature_error}
    return found if points.surface_error is None else {**found, "surface_error": points.surface_error}


def coordinates_of(model: Model) -> int:
    """Parameters of a generalized model that are left when its effects are integrated out."""
    return int(model.rows.n_coefficients) + sum(len(scale.kinds()) for scale in model.scales)


def _target(model: Model) -> Any:
    if model.is_linear:
        return CollapsedPosterior(model)
    from ..core.marginal import marginal_posterior

    return marginal_posterior(model)


def _by_nodes(model: Model, target: Any, seed: int) -> Weighted | None:
    """Points of a generalized model, whose coefficients are nearly normal given the rest: those of nested Laplace."""
    if model.is_linear:
        return None
    from ..samplers.nested import nested_points

    least, most, _ = _points(target)
    return nested_points(target, min(2 * least, most), np.random.default_rng([seed, target.d]))[0]


def _points(target: Any) -> tuple[int, int, float]:
    """Fewest and most points, and how many for each draw: what some seconds evaluate, by sizes alone."""
    seconds = float(target.seconds)
    most = int(np.clip(PATIENCE / seconds, FEWEST, MOST_POINTS))
    return min(ENOUGH, most), most, 2.0 if seconds < CHEAP else 1.0


MEMBER = Collapsed
