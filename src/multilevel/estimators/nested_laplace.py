"""Nested Laplace: the posterior by integrals instead of chains, and exact where its own check says so.

    p(τ | y) ≈ p(ĉ, τ | y) (2π)^(p/2) |H_c(τ)|^(-1/2),   group effects integrated by Laplace inside     (as INLA)

Standard deviations, correlations and dispersions (τ) are integrated over nodes; coefficients and group effects are
drawn given them. The draws carry weights that undo the approximations: the true integral over the effects of every
group, estimated without bias, over Laplace's. Where the Pareto shape k̂ of these weights is below 0.7, weighted draws
are draws from the posterior itself; elsewhere the unweighted ones are given, and called approximate.

References: Rue, Martino & Chopin (2009), JRSS B 71; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72);
`docs/bayes.md`, "Nested Laplace".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.completed import Completed
from ..core.marginal import LaplacePosterior, many_levels, marginal_posterior
from ..errors import SettingError, printable
from ..fit.sample import Sample
from ..numerics.psis import psis
from .bayesian import Bayesian
from .collapsed import late_facts, sample_of

if TYPE_CHECKING:
    from ..model.model import Model
    from ..samplers.importance import Weighted

TRUSTED = 0.7  # k̂ up to which weighted draws count as exact
COARSE = 0.1  # posterior standard deviations by which the integrals' error may move a parameter
FEWEST, POINTS = 256, 8192
PATIENCE = 3.0  # seconds that evaluating points may take, roughly
SPARE = 1.5  # completed draws for each one kept, where weights choose among them


@dataclass(frozen=True)
class NestedLaplace(Bayesian):
    """Settings: those of every Bayesian estimator (`tune` has no meaning here), and

    exact : {"auto", True, False}
        Whether weights undo the approximation: where k̂ allows it, always, or never.

    Notes
    -----
    `fit.sample.info` has `exact`, `khat` (of the weights that undo the approximation), `shift` (how far these move the
    worst coefficient or logarithm of a standard deviation, in posterior standard deviations) and `nodes`.
    """

    exact: bool | str = "auto"

    def check(self, model: Model) -> None:
        super().check(model)
        if self.exact not in ("auto", True, False):
            raise SettingError(
                f"exact={printable(repr(self.exact))} is unknown", hint='Use "auto", True or False.'
            )  # fmt: skip

    def late(self, model: Model) -> bool:
        return many_levels(model)

    def sample(self, model: Model) -> Sample:
        from ..samplers.importance import again, systematic, tail_ess
        from ..samplers.nested import nested_points

        target = marginal_posterior(model)
        first, second = np.random.SeedSequence(self.seed).spawn(2)
        size = int(np.clip(PATIENCE / target.seconds, FEWEST, POINTS))
        points, nodes = nested_points(target, size, np.random.default_rng(first))
        rng = np.random.default_rng(second)
        wanted = self.draws * self.chains
        even = target.exact or target.surface is not None  # nothing is left for weights to undo
        many = wanted if self.exact is False or even else int(SPARE * wanted)
        index = rng.permutation(systematic(points.log_weights, many, rng))
        completed = target.complete(points.z[index], rng)
        given = np.where(np.isnan(completed.log_weights), -np.inf, completed.log_weights)
        smooth = psis(given)
        equal = even and bool(np.all(np.isfinite(given)))
        khat = points.khat if equal else max(points.khat, float(smooth.khat[0]))
        sound = khat < TRUSTED and target.quadrature_error < COARSE
        exact = self.exact is not False and (self.exact is True or sound)
        choose = exact and not equal
        keep = rng.permutation(systematic(smooth.log_weights, wanted, rng)) if choose else np.arange(wanted)
        worth = again(points, index, smooth.log_weights) if choose else points
        ess = min(worth.ess, float(wanted))
        info = {
            "sampler": _words(exact, nodes, points), "exact": exact and sound, "khat": khat, "ess": ess,
            "ess_tail": min(ess, tail_ess(target.coordinates, worth)),
            "shift": shift(points.z[index], smooth.log_weights), "nodes": nodes, "tune": 0, "seed": self.seed,
            "log_evidence": points.log_evidence + float(np.logaddexp.reduce(given) - np.log(many)),
        }  # fmt: skip
        kept = completed.take(keep) if choose or len(keep) < many else completed  # effects may be gigabytes
        info |= late_facts(target, points)
        return self._sample(target, points, kept, index[keep], info)

    def _sample(
        self, target: LaplacePosterior, points: Weighted, completed: Completed, index: np.ndarray, info: dict[str, Any]
    ) -> Sample:
        shape = (self.chains, self.draws)
        z = points.z[index]
        log_density = points.log_density[index] + (completed.log_weights if info["exact"] else 0.0)
        log_prior = target.coordinates.log_prior(z)[0]
        if target.model.is_linear and "sigma" in completed.constants:  # the residual deviation, where others have it
            rest = {name: values for name, values in completed.constants.items() if name != "sigma"}
            completed = replace(completed, sigma=completed.constants["sigma"], constants=rest)
        return sample_of(
            target, z.reshape(*shape, -1), completed, log_density.reshape(shape), log_prior.reshape(shape), {}, info
        )


def shift(z: np.ndarray, log_weights: np.ndarray) -> float:
    """The largest change of a coordinate's mean by the weights, in its standard deviations."""
    change = np.exp(log_weights) @ z - z.mean(axis=0)
    return float(np.max(np.abs(change) / np.maximum(z.std(axis=0), 1e-300), initial=0.0))


def _words(exact: bool, nodes: int, points: Weighted) -> str:
    if points.surface_error is not None:
        return f"quadrature of every level at {nodes} points, a cubic between (off by {points.surface_error:.1g})"
    what = f"nested Laplace, {nodes} node{'s' if nodes != 1 else ''}, {len(points.z)} points"
    return f"{what}, weighted to be exact" if exact else f"{what}, an approximation"


MEMBER = NestedLaplace
