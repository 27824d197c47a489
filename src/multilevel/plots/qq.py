"""Are residuals and group effects normal? ``ml.plot.qq(fit)``.

    rows      studentised (or quantile) residuals            levels    b̂_ℓ / sd(b̂_ℓ), sd of what shrinkage leaves

Sorted values against normal quantiles, one panel a kind. The band holds 95% of what data simulated from the fit and
analysed in the same way give at each place: ties between residuals, shrinkage and weights are in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.case import Case, Effects
    from ..fit.fit import Fit

MOST = 6  # panels
DRAWS = 200
NAMED = 3  # levels outside the band that are named at either end
FEW, TAIL = 20, 1.3  # beyond so many levels only those in the tails are named


def qq(fit: Fit, seed: int = 0) -> Figure:
    """Quantiles of the residuals, and of every kind of group effect, against normal ones.

    Parameters
    ----------
    fit : Fit
    seed : int
        Of the simulated band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For estimators without a model of the groups.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [ax.get_title(loc="left") for ax in ml.plot.qq(fit).axes]
    ['residuals', 'Intercept by school']
    """
    from ..checks.normality import normality_findings
    from ..checks.working import case_of

    case = case_of(fit, seed)
    panels: list[tuple[str, np.ndarray, np.ndarray, tuple[str, ...] | None]] = []
    if case.by_row:
        panels.append(("residuals", case.studentized, case.replicated, None))
    for effects, null in zip(case.effects[: MOST - 1], simulated_effects(case), strict=False):
        panels.append((f"{safe(effects.term, 20)} by {safe(effects.label, 20)}", effects.z, null, effects.levels))
    if not panels:
        reason = case.skipped[-1] if case.skipped else "no residual variance and no group effects"
        raise SettingError(f"nothing to compare with normal quantiles: {reason}", hint="See fit.residuals().")
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    sheet = base.sheet(max(3.3 * columns, 4.2), 3.2 * rows, rows, columns)
    for ax, (name, values, null, levels) in zip(sheet.axes, panels, strict=False):
        points(ax, values, null, levels)
        base.title(ax, name)
    for ax in sheet.axes[len(panels) :]:
        ax.set_visible(False)
    sheet.axes[0].set_ylabel("standardised value", color=INK, fontsize=9.5)
    found = base.worst(normality_findings(case))
    note = "Band: 95% at each place in data simulated from the fit. Across: normal quantiles."
    return sheet.head(found or "Residuals and group effects are as normal ones would be", note)


def points(ax: Axes, values: np.ndarray, null: np.ndarray, levels: tuple[str, ...] | None) -> None:
    """Sorted values with the band of simulated ones, (n, draws); levels outside it by name."""
    from scipy.special import ndtri

    n = len(values)
    order = np.argsort(values, kind="stable")
    size = max(float(np.sqrt(np.mean(values**2))), 1e-300)
    with np.errstate(invalid="ignore", divide="ignore"):  # the variance was estimated: compare shapes
        star = np.sort(null / np.sqrt(np.mean(null**2, axis=0)), axis=0) * size
    lower, upper = np.quantile(np.nan_to_num(star), [0.025, 0.975], axis=1)
    normal, ordered = ndtri((np.arange(1.0, n + 1.0) - 0.375) / (n + 0.25)), values[order]
    outside = (ordered < lower) | (ordered > upper)
    ax.fill_between(normal, lower, upper, color=GREY, alpha=0.22, linewidth=0)
    ax.plot(normal, size * normal, color=INK, linewidth=0.8)
    shown = base.thinned(n, np.concatenate([np.arange(min(50, n)), np.arange(max(n - 50, 0), n)]), 1500)
    marker = 16.0 if n <= 400 else 6.0
    for here, colour in ((~outside, BLUE), (outside, ORANGE)):
        mine = shown[here[shown]]
        ax.scatter(normal[mine], ordered[mine], s=marker, color=colour, linewidth=0, zorder=3)
    base.quiet(ax, "both")
    if levels is not None:
        _name(ax, normal, ordered, outside, [levels[i] for i in order])


def _name(ax: Axes, normal: np.ndarray, ordered: np.ndarray, outside: np.ndarray, names: list[str]) -> None:
    """The most extreme levels outside the band, those at the upper end at the left of their points."""
    found = np.flatnonzero(outside & ((np.abs(normal) > TAIL) | (len(names) <= FEW)))
    for rows, left in ((found[normal[found] < 0][:NAMED], False), (found[normal[found] > 0][-NAMED:], True)):
        low, high = ax.get_ylim()
        at = [int(i) for i in rows]
        texts = [safe(names[i], 16) for i in at]
        base.call_out(ax, [float(normal[i]) for i in at], [float(ordered[i]) for i in at], texts,
                      0.06 * (high - low), left)  # fmt: skip


def simulated_effects(case: Case) -> list[np.ndarray]:
    """For each of `case.effects`, those of simulated responses standardised in the same way, (L, draws)."""
    found = case.effects
    if not found:
        return []
    if case.null is not None:
        return list(case.null.effects)
    if not case.model.is_linear or not case.solvable:
        rng = np.random.default_rng(case.seed)
        return [rng.standard_normal((len(e.z), DRAWS)) for e in found]
    y = case.fit.simulate(case.adjusted.draws, seed=case.seed, target="new_group").T
    fixed = np.asarray(case.fit.predict(target="reference", interval=None)["estimate"], dtype=float)
    _, effects = case.adjusted.solve(y - fixed[:, None])
    return [_standardised(case, e, effects) for e in found]


def _standardised(case: Case, e: Effects, effects: list[np.ndarray]) -> np.ndarray:
    for group, simulated in zip(case.design.groups, effects, strict=True):
        if group.label == e.label and e.term in group.names:
            place = {level: i for i, level in enumerate(group.levels)}
            rows = [place[level] for level in e.levels]
            own = simulated[rows, group.names.index(e.term)]
            return np.asarray(own / (e.sd * np.sqrt(e.weight))[:, None])
    raise AssertionError("effects of a term that the design does not have")


MEMBER = qq
