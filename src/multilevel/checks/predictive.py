"""Predictive checks by group: would data simulated from the fit look like these?

    y* ~ the fitted model with new group effects,    T a statistic of each level's rows
    z_ℓ = (T_ℓ − mean T*_ℓ) / sd T*_ℓ,               M = max_ℓ |z_ℓ| against max_ℓ |z*_ℓ|

The simulations are at the estimates, so p-values are slightly cautious; those of sampled fits are posterior predictive
draws, each from other parameters, and their p-values P(T(y*) ≥ T(y) | y), two-sided, of all rows together as well. A
level is `outside` when its z exceeds what the largest of all levels reaches in 95% of the simulated data sets: one band
for all levels together.

T is the mean, sd, min and max; of counts the share of zeros in place of the min; of yes or no the mean alone, which is
all there is; of categories the share of each. Proportions of trials are divided by their trials.

Reference: Gelman, Meng & Stern (1996), Statistica Sinica 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, listed, printable
from .adjusted import Sums
from .base import ALPHA, Finding, holm, p_text, quote
from .case import Case
from .replicates import gumbel
from .working import is_count, scatters

if TYPE_CHECKING:
    from ..fit.fit import Fit

OVERALL = "all rows"
STATISTICS = ("mean", "sd", "min", "max")
CATEGORIES = 12  # shares of more categories than that are not compared
BATCH = 4_000_000  # simulated numbers held at once
MOST = 40_000_000  # simulated numbers in all
LEAST_SD_RATIO = 1.25


@dataclass(frozen=True, eq=False)
class Predictive:
    """Observed and simulated statistics of each level of one grouping factor.

    Attributes
    ----------
    group, levels, n : the factor, its levels and their rows
    observed, centre, spread, z, limits : by statistic
        (L,) values, simulated means and sds, standardised values, and the simultaneous 95% limit of |z|.
    p_values : by statistic
        Of the most extreme level.
    support : where the response can be; bands end there.
    above : by statistic, of sampled fits
        (L,) share of the simulated statistics above the observed one, ties counted half.
    """

    group: str
    levels: tuple[str, ...]
    n: np.ndarray
    observed: dict[str, np.ndarray]
    centre: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    z: dict[str, np.ndarray]
    limits: dict[str, float]
    p_values: dict[str, float]
    support: tuple[float, float] = (-np.inf, np.inf)
    above: dict[str, np.ndarray] = field(default_factory=dict)

    def p_each(self, statistic: str) -> np.ndarray:
        """Two-sided p-value of every level, unadjusted."""
        from scipy.special import ndtr

        if statistic in self.above:
            share = self.above[statistic]
            return np.asarray(2.0 * np.minimum(share, 1.0 - share))
        return np.asarray(2.0 * ndtr(-np.abs(self.z[statistic])))

    def band(self, statistic: str) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the simultaneous 95% band of every level."""
        half = self.limits[statistic] * self.spread[statistic]
        low, high = self.support
        if statistic == "sd":
            low, high = 0.0, np.inf
        if statistic == "zeros" or statistic.startswith("share["):
            low, high = 0.0, 1.0
        centre = self.centre[statistic]
        return np.maximum(centre - half, low), np.minimum(centre + half, high)

    def outside(self, statistic: str) -> np.ndarray:
        """Positions of the levels beyond the simultaneous limit, the most extreme first."""
        z = np.abs(self.z[statistic])
        beyond = np.flatnonzero(z > self.limits[statistic])
        return np.asarray(beyond[np.argsort(-z[beyond], kind="stable")])


