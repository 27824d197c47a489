"""``bs(x, df=5)``: B-spline columns, as R's ``splines::bs`` and formulaic's.

    bs(x, df=None, knots=None, degree=3, include_intercept=False, lower_bound=None, upper_bound=None,
       extrapolate="error")

`df` columns; the inner knots are quantiles of the training column, or `knots`. The boundary knots are its range.
Outside them a B-spline is a guess by a cubic: refused, unless ``extrapolate="extend"`` asks for the polynomial of the
outermost piece (R's behaviour).

Reference: de Boor (1978), A Practical Guide to Splines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError, IdentifiabilityError, printable
from .base import Memory, Transform, refusal, whole


class BSpline(Transform):
    """B-splines."""

    settings = {  # noqa: RUF012
        "df": None,
        "knots": None,
        "degree": 3,
        "include_intercept": False,
        "lower_bound": None,
        "upper_bound": None,
        "extrapolate": "error",
    }

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        if settings["extrapolate"] not in ("error", "extend"):
            raise refusal(label, '"extrapolate" must be "error" or "extend"')
        degree = whole(settings["degree"], label, "degree", 0)
        full = bool(settings["include_intercept"])
        low, high = bounds(x, settings["lower_bound"], settings["upper_bound"], label)
        inner = inner_knots(x, settings["df"], settings["knots"], degree + full, label)
        if any(not low < k < high for k in inner):
            raise refusal(label, f"inner knots must lie between {low:g} and {high:g}")
        knots = [low] * (degree + 1) + sorted(inner) + [high] * (degree + 1)
        count = len(knots) - degree - 1
        return {
            "fields": [str(i) for i in range(0 if full else 1, count)],
            "spans_intercept": full,
            "knots": knots,
            "degree": degree,
            "extend": settings["extrapolate"] == "extend",
        }

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        from scipy.interpolate import BSpline as Spline

        knots, degree = np.array(memory["knots"]), memory["degree"]
        if not memory["extend"]:
            check_inside(x, knots[0], knots[-1], label)
        count = len(knots) - degree - 1
        values = Spline(knots, np.eye(count), degree, extrapolate=True)(x)
        values[np.isnan(x)] = np.nan
        skipped = count - len(memory["fields"])
        return tuple(np.ascontiguousarray(values[:, i]) for i in range(skipped, count))


def bounds(x: np.ndarray, low: Any, high: Any, label: str) -> tuple[float, float]:
    """The boundary knots: as given, or the range of the training column, which must lie within."""
    lowest, highest = float(x.min()), float(x.max())
    low = lowest if low is None else float(low)
    high = highest if high is None else float(high)
    if not low < high:
        raise IdentifiabilityError(f"{printable(label)}: a spline needs two distinct values; all are {lowest:g}")
    if lowest < low or highest > high:
        raise refusal(label, f"the bounds {low:g} and {high:g} must contain the data ({lowest:g} to {highest:g})")
    return low, high


def inner_knots(x: np.ndarray, df: Any, knots: Any, taken: int, label: str) -> list[float]:
    """The inner knots: as given, or df - `taken` quantiles at equal steps."""
    if df is not None and knots is not None:
        raise refusal(label, 'give "df" or "knots", not both')
    if knots is not None:
        return [float(k) for k in (knots if isinstance(knots, list) else [knots])]
    if df is None:
        return []
    count = whole(df, label, "df", max(taken, 1)) - taken
    return np.quantile(x, np.linspace(0, 1, count + 2))[1:-1].tolist()


def check_inside(x: np.ndarray, low: float, high: float, label: str) -> None:
    """Refuse values outside the boundary knots."""
    outside = np.flatnonzero((x < low) | (x > high))
    if len(outside):
        raise DataError(
            f"{printable(label)}: {len(outside)} values lie outside the boundary knots {low:g} and {high:g} "
            f"(first {x[outside[0]]:g} in row {outside[0]})",
            code="E_EXTRAPOLATION",
            hint='Set lower_bound= and upper_bound= when fitting, or extrapolate="extend".',
        )


MEMBER = BSpline()
