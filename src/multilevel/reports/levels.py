"""One coefficient of every level of a grouping factor: its own estimate, the pooled one, and how sure that is.

    c_ℓ = β_k + b_ℓk        the coefficient in level ℓ (for ``1 + (1 | g)``: its mean)
    b_ℓk                    how far it is from the population's

Intervals come from the estimator's certainty for x'β + z'b: they carry the uncertainty of β and of the variance
parameters, not only the conditional variance of b. A level is *clearly* above or below when the interval of b_ℓk leaves
zero out. Each interval speaks of one level by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from ..predictions.deviations import half_widths

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import GroupColumns

ABOVE, BELOW, UNCLEAR = 1, -1, 0


@dataclass(frozen=True)
class Levels:
    """The levels of one grouping factor in one coefficient, in the order of the pooled estimate.

    Attributes
    ----------
    group, term : labels of the factor and the coefficient
    names, n : labels and numbers of rows
    own : (L,) estimates from the level's rows alone; NaN where these do not determine it, ±inf where they run off
    pooled, lower, upper : (L,) estimate of c_ℓ and its interval
    effect, effect_lower, effect_upper : (L,) the same of b_ℓ
    weight : (L,) λ, weight of a level's own data (averaged over its coefficients)
    centre : the population's value of the coefficient
    coverage : of the intervals
    """

    group: str
    term: str
    names: tuple[str, ...]
    n: np.ndarray
    own: np.ndarray
    pooled: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    effect: np.ndarray
    effect_lower: np.ndarray
    effect_upper: np.ndarray
    weight: np.ndarray
    centre: float
    coverage: float

    @property
    def verdict(self) -> np.ndarray:
        """ABOVE, BELOW or UNCLEAR for each level."""
        return (self.effect_lower > 0.0).astype(int) - (self.effect_upper < 0.0).astype(int)

    @property
    def error(self) -> float:
        """A typical half-width over two: what decides the digits to show."""
        widths = (self.upper - self.lower)[np.isfinite(self.upper - self.lower)]
        return float(np.median(widths)) / 4.0 if len(widths) else float("nan")

    @property
    def moved(self) -> np.ndarray:
        """How far pooling moved each level from its own estimate."""
        return np.asarray(self.pooled - self.own)

    def notable(self, most: int) -> np.ndarray:
        """Places of the levels that a reader should see first when there are too many: the clearest and most moved."""
        if len(self.names) <= most:
            return np.arange(len(self.names))
        clear = np.nan_to_num(np.where(self.verdict != UNCLEAR, np.abs(self.effect), 0.0))
        moved = np.nan_to_num(np.abs(self.moved), posinf=0.0)
        first = np.argsort(-clear, kind="stable")[: most // 2]
        rest = np.setdiff1d(np.argsort(-moved, kind="stable")[:most], first, assume_unique=True)
        chosen = np.concatenate([first, rest])[:most]
        missing = np.setdiff1d(np.arange(len(self.names)), chosen)[: most - len(chosen)]
        return np.sort(np.concatenate([chosen, missing]))


def pairs(fit: Fit) -> list[tuple[str, str]]:
    """(grouping factor, coefficient) of everything that varies, in the order of the formula."""
    return list(dict.fromkeys((g.label, name) for g in fit.model.design.groups for name in g.names))


def levels(fit: Fit, group: str, term: str) -> Levels:
    """The levels of `group` in the coefficient `term`, smallest estimate first."""
    design = fit.model.design
    t, k = next((t, g.names.index(term)) for t, g in enumerate(design.groups) if g.label == group and term in g.names)
    names = design.groups[t].levels
    effect = np.asarray(fit.estimates.effects[t][:, k], dtype=float)
    centre = float(np.nan_to_num(fit.coefficients.get(term, 0.0), posinf=0.0, neginf=0.0))
    half, whole = half_widths(fit, t, k), half_widths(fit, t, k, term)
    own = _own(fit, group, term)
    n, weight = _weights(fit, group, design.groups[t])
    pooled = centre + effect
    order = np.argsort(np.where(np.isnan(pooled), np.inf, pooled), kind="stable")
    return Levels(
        group=group,
        term=term,
        names=tuple(names[i] for i in order),
        n=n[order],
        own=np.array([own.get(name, np.nan) for name in names])[order],
        pooled=pooled[order],
        lower=(pooled - whole)[order],
        upper=(pooled + whole)[order],
        effect=effect[order],
        effect_lower=(effect - half)[order],
        effect_upper=(effect + half)[order],
        weight=weight[order],
        centre=centre,
        coverage=fit.level,
    )


def _weights(fit: Fit, group: str, columns: GroupColumns) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each level and the weight of its own data; NaN where that is not defined."""
    try:
        weights = fit.shrinkage()
    except SettingError:
        n = np.bincount(columns.codes[columns.codes >= 0], minlength=len(columns.levels)).astype(float)
        return n, np.full(len(n), np.nan)
    here = np.asarray(weights["group"]) == group
    n, weight = (np.asarray(weights[name], dtype=float)[here] for name in ("n", "lambda"))
    return n, weight


def _own(fit: Fit, group: str, term: str) -> dict[str, float]:
    """What each level's rows say by themselves, the rest of the model held at its estimates."""
    from ..plots.shrinkage import compare

    found = compare(fit, group, term)
    return dict(zip(found.levels, found.own.tolist(), strict=True))
