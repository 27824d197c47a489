"""Gibbs sampling.

    linear models               coefficients and effects in one block, conjugate or single steps for variances
    crossed intercepts, large   factor by factor with the coefficients integrated out: no factorisation
    binomial (logit), negative binomial (log)    the same after Pólya–Gamma augmentation

The posterior is the one that every other estimator samples, with the priors of `model.priors`: Gibbs is the independent
check of gradients and importance weights, and what the textbooks describe. Autocorrelation is higher than with
``"nuts"`` or ``"collapsed"``, which are the better choice for results.

References: Gelfand & Smith (1990), JASA 85, 398-409; Papaspiliopoulos, Roberts & Zanella (2020), Biometrika 107;
Polson, Scott & Windle (2013), JASA 108; Yu & Meng (2011), JCGS 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, printable
from ..fit.sample import Sample
from .bayesian import Bayesian

if TYPE_CHECKING:
    from ..model.model import Model
    from ..samplers.gibbs_system import System

BLOCKS = ("auto", "joint", "factors")
DEAR = 3e8  # arithmetic of one factorisation from which the factors are taken one after the other
CONJUGATE = {"bernoulli": "logit", "binomial": "logit", "negative_binomial": "log"}


@dataclass(frozen=True)
class Gibbs(Bayesian):
    """Draws by Gibbs sampling.

    Parameters
    ----------
    draws, tune, chains, seed : int
        As for every Bayesian estimator; the steps of non-conjugate coordinates learn their scales while tuning.
    thin : int or "auto"
        Sweeps for each draw kept. "auto" takes as many as the warm-up's autocorrelation says are needed for about
        250 effective draws a chain (or half of them all) of each standard deviation, correlation and constant, 16 at
        most; `fit.sample.info["thin"]` tells.
    blocks : {"auto", "joint", "factors"}
        Of linear models: all coefficients and effects in one block, or one grouping factor after the other with the
        coefficients drawn anew with each. "auto" takes the second where a factorisation is dear (large crossed
        designs).

    Raises
    ------
    SettingError
        `E_NOT_CONJUGATE` for models without conjugate blocks: use ``"nuts"``.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("gibbs", draws=200, tune=100, chains=2)
    >>> fit.estimates.certainty.sample.beta.shape
    (2, 200, 1)
    """

    thin: int | str = "auto"
    blocks: str = "auto"

    def check(self, model: Model) -> None:
        super().check(model)
        if self.thin != "auto" and (not isinstance(self.thin, int | np.integer) or self.thin < 1):
            raise SettingError(
                f"thin={printable(repr(self.thin))} is not a whole number of at least 1",
                hint='Use "auto", which lets the warm-up decide.',
            )
        if self.blocks not in BLOCKS:
            raise SettingError(f'blocks="{printable(self.blocks)}" is unknown', hint=f"Use {', '.join(BLOCKS)}.")
        if not model.is_linear:
            require_conjugate(model)

    def sample(self, model: Model) -> Sample:
        """Draws of everything; interrupted runs keep what they have."""
        from ..samplers import gibbs as sampler
        from .progress import ticker

        system = system_of(model, self.blocks)
        run = sampler.Gibbs(system, model)
        with ticker("gibbs") as show:
            kept, partial = run.run(
                self.draws, self.tune, self.chains, self.seed, self.thin, lambda done: show(done, float("nan"))
            )
        kept.cut()
        z = sampler.coordinates_of(kept, system.coordinates)
        flat = z.reshape(-1, z.shape[2])
        prior = system.coordinates.log_prior(flat)[0].reshape(z.shape[:2])
        likelihood = log_likelihood(model, system, kept, flat).reshape(z.shape[:2])
        info = {
            "sampler": words(system), "exact": True, "tune": self.tune, "seed": self.seed, "partial": partial,
            "thin": kept.thin,
        }  # fmt: skip
        return sampler.sample_of(model, kept, system.coordinates, likelihood + prior, prior, z, info)


def require_conjugate(model: Model) -> None:
    """Refuse a generalized model that no augmentation makes normal.

    Raises
    ------
    SettingError
        E_NOT_CONJUGATE.
    """
    reason = ""
    observations, layout = model.observations, model.design.layout
    if CONJUGATE.get(model.family) != model.link:
        reason = f'the family "{model.family}" with the {model.link} link'
    elif len(layout.names) > 1 and any(
        name != "mu" and not any(name == constant for constant, _, _ in model.rows.constants) for name in layout.names
    ):
        reason = "a formula for a parameter beside the mean"
    elif observations.censored is not None or observations.bounds is not None:
        reason = "a censored or truncated response"
    if reason:
        raise SettingError(
            f"no conjugate blocks for {reason}",
            code="E_NOT_CONJUGATE",
            hint='Use estimator="nuts", which samples every model.',
        )


def system_of(model: Model, blocks: str = "auto") -> System:
    """The blocks that serve a model."""
    if not model.is_linear:
        from ..samplers.gibbs_logit import LogitSystem

        return LogitSystem(model)
    from ..samplers.gibbs_factors import FactorSystem
    from ..samplers.gibbs_linear import LinearSystem

    if blocks == "factors":
        return FactorSystem(model)
    joint = LinearSystem(model)
    return FactorSystem(model) if blocks == "auto" and joint.elimination.operations > DEAR else joint


def words(system: System) -> str:
    """What is told of the sampler in the summary."""
    from ..samplers.gibbs_factors import FactorSystem
    from ..samplers.gibbs_linear import LinearSystem

    if isinstance(system, FactorSystem):
        return "Gibbs sampling, factor by factor with the coefficients integrated out"
    if isinstance(system, LinearSystem):
        return "Gibbs sampling, coefficients and effects in one block"
    return "Gibbs sampling with Pólya-Gamma augmentation"


def log_likelihood(model: Model, system: System, kept: Any, z: np.ndarray) -> np.ndarray:
    """log p(y | z) with the effects integrated out where a factorisation is cheap; with log p(b | Σ) otherwise."""
    from ..samplers.gibbs_densities import given_effects

    if model.is_linear and getattr(system, "elimination").operations <= DEAR:  # noqa: B009
        from ..core.collapsed import CollapsedPosterior

        target = CollapsedPosterior(model, coefficients=True)
        return target.log_density(z) - system.coordinates.log_prior(z)[0]
    return given_effects(model, system, kept)


MEMBER = Gibbs
