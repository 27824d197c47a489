"""``cr(x, df=4)``: natural cubic regression splines, as mgcv's ``bs="cr"`` and formulaic's ``cr``.

Each column is 1 at its own knot and 0 at the others; between the knots the curve is cubic, beyond them linear:

    f(x) = a⁻(x) β_j + a⁺(x) β_{j+1} + c⁻(x) F_j β + c⁺(x) F_{j+1} β,      knot_j <= x <= knot_{j+1}

where F maps values at the knots to second derivatives.

    cr(x, df=None, knots=None, lower_bound=None, upper_bound=None, constraints=None)

The columns add up to one, so beside an intercept one coefficient is not identified; ``constraints="center"`` removes
the constant (each curve averages zero over the training rows), and then `df` counts the columns that remain.

Reference: Wood (2006), Generalized Additive Models, 145-147.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import IdentifiabilityError, printable
from .base import Memory, Transform, refusal, whole
from .bs import bounds


class CubicRegression(Transform):
    """Natural cubic regression splines."""

    settings = {  # noqa: RUF012
        "df": None,
        "knots": None,
        "lower_bound": None,
        "upper_bound": None,
        "constraints": None,
    }

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        if settings["constraints"] not in (None, "center"):
            raise refusal(label, '"constraints" must be "center"')
        centred = settings["constraints"] == "center"
        knots = all_knots(x, settings, centred, label)
        memory: Memory = {"knots": knots.tolist(), "centering": None}
        count = len(knots)
        if centred:
            means = np.array([[c.mean() for c in basis(x, knots)]])
            # an orthonormal basis of the coefficients whose curves average zero
            memory["centering"] = np.linalg.qr(means.T, mode="complete")[0][:, 1:].tolist()
            count -= 1
        return {"fields": [str(i + 1) for i in range(count)], **memory}

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        columns = basis(x, np.array(memory["knots"]))
        if memory["centering"] is None:
            return tuple(columns)
        # sums of columns and not a matrix product, whose rounding depends on the number of rows
        return tuple(
            sum((w * c for w, c in zip(weights[1:], columns[1:], strict=True)), weights[0] * columns[0])
            for weights in zip(*memory["centering"], strict=True)
        )


def all_knots(x: np.ndarray, settings: dict[str, Any], centred: bool, label: str) -> np.ndarray:
    """Boundary knots and inner ones: as given, or quantiles of the distinct values."""
    df, given = settings["df"], settings["knots"]
    if (df is None) == (given is None):
        raise refusal(label, 'give "df" or "knots"')
    low, high = bounds(x, settings["lower_bound"], settings["upper_bound"], label)
    if given is not None:
        inner = np.array(given if isinstance(given, list) else [given], float)
        if inner.size and not (low < inner.min() and inner.max() < high):
            raise refusal(label, f"inner knots must lie between {low:g} and {high:g}")
    else:
        count = whole(df, label, "df", 1 if centred else 2) - 2 + centred
        inner = np.percentile(np.unique(x), np.linspace(0, 100, count + 2)[1:-1])
    knots, distinct = np.unique(np.concatenate(([low, high], inner))), len(np.unique(x))
    if distinct < len(inner) + 2 or len(knots) < len(inner) + 2:
        raise IdentifiabilityError(
            f"{printable(label)}: {len(inner) + 2} knots need as many distinct values; the column has {distinct}",
            hint="Lower df.",
        )
    return knots


def second_derivatives(knots: np.ndarray) -> np.ndarray:
    """F: second derivatives at the knots for the values at the knots (zero at both ends)."""
    k, h = len(knots), np.diff(knots)
    f = np.zeros((k, k))
    if k == 2:
        return f
    inner = np.arange(k - 2)
    b = np.diag((h[:-1] + h[1:]) / 3.0) + np.diag(h[1:-1] / 6.0, 1) + np.diag(h[1:-1] / 6.0, -1)
    d = np.zeros((k - 2, k))
    d[inner, inner], d[inner, inner + 2] = 1.0 / h[:-1], 1.0 / h[1:]
    d[inner, inner + 1] = -d[inner, inner] - d[inner, inner + 2]
    f[1:-1] = np.linalg.solve(b, d)
    return f


def basis(x: np.ndarray, knots: np.ndarray) -> list[np.ndarray]:
    """The free columns at x, one for each knot."""
    j = np.clip(np.searchsorted(knots, x) - 1, 0, len(knots) - 2)
    h, right, left = np.diff(knots)[j], knots[j + 1] - x, x - knots[j]
    # beyond the ends the cubic part vanishes and the curve goes on as a line
    c_left = np.where(x > knots[-1], 0.0, right**3 / (6.0 * h)) - h * right / 6.0
    c_right = np.where(x < knots[0], 0.0, left**3 / (6.0 * h)) - h * left / 6.0
    f = second_derivatives(knots)
    return [
        right / h * (j == i) + left / h * (j + 1 == i) + c_left * f[j, i] + c_right * f[j + 1, i]
        for i in range(len(knots))
    ]


MEMBER = CubicRegression()
