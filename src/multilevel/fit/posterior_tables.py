"""The columns of a sampled fit's tables: posterior means, standard deviations, quantiles, how good the draws are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import correlation_pairs

if TYPE_CHECKING:
    from .chains import Key
    from .fit import Fit
    from .sample import Sample

Columns = dict[str, Any]


def fixed_effects(fit: Fit, level: float) -> Columns:
    """As `tables.fixed_effects`; there is nothing to test."""
    lower, upper = ends(_flat(fit, "beta"), level)
    none = np.full(len(fit.estimates.beta), np.nan)
    return {
        "term": list(fit.model.design.fixed_names),
        "estimate": fit.estimates.beta.copy(),
        "std_error": fit.std_errors,
        "df": none,
        "statistic": none.copy(),
        "p_value": none.copy(),
        "lower": lower,
        "upper": upper,
        **diagnostics(fit, [("beta", j) for j in range(len(none))]),
    }


def diagnostics(fit: Fit, keys: Sequence[Key]) -> Columns:
    """rhat, ess_bulk and ess_tail of parameters; no columns for a fit without draws."""
    certainty: Any = fit.estimates.certainty
    if certainty.sample is None:
        return {}
    at = np.array([certainty.chains.places[key] for key in keys], dtype=np.int64)
    found = certainty.diagnosis
    return {"rhat": found.rhat[at], "ess_bulk": found.ess_bulk[at], "ess_tail": found.ess_tail[at]}


def errors(fit: Fit, keys: Sequence[Key]) -> Columns:
    """Posterior standard deviations as the column std_error; nothing for a fit without draws."""
    certainty: Any = fit.estimates.certainty
    if certainty.sample is None:
        return {}
    return {"std_error": np.array([certainty.chains.of(key).std(ddof=1) for key in keys])}


def effect_diagnostics(fit: Fit, labels: Sequence[str]) -> Columns:
    """The same of group effects."""
    from .diagnostics import diagnose

    found = diagnose(_sample(fit), np.concatenate([_effects(fit, label) for label in labels], axis=2))
    return {"rhat": found.rhat, "ess_bulk": found.ess_bulk, "ess_tail": found.ess_tail}


def effect_intervals(fit: Fit, labels: Sequence[str], level: float) -> tuple[np.ndarray, np.ndarray]:
    """Equal-tailed intervals of the effects of each level."""
    found = [ends(_sample(fit).flat(_effects(fit, label)), level) for label in labels]
    lower, upper = zip(*found, strict=True) if found else ((np.zeros(0),), (np.zeros(0),))
    return np.concatenate(lower), np.concatenate(upper)


def correlation_matrix(fit: Fit, t: int) -> np.ndarray:
    """Posterior means of the correlations of one term."""
    certainty: Any = fit.estimates.certainty
    k = len(fit.model.design.groups[t].names)
    out = np.eye(k)
    for i, j in correlation_pairs(k):
        out[i, j] = out[j, i] = certainty.chains.of(("cor", t, i, j)).mean()
    return out


def ends(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Equal-tailed quantiles of each column; NaN where draws are."""
    low, high = np.quantile(draws, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
    return np.asarray(low), np.asarray(high)


def _sample(fit: Fit) -> Sample:
    sample = fit.estimates.certainty.sample
    assert sample is not None
    return sample


def _flat(fit: Fit, name: str) -> np.ndarray:
    sample = _sample(fit)
    return sample.flat(getattr(sample, name))


def _effects(fit: Fit, label: str) -> np.ndarray:
    """Draws (chains, draws, levels · coefficients) of all terms of a grouping factor, in the order of its table."""
    from .tables import terms_by_group

    sample = _sample(fit)
    joined = np.concatenate([sample.effects[t] for t in terms_by_group(fit)[label]], axis=3)
    return joined.reshape(*joined.shape[:2], -1)
