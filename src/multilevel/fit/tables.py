"""The tables of a fit as columns: names to arrays, in the order of `glossary`. `Fit` turns them into data frames.

    fixed effects        β̂ with t intervals on Satterthwaite (or residual) degrees of freedom; normal where infinite
    variance components  standard deviations between levels, the residual one last
    correlations         pairs of coefficients of one term
    group effects        conditional modes, with normal intervals given the variance parameters

Of sampled fits the same tables hold posterior means, standard deviations and quantiles (`posterior_tables.py`), and
behind them the diagnostics of the draws; there is no test, and df, statistic and p_value are NaN.

Terms that share a grouping factor stand together under its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, nearest, printable
from ..glossary import RESIDUAL, SIGMA
from . import posterior_tables
from .chains import Key
from .estimates import correlation_pairs

if TYPE_CHECKING:
    from .fit import Fit

Columns = dict[str, Any]


def check_level(level: float) -> float:
    """A coverage strictly between 0 and 1."""
    if not (isinstance(level, (int, float)) and 0.0 < level < 1.0):
        raise SettingError(f"level={printable(level)} is not a probability between 0 and 1", hint="Use 0.95.")
    return float(level)


def two_sided(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """P(|T| > |t|) with `df` degrees of freedom, normal where they are infinite."""
    from scipy.special import ndtr, stdtr

    finite = np.isfinite(df)
    t = -np.abs(statistic)
    return np.asarray(2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), t), ndtr(t)))


def quantile(df: np.ndarray, level: float) -> np.ndarray:
    """Half-width of an interval in standard errors."""
    from scipy.special import ndtri, stdtrit

    finite = np.isfinite(df)
    upper = 0.5 + level / 2.0
    return np.asarray(np.where(finite, stdtrit(np.where(finite, df, 1.0), upper), ndtri(upper)))


def fixed_effects(fit: Fit, level: float) -> Columns:
    """One row for each fixed column; NaN for those dropped as redundant."""
    if fit.sampled:
        return posterior_tables.fixed_effects(fit, level)
    estimate, error, df = fit.estimates.beta, fit.std_errors, fit.fixed_df
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / error
        half = quantile(df, level) * error
    return {
        "term": list(fit.model.design.fixed_names),
        "estimate": estimate.copy(),
        "std_error": error,
        "df": np.where(np.isnan(estimate), np.nan, df),
        "statistic": statistic,
        "p_value": two_sided(statistic, df),
        "lower": estimate - half,
        "upper": estimate + half,
    }


def terms_by_group(fit: Fit) -> dict[str, list[int]]:
    """Label of a grouping factor → its terms."""
    out: dict[str, list[int]] = {}
    for t, group in enumerate(fit.model.design.groups):
        out.setdefault(group.label, []).append(t)
    return out


def term_sds(fit: Fit, t: int) -> np.ndarray:
    """Standard deviations of the coefficients of one term."""
    with np.errstate(invalid="ignore"):
        known = fit.estimates.notes.get("sds")  # variances of tiny responses underflow, their roots do not
        if known is not None:
            return np.asarray(known[t])
        return np.asarray(np.sqrt(np.maximum(np.diag(fit.estimates.covariances[t]), 0.0)))


def variance_components(fit: Fit, level: float) -> Columns:
    """One row for each coefficient of each group; the last row is the residual unless its variance is known."""
    errors, residual_error = fit.sd_errors
    intervals, residual_interval = fit.sd_intervals(level)
    rows: list[tuple[Any, ...]] = []
    keys: list[Key] = []
    for label, terms in terms_by_group(fit).items():
        for t in terms:
            names, sds = fit.model.design.groups[t].names, term_sds(fit, t)
            for i, (name, value, spread, ends) in enumerate(zip(names, sds, errors[t], intervals[t], strict=True)):
                rows.append((label, name, float(value), spread, *ends))
                keys.append(("sd", t, i))
    if fit.sigma is not None:
        rows.append((RESIDUAL, "", fit.sigma, residual_error, *residual_interval))
        keys.append((SIGMA,))
    group, term, sd, error, low, high = zip(*rows, strict=True) if rows else ((),) * 6
    sds = _numbers(sd)
    return {
        "group": list(group),
        "term": list(term),
        "sd": sds,
        "variance": sds**2,
        "std_error": _numbers(error),
        "lower": _numbers(low),
        "upper": _numbers(high),
        **posterior_tables.diagnostics(fit, keys),
    }


def correlations(fit: Fit, level: float) -> Columns:
    """One row for each pair of coefficients of a term with estimated correlations; NaN beside a zero variance."""
    rows: list[tuple[Any, ...]] = []
    keys: list[Key] = []
    intervals = fit.correlation_intervals(level)
    for label, terms in terms_by_group(fit).items():
        for t in terms:
            rows.extend((label, *row) for row in _pairs(fit, t, intervals[t]))
            pairs = correlation_pairs(len(fit.model.design.groups[t].names)) if has_correlations(fit, t) else ()
            keys += [("cor", t, i, j) for i, j in pairs]
    group, first, second, value, low, high = zip(*rows, strict=True) if rows else ((),) * 6
    return {
        "group": list(group),
        "term_1": list(first),
        "term_2": list(second),
        "correlation": _numbers(value),
        **posterior_tables.errors(fit, keys),
        "lower": _numbers(low),
        "upper": _numbers(high),
        **posterior_tables.diagnostics(fit, keys),
    }


def has_correlations(fit: Fit, t: int) -> bool:
    """Whether the covariance of a term has entries off its diagonal to estimate."""
    group = fit.model.design.groups[t]
    return len(group.names) > 1 and group.scale != "diagonal"


def correlation_matrix(fit: Fit, t: int) -> np.ndarray:
    """Correlations of the coefficients of one term; NaN beside a zero variance."""
    if fit.sampled:
        return posterior_tables.correlation_matrix(fit, t)
    sds = term_sds(fit, t)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(fit.estimates.covariances[t] / np.outer(sds, sds), -1.0, 1.0))


def _pairs(fit: Fit, t: int, intervals: Sequence[tuple[float, float]]) -> list[tuple[str, str, float, float, float]]:
    if not has_correlations(fit, t):
        return []
    names, matrix = fit.model.design.groups[t].names, correlation_matrix(fit, t)
    pairs = zip(correlation_pairs(len(names)), intervals, strict=True)
    return [(names[j], names[i], float(matrix[i, j]), low, high) for (i, j), (low, high) in pairs]


def group_labels(fit: Fit, name: str | None) -> list[str]:
    """The grouping factors asked for: one by name, or all.

    Raises
    ------
    SettingError
        For a name that is no grouping factor of the model.
    """
    known = list(fit.model.groups)
    if name is None:
        return known
    if name not in known:
        listed = ", ".join(printable(k) for k in known) or "none"
        hint = nearest(str(name), known) or f"Grouping factors of this model: {listed}."
        raise SettingError(f'"{printable(name)}" is no grouping factor of this model', hint=hint)
    return [name]


def group_effects(fit: Fit, labels: Sequence[str], level: float, diagnosed: bool = False) -> Columns:
    """One row for each level and coefficient; a `group` column first when there are several groups.

    `diagnosed` adds the diagnostics of the draws of a sampled fit.
    """
    parts = [_group_effects(fit, label) for label in labels]
    estimate = _joined([p["estimate"] for p in parts])
    error = _joined([p["std_error"] for p in parts])
    lower, upper = _effect_intervals(fit, labels, level, estimate, error)
    columns = {
        "level": [v for p in parts for v in p["level"]],
        "term": [v for p in parts for v in p["term"]],
        "estimate": estimate,
        "std_error": error,
        "lower": lower,
        "upper": upper,
    }
    if diagnosed and fit.sampled:
        columns |= posterior_tables.effect_diagnostics(fit, labels)
    if len(labels) == 1:
        return columns
    group = [label for label, p in zip(labels, parts, strict=True) for _ in p["level"]]
    return {"group": group, **columns}


def _effect_intervals(
    fit: Fit, labels: Sequence[str], level: float, estimate: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import ndtri

    if fit.sampled:
        return posterior_tables.effect_intervals(fit, labels, level)
    half = float(ndtri(0.5 + level / 2.0))
    return estimate - half * error, estimate + half * error


def _group_effects(fit: Fit, label: str) -> Columns:
    """Level after level, the coefficients of all terms of the group within each."""
    terms = terms_by_group(fit)[label]
    groups = [fit.model.design.groups[t] for t in terms]
    names = [name for g in groups for name in g.names]
    levels = groups[0].levels
    estimate = np.concatenate([fit.estimates.effects[t] for t in terms], axis=1)
    with np.errstate(invalid="ignore"):
        error = [np.sqrt(np.einsum("lkk->lk", fit.effect_covariances[t])) for t in terms]
    return {
        "level": [level for level in levels for _ in names],
        "term": names * len(levels),
        "estimate": estimate.ravel(),
        "std_error": np.concatenate(error, axis=1).ravel(),
    }


def intervals(fit: Fit, level: float) -> Columns:
    """Intervals of the fixed effects, of every standard deviation and of the family's constants in one table."""
    beta, sds, family = fixed_effects(fit, level), variance_components(fit, level), _constants(fit, level)
    p, constants = len(beta["term"]), len(family["parameter"])
    return {
        "parameter": ["fixed"] * p + [SIGMA if g == RESIDUAL else "sd" for g in sds["group"]] + family["parameter"],
        "group": [""] * p + sds["group"] + [""] * constants,
        "term": beta["term"] + sds["term"] + [""] * constants,
        "estimate": np.concatenate([beta["estimate"], sds["sd"], family["estimate"]]),
        "lower": np.concatenate([beta["lower"], sds["lower"], family["lower"]]),
        "upper": np.concatenate([beta["upper"], sds["upper"], family["upper"]]),
    }