@dataclass(frozen=True, eq=False)
class PredictiveChecks:
    """Predictive checks of every grouping factor; of sampled fits also of all rows together (`overall`)."""

    groups: tuple[Predictive, ...]
    draws: int
    native: str = "pandas"
    overall: Predictive | None = None

    @property
    def table(self) -> Any:
        """Table: group, level, n, quantity, observed, expected, lower, upper (simultaneous), p_value, outside."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for part in (*([self.overall] if self.overall else []), *self.groups):
            for quantity in part.observed:
                self._add(columns, part, quantity)
        return frame(self.native, columns)

    @staticmethod
    def _add(columns: dict[str, list[Any]], part: Predictive, quantity: str) -> None:
        z, (lower, upper) = part.z[quantity], part.band(quantity)
        columns["group"] += [part.group] * len(z)
        columns["level"] += part.levels
        columns["n"] += part.n.tolist()
        columns["quantity"] += [quantity] * len(z)
        columns["observed"] += part.observed[quantity].tolist()
        columns["expected"] += part.centre[quantity].tolist()
        columns["lower"] += lower.tolist()
        columns["upper"] += upper.tolist()
        columns["p_value"] += part.p_each(quantity).tolist()
        columns["outside"] += (np.abs(z) > part.limits[quantity]).tolist()

    def summary(self) -> str:
        """One line for each grouping factor and statistic."""
        lines = [f"Predictive checks by group ({self.draws} simulated data sets)"]
        if self.overall is not None:
            lines[0] = f"Posterior predictive checks ({self.draws} data sets)"
            each = [f"{q} {p_text(float(self.overall.p_each(q)[0]))}" for q in self.overall.observed]
            lines.append(f"  all rows: {', '.join(each)}")
        for part in self.groups:
            for q in part.observed:
                names = listed((part.levels[i] for i in part.outside(q)), 4) or "none"
                p = f"{p_text(part.p_values[q])} for the most extreme"
                lines.append(f"  {printable(part.group, 40)}, {q}: {p}; outside: {names}")
        return "\n".join(lines)

    __str__ = summary
    __repr__ = summary


COLUMNS = ("group", "level", "n", "quantity", "observed", "expected", "lower", "upper", "p_value", "outside")


def predictive_checks(fit: Fit, n: int = 200, seed: int = 0, target: str = "new_group") -> PredictiveChecks:
    """Statistics of each level's rows against data simulated from the fit.

    Parameters
    ----------
    fit : Fit
    n : int
        Simulated data sets, 20 or more.
    seed : int
    target : {"new_group", "conditional"}
        Group effects drawn anew for each data set, which asks about the groups' distribution too, or kept.

    Returns
    -------
    PredictiveChecks

    Raises
    ------
    SettingError
        For a model without grouping factors that is not sampled, and for too few simulations.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> predictive_checks(fit, n=50).groups[0].outside("mean").tolist()
    []
    """
    if not fit.model.groups and not fit.sampled:
        raise SettingError("this model has no grouping factor", hint="Add a term such as (1 | school).")
    if n < 20:
        raise SettingError(f"n={n} simulations are too few", hint="Use 200.")
    rng = np.random.default_rng(seed)
    design, scale, measure = fit.model.design, _trials(fit), _measure(fit)
    sums = {g.label: Sums(g.codes, len(g.levels)) for g in design.groups}
    if fit.sampled:
        sums[OVERALL] = Sums(np.zeros(design.n, np.int32), 1)
    parts: dict[str, list[dict[str, np.ndarray]]] = {label: [] for label in sums}
    batch = max(1, min(n, BATCH // max(design.n, 1)))
    for start in range(0, n, batch):
        rows = fit.simulate(min(batch, n - start), seed=int(rng.integers(2**63)), target=target).T / scale
        for label, by in sums.items():
            parts[label].append(measure(rows, by))
    labels, exact = {OVERALL: (OVERALL,), **{g.label: g.levels for g in design.groups}}, fit.model.is_linear
    found = []
    for label, by in sums.items():
        together = {q: np.concatenate([part[q] for part in parts[label]], axis=1) for q in parts[label][0]}
        own = measure(design.response[:, None], by)
        part = _compared(label, labels[label], by, own, together, exact, _support(fit))
        found.append(replace(part, above=_above(own, together)) if fit.sampled else part)
    overall = found.pop() if fit.sampled else None
    return PredictiveChecks(tuple(found), n, fit.model.native, overall)


def _above(own: dict[str, np.ndarray], simulated: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Shares of simulated statistics above the observed ones, with ties counted half."""
    return {
        q: np.mean(simulated[q] > values, axis=1) + 0.5 * np.mean(simulated[q] == values, axis=1)
        for q, values in own.items()
    }


Measure = Callable[[np.ndarray, Sums], dict[str, np.ndarray]]


def _trials(fit: Fit) -> np.ndarray | float:
    """What simulated successes are divided by, to be on the scale of the response."""
    trials = None if fit.model.is_linear else fit.model.observations.trials
    return 1.0 if trials is None else trials[:, None]


def _support(fit: Fit) -> tuple[float, float]:
    """Where a mean of the response can be."""
    if fit.model.is_linear:
        return -np.inf, np.inf
    scale = fit.model.distribution.family.mean_scale(fit.model.distribution.links)
    return (-np.inf if scale == "identity" else 0.0), (np.inf if scale in ("identity", "log") else 1.0)


def _measure(fit: Fit) -> Measure:
    """The statistics of each level that mean something for the family."""
    if fit.model.is_linear:
        return _moments
    family, obs = fit.model.distribution.family, fit.model.observations
    if family.ordered or len(fit.model.design.layout.locations) > 1:
        levels = obs.levels if len(obs.levels) <= CATEGORIES else ()
        return lambda rows, by: {f"share[{name}]": by.means(rows == k) for k, name in enumerate(levels)}
    if is_count(fit):
        return _counts
    return _moments if not family.discrete or scatters(fit) else lambda rows, by: {"mean": by.means(rows)}


