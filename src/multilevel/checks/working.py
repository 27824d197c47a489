"""A generalized fit under examination: what `case.py` offers, from its working responses and from replicated data.

    z_i = η̂_i + s_i/w_i,   Var z = W⁻¹ + ZΣZ',   s = ∂ℓ/∂η,   w = E(−∂²ℓ/∂η²) at the estimates

Score tests of columns and terms are those of the normal model of z with known variances 1/w (φ/w where counts scatter φ
times as much as the family says): its P̃z is the score s with what the coefficients fit taken out. Their null
distributions use responses of the family itself. Residuals by row are randomised quantile residuals, with those of
replicated and refitted data beside them (`replicates.py`).

References: Breslow & Clayton (1993), JASA 88; Lin (1997), Biometrika 84; Dunn & Smyth (1996), JCGS 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..families.base import Observations
from ..fit.fit import Fit
from ..formula.layout import Layout
from ..model.model import Model
from ..predictions.linear import linear_predictors
from .adjusted import Adjusted, Sums, _times
from .base import ALPHA, holm
from .case import ROWS, SLOW, Case, Effects, Look
from .replicates import Refit, Replicates, upper_p

LOOKS = 20  # simulated responses from which expected curvatures are averaged
LEAST_WEIGHT = 1e-9  # of a row, relative to the largest
LEAST_SEEN = 1e-6
LEAST = 1.1  # ratio of overdispersion below which it is of no consequence


def case_of(fit: Fit, seed: int = 0, data: Any = None) -> Case:
    """The fit under examination, whatever its family."""
    return Case(fit, seed, data) if fit.model.is_linear else WorkingCase(fit, seed, data)


class WorkingCase(Case):
    """A `Case` of a generalized fit."""

    @cached_property
    def replicates(self) -> Replicates:
        return Replicates(self.fit, self.seed)

    # --- score tests ---------------------------------------------------------------------------------------------
    @cached_property
    def adjusted(self) -> Adjusted:
        return WorkingAdjusted(self.fit, self.seed, self.dispersion)

    @cached_property
    def dispersion(self) -> float:
        """How much more rows scatter than the family says, where they clearly do: otherwise every score is an alarm."""
        over = overdispersion(self)
        return max(over.ratio, 1.0) if over is not None and over.above else 1.0

    @cached_property
    def solvable(self) -> bool:
        design = self.design
        if len(design.layout.locations) > 1:
            return self._skip("score tests: categories without order have several linear predictors")
        if not all(np.isfinite(c).all() for c in self.fit.estimates.covariances):
            return self._skip("score tests: the fit has no covariances of the groups")
        if np.isinf(self.fit.estimates.beta).any():
            return self._skip("score tests: with infinite coefficients there is no mean to score against")
        if design.n > ROWS or self.adjusted.seconds > SLOW:
            return self._skip(f"score tests: {design.n} rows would take long; check a sample of the groups")
        if not self.adjusted.exact:
            return self._skip("score tests: the fixed columns are nearly collinear; rescale or centre them")
        return True

    @cached_property
    def by_row(self) -> bool:
        if self.design.weights is not None and self.design.weights_kind == "frequency":
            return self._skip("residuals row by row: with frequency weights a row stands for several observations")
        if len(self.design.layout.locations) > 1:
            return self._skip("residuals row by row: categories without order have none on one scale")
        return self.null is not None

    @cached_property
    def shaped(self) -> bool:
        family, levels = self.model.distribution.family, self.model.observations.levels
        several = family.ordered and len(levels) > 2
        if not family.discrete or scatters(self.fit) or several:
            return True
        return self._skip("shape and spread of residuals: do not apply, a yes or no has neither")

    @cached_property
    def sums(self) -> dict[str, Sums]:
        return {g.label: Sums(g.codes, len(g.levels)) for g in self.design.groups}

    @cached_property
    def reference(self) -> np.ndarray:
        return np.asarray(linear_predictors(self.fit, groups=False)[:, 0])

    # --- replicated data -----------------------------------------------------------------------------------------
    @cached_property
    def null(self) -> Look | None:
        if self.replicates.draws == 0:
            why = "simulated residuals have to be complete" if self._censored else "simulating and refitting takes long"
            self._skip(f"checks by simulation: {why} for these {self.design.n} rows")
            return None
        rng = np.random.default_rng([self.seed, 1])
        looks = [self._look(found, rng) for found in self.replicates]
        if not looks:
            self._skip("checks by simulation: data simulated from this fit could not be fitted")
            return None
        return Look(
            np.stack([look.residuals for look in looks], axis=1),
            np.stack([look.pearson for look in looks]),
            np.stack([look.zeros for look in looks]),
            tuple(np.stack(each, axis=1) for each in zip(*(look.effects for look in looks), strict=True)),
        )

    @property
    def _censored(self) -> bool:
        return self.model.observations.censored is not None

    @cached_property
    def look(self) -> Look:
        return self._look(self.replicates.observed, np.random.default_rng([self.seed, 2]))

    def _look(self, found: Refit, rng: np.random.Generator) -> Look:
        effects = tuple(found.effects[t][use, j] / root for t, j, use, root, _ in self._seen)
        sums = np.array(pearson(self.fit, found)), np.array(excess_zeros(self.fit, found))
        return Look(randomised(self.fit, found, rng), *sums, effects)

    # --- residuals -----------------------------------------------------------------------------------------------
    @cached_property
    def _scale(self) -> float:
        assert self.null is not None
        return float(np.sqrt(np.mean(self.null.residuals**2)))

    @cached_property
    def standardized(self) -> np.ndarray:
        return self.look.residuals

    @cached_property
    def studentized(self) -> np.ndarray:
        return self.look.residuals / self._scale

    @cached_property
    def replicated(self) -> np.ndarray:
        assert self.null is not None
        return self.null.residuals / self._scale

    # --- group effects -------------------------------------------------------------------------------------------
    @cached_property
    def _seen(self) -> list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
        """Term, coefficient, levels with an effect that is seen, its standard deviation, and its weight."""
        if self.fit.estimator.name == "complete" or not self.design.groups:
            return []
        out = []
        for t, (covariance, own) in enumerate(
            zip(self.fit.estimates.covariances, self.fit.effect_covariances, strict=True)
        ):
            for j in range(len(covariance)):
                variance = float(covariance[j, j])
                seen = variance - own[:, j, j]
                use = seen > LEAST_SEEN * variance
                if variance > 0.0 and use.sum() >= 3:
                    out.append((t, j, use, np.sqrt(seen[use]), seen[use] / variance))
        return out

    @cached_property
    def effects(self) -> list[Effects]:
        out = []
        for (t, j, use, _, weight), z in zip(self._seen, self.look.effects, strict=True):
            group = self.design.groups[t]
            levels = tuple(np.array(group.levels, dtype=object)[use])
            sd = float(self.fit.estimates.covariances[t][j, j]) ** 0.5
            out.append(Effects(group.label, group.names[j], levels, z, weight, sd))
        return out


@dataclass(frozen=True)
class Overdispersion:
    """χ² over that of replicates, both p-values (Holm), and whether it is clearly above."""

    ratio: float
    expected: float
    spread: float
    over: float
    under: float

    @property
    def above(self) -> bool:
        return self.over < ALPHA and self.ratio > LEAST


def overdispersion(case: Case) -> Overdispersion | None:
    """The Pearson statistic against its replicates; None where rows have no scatter of their own, or no replicates."""
    if not scatters(case.fit) or not case.by_row or case.null is None or case.look is None:
        return None
    observed, null = float(case.look.pearson), case.null.pearson
    over, under = holm([upper_p(observed, null), upper_p(-observed, -null)])
    mean = float(null.mean())
    return Overdispersion(observed / mean, mean, float(null.std(ddof=1)), float(over), float(under))


def is_count(fit: Fit) -> bool:
    """Whether rows are counts without an upper bound."""
    family = fit.model.distribution.family
    return family.discrete and family.links[0] == "log"


def scatters(fit: Fit) -> bool:
    """Whether a row can show more or less scatter than its mean allows: counts, and trials in numbers."""
    obs = fit.model.observations
    several = obs.trials is not None and bool(np.any(obs.trials > 1.0))
    return fit.model.distribution.family.discrete and (is_count(fit) or several)


# --- statistics of a response and its fit ---------------------------------------------------------------------------
def randomised(fit: Fit, found: Refit, rng: np.random.Generator) -> np.ndarray:
    """Quantile residuals of every row, uniform within the step of F at y."""
    from scipy.special import ndtri

    with np.errstate(all="ignore"):
        low, high = fit.model.distribution.cdf(found.observations, found.eta)
    u = low + (high - low) * rng.random(len(low))
    return np.asarray(ndtri(np.clip(np.nan_to_num(u, nan=0.5), 1e-12, 1.0 - 1e-12)))


def response(obs: Observations) -> np.ndarray:
    """y on the scale of the mean."""
    return obs.y if obs.trials is None else obs.y / obs.trials


def pearson(fit: Fit, found: Refit) -> float:
    """Σ (y − μ̂)²/Var over the rows; NaN for categories."""
    with np.errstate(all="ignore"):
        mean = fit.model.distribution.mean(found.observations, found.eta)
        if mean.ndim > 1:
            return float("nan")
        variance = fit.model.distribution.variance(found.observations, found.eta)
        squares = (response(found.observations) - mean) ** 2 / variance
    return float(np.sum(squares[np.isfinite(squares)]))


def excess_zeros(fit: Fit, found: Refit) -> float:
    """Rows with y = 0 beyond Σ P(y = 0 | η̂)."""
    obs = found.observations
    with np.errstate(all="ignore"):
        _, none = fit.model.distribution.cdf(obs, found.eta, np.zeros(len(obs)))
    return float(np.sum(obs.y == 0.0) - np.sum(none))


# --- the normal model of the working responses ----------------------------------------------------------------------
class WorkingAdjusted(Adjusted):
    """Products with P̃ of the working model; replicated scores come from responses of the family."""

    def __init__(self, fit: Fit, seed: int = 0, dispersion: float = 1.0) -> None:
        self.own, self.dispersion = fit, dispersion
        self.weights = working_weights(fit, seed)
        super().__init__(working_fit(fit, self.weights, dispersion), seed)

    @cached_property
    def null(self) -> np.ndarray:
        own, rng = self.own, np.random.default_rng(self.seed)
        eta = linear_predictors(own)
        distribution, obs = own.model.distribution, own.model.observations
        out = np.empty((self.n, self.draws))
        for i in range(self.draws):
            at = distribution.derivatives(obs.with_y(distribution.simulate(obs, eta, rng)), eta, 1)
            assert at.first is not None
            out[:, i] = np.nan_to_num(at.first[:, 0]) / self.weights * self.dispersion**0.5
        for group, root in zip(self.design.groups, self.maps, strict=True):
            b = np.einsum("kj,ljm->lkm", root, rng.standard_normal((len(group.levels), root.shape[1], self.draws)))
            for j, column in enumerate(group.columns):
                out += _times(b[:, j][group.codes], column)
        return self.apply(out)


def working_weights(fit: Fit, seed: int = 0) -> np.ndarray:
    """Expected curvature of the rows in the location's η, an average over simulated responses."""
    rng = np.random.default_rng([seed, 3])
    distribution, obs, eta = fit.model.distribution, fit.model.observations, linear_predictors(fit)
    total = np.zeros(len(eta))
    with np.errstate(all="ignore"):
        for _ in range(LOOKS):
            at = distribution.derivatives(obs.with_y(distribution.simulate(obs, eta, rng)), eta, 2)
            assert at.second is not None
            total += np.nan_to_num(at.second[:, 0, 0], posinf=0.0, neginf=0.0)
    return np.asarray(np.maximum(total / LOOKS, LEAST_WEIGHT * max(float(total.max()) / LOOKS, 1e-300)))