def dispersion(fit: Fit, level: float) -> Columns:
    """Constant parameters of the response's distribution: ``sigma``, or those of the family (``shape``, ``phi``)."""
    if fit.sigma is None:
        return _constants(fit, level)
    low, high = fit.sd_intervals(level)[1]
    return {
        "parameter": [SIGMA],
        "estimate": _numbers([fit.sigma]),
        "std_error": _numbers([fit.sd_errors[1]]),
        "lower": _numbers([low]),
        "upper": _numbers([high]),
        **posterior_tables.diagnostics(fit, [(SIGMA,)]),
    }


def _constants(fit: Fit, level: float) -> Columns:
    """Those of generalized families, on their natural scale; NaN where an estimator does not say how sure it is."""
    known = fit.estimates.certainty.constants(level) if fit.estimates.dispersion else {}
    rows = [known.get(name, (value, *[np.nan] * 3)) for name, value in fit.estimates.dispersion.items()]
    estimate, error, low, high = zip(*rows, strict=True) if rows else ((),) * 4
    return {
        "parameter": list(fit.estimates.dispersion),
        "estimate": _numbers(estimate),
        "std_error": _numbers(error),
        "lower": _numbers(low),
        "upper": _numbers(high),
        **posterior_tables.diagnostics(fit, [(name,) for name in fit.estimates.dispersion]),
    }


def _numbers(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=float)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)