def _counts(rows: np.ndarray, by: Sums) -> dict[str, np.ndarray]:
    """Mean, sd, max and share of zeros of each level, (L, m) each."""
    found = _moments(rows, by)
    del found["min"]
    return {**found, "zeros": by.means(rows == 0.0)}


def _moments(rows: np.ndarray, by: Sums) -> dict[str, np.ndarray]:
    """Mean, sd, min and max of each level, (L, m) each; the sd of a single row is NaN."""
    mean = by.means(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = rows - mean[by.codes]
        sd = np.sqrt(by(within**2) / (by.counts[:, None] - 1.0))
    ordered = rows if by.order is None else rows[by.order]
    low = np.minimum.reduceat(ordered, by.starts, axis=0)
    high = np.maximum.reduceat(ordered, by.starts, axis=0)
    return {"mean": mean, "sd": np.where(by.counts[:, None] > 1, sd, np.nan), "min": low, "max": high}


def _compared(
    label: str,
    levels: tuple[str, ...],
    by: Sums,
    own: dict[str, np.ndarray],
    simulated: dict[str, np.ndarray],
    exact: bool,
    support: tuple[float, float],
) -> Predictive:
    """Standardised by the simulations; unless `exact`, with the observed among them: zeros may not vary otherwise."""
    observed, centre, spread, z, limits, p = {}, {}, {}, {}, {}, {}
    for name, values in own.items():
        star = simulated[name] if exact else np.concatenate([simulated[name], values], axis=1)
        mean, sd = star.mean(axis=1), star.std(axis=1, ddof=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            standard = (values[:, 0] - mean) / sd
            largest = np.nanmax(np.abs(np.nan_to_num((star - mean[:, None]) / sd[:, None])), axis=0)
        observed[name], centre[name], spread[name] = values[:, 0], mean, sd
        z[name] = np.nan_to_num(standard)
        limits[name] = float(np.quantile(largest, 0.95))
        p[name] = gumbel(float(np.abs(z[name]).max()), largest)
    return Predictive(label, levels, by.counts, observed, centre, spread, z, limits, p, support)


def predictive_findings(case: Case) -> list[Finding]:
    """Which levels the fitted model would not produce."""
    design = case.design
    if not design.groups or case.fit.estimator.name == "complete" or case.fit.sigma == 0.0:
        return []
    if design.weights is not None and design.weights_kind == "frequency":
        return []
    draws = int(min(200, MOST // max(design.n * len(case.model.groups), 1)))
    if draws < 50:
        case.skipped.append(f"predictive checks: {design.n} rows would take long; call predictive_checks(fit)")
        return []
    checks = predictive_checks(case.fit, draws, case.seed)
    keys = [(part, q) for part in checks.groups for q in part.observed]
    if not keys:
        return []
    p = holm([part.p_values[q] for part, q in keys])
    alarms = [(x, part, q) for x, (part, q) in zip(p, keys, strict=True) if x < ALPHA and _matters(part, q)]
    if not alarms:
        j = int(np.argmin(p))
        part, q = keys[j]
        least = f"least likely is the {q} by {quote(part.group)} ({p_text(p[j])})"
        text = f"{listed(parts_of(keys), 9)} of every level are as simulated; {least}."
        return [Finding("N_PREDICTIVE", "ok", "groups look like simulated ones", text, values={"p_value": float(p[j])})]
    return [_alarm(alarms)]


def parts_of(keys: list[tuple[Predictive, str]]) -> list[str]:
    """The statistics, each once."""
    return list(dict.fromkeys(q for _, q in keys))


def _matters(part: Predictive, q: str) -> bool:
    """A spread that differs by a few per cent is real in large groups, and of no consequence."""
    worst = int(np.argmax(np.abs(part.z[q])))
    if q != "sd":
        return True
    ratio = part.observed[q][worst] / max(part.centre[q][worst], 1e-300)
    return bool(max(ratio, 1.0 / max(ratio, 1e-300)) > LEAST_SD_RATIO)


def _alarm(alarms: list[tuple[float, Predictive, str]]) -> Finding:
    p, part, q = min(alarms, key=lambda item: item[0])
    places = part.outside(q)[:20]
    names = listed((part.levels[i] for i in places), 3)
    i = int(np.argmax(np.abs(part.z[q])))
    text = (
        f"the {q} of {printable(part.levels[i], 30)} ({quote(part.group)}) is {part.observed[q][i]:.4g}, and "
        f"{part.centre[q][i]:.4g} ± {part.spread[q][i]:.2g} in simulated data ({p_text(p)}); outside: {names}."
    )
    remedy = "Look at these levels: outliers, another spread, a bound of the scale, or a predictor that is missing."
    values = {"group": part.group, "quantity": q, "p_value": float(p), "levels": [part.levels[k] for k in places]}
    return Finding("N_PREDICTIVE", "caution", "groups that the model would not produce", text, remedy, values)