def working_fit(fit: Fit, weights: np.ndarray, dispersion: float = 1.0) -> Fit:
    """The fit of the normal model z = Xβ + Zb + e, Var e = φ/w, with the location's columns and terms."""
    model, design = fit.model, fit.model.design
    eta = linear_predictors(fit)
    at = model.distribution.derivatives(model.observations, eta, 1)
    assert at.first is not None
    offset = design.offsets[0] if design.offsets else design.offset
    mine = [j for j, d in enumerate(design.fixed_predictor) if d == 0]
    terms = [t for t, g in enumerate(design.groups) if g.predictor == 0]
    names = [design.fixed_names[j] for j in mine]
    columns = [design.fixed_columns[j] for j in mine]
    if design.layout.ordered:  # the thresholds take the place of the intercept
        names, columns = ["Intercept", *names], [None, *columns]
    plain = replace(
        design,
        response=eta[:, 0] + np.nan_to_num(at.first[:, 0]) / weights,
        fixed_names=tuple(names),
        fixed_columns=tuple(columns),
        groups=tuple(design.groups[t] for t in terms),
        offset=offset,
        weights=None,
        known_se=np.sqrt(dispersion / weights),
        layout=Layout(),
        fixed_predictor=np.zeros(0, np.int64),
        offsets=(),
        observations=None,
    )
    working = _normal(model.with_design(plain))
    estimates = replace(
        fit.estimates,
        beta=np.zeros(len(names)),
        sigma=None,
        covariances=tuple(fit.estimates.covariances[t] for t in terms),
        effects=tuple(fit.estimates.effects[t] for t in terms),
    )
    return Fit(working, fit.estimator, estimates, noticed=())


def _normal(model: Model) -> Model:
    model.__dict__.update(family="gaussian", link="identity")
    return model


__all__ = ["WorkingCase", "case_of"]
