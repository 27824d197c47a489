"""The likelihood of a parameter: ``ml.plot.profile(fit)``.

    ζ(c) = sign(c − ĉ) √(min { d(all parameters) : this one = c } − min d),    interval { c : |ζ(c)| ≤ z }

One panel a parameter. |ζ| is a V: straight sides mean that an interval of ± standard errors would do, bent ones that
it would not; a side that ends at zero says that the standard deviation may be zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit
    from ..inference.profile import Profile

COLUMNS = 3
MOST = 12  # panels in one figure


def profile(
    subject: Fit | Profile, which: str | Sequence[str] | None = None, level: float = 0.95, ax: Axes | None = None
) -> Figure:
    """Profile likelihoods with their intervals: standard deviations, unless others are asked for.

    Parameters
    ----------
    subject : Fit or Profile
        A fit by ``"reml"`` or ``"ml"``, or what its `profile` returned.
    which : str or sequence of str, optional
        Kinds (``"fixed"``, ``"sd"``, ``"sigma"``, ``"correlation"``) or labels (``"Days"``,
        ``"sd(Days | Subject)"``); all standard deviations otherwise.
    level : float
        Coverage of the intervals; a `Profile` has its own.
    ax : matplotlib Axes, optional
        Where to draw the first parameter; a figure of its own with all of them otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For other estimators, or unknown parameters.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [ax.get_title(loc="left") for ax in ml.plot.profile(fit, "sd").axes]
    ['sd(Intercept | school)']
    """
    found = _profiled(subject, which, level)
    rows = [i for i, name in enumerate(found.names) if name.label in found.curves]
    if not rows:
        raise SettingError("none of these parameters has a profile", hint="Others may: leave `which` out.")
    shown = rows[:1] if ax is not None else rows[:MOST]
    columns = min(COLUMNS, len(shown))
    height = 2.45 * -(-len(shown) // columns)
    sheet = base.sheet(max(3.1 * columns, 5.0), height, -(-len(shown) // columns), columns, ax, sharey=True)
    height_of_interval = _quantile(found.level)
    for panel, i in zip(sheet.axes, shown, strict=False):
        _panel(panel, found, i, height_of_interval)
    for panel in sheet.axes[len(shown) :]:
        panel.set_visible(False)
    sheet.axes[0].set_ylabel("|ζ|", color=INK, fontsize=9.5)
    return sheet.head(_finding(found, shown), _reading(found, len(rows) - len(shown)))


def _profiled(subject: Any, which: str | Sequence[str] | None, level: float) -> Profile:
    from ..inference.profile import Profile
    from ..inference.profile import profile as compute

    if not isinstance(subject, Profile):
        kinds = ("sd", "sigma") if subject.sigma is not None else ("sd",)
        return compute(subject, level, which=which if which is not None else kinds if subject.model.groups else None)
    if which is None:
        return subject
    asked = [which] if isinstance(which, str) else list(which)
    keep = [i for i, name in enumerate(subject.names) if name.kind in asked or name.label in asked]
    from dataclasses import replace

    return replace(
        subject, names=tuple(subject.names[i] for i in keep), estimate=subject.estimate[keep],
        lower=subject.lower[keep], upper=subject.upper[keep],
    )  # fmt: skip


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0))


def _panel(ax: Axes, found: Profile, i: int, height: float) -> None:
    """|ζ| against the parameter, and its interval where |ζ| is below the quantile."""
    name = found.names[i]
    curve = found.curves[name.label]
    value, zeta = np.asarray(curve.value), np.abs(np.asarray(curve.zeta))
    low, high = float(found.lower[i]), float(found.upper[i])
    ax.plot(value, zeta, color=BLUE, linewidth=2.0)
    ax.axhline(height, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for end in (low, high):
        if np.isfinite(end) and value.min() <= end <= value.max():
            ax.vlines(end, 0.0, height, color=GREY, linewidth=0.9)
    ends = [v for v in (low, high) if np.isfinite(v)]
    if len(ends) == 2:
        inside = np.unique(np.clip(np.append(value, ends), low, high))
        ax.fill_between(inside, np.interp(inside, value, zeta), height, color=BLUE, alpha=0.12, linewidth=0)
    ax.plot(found.estimate[i], 0.0, "o", color=BLUE, markersize=5.5, clip_on=False, zorder=4)
    ax.set_ylim(0.0, max(1.25 * height, 2.6))
    base.title(ax, safe(name.label, 34))
    base.axis_names(ax, f"{base.number(float(found.estimate[i]))}  ({base.between(low, high)})")


def _finding(found: Profile, shown: list[int]) -> str:
    """The first standard deviation, or the first parameter."""
    i = next((i for i in shown if found.names[i].kind == "sd"), shown[0])
    name, low, high = found.names[i], float(found.lower[i]), float(found.upper[i])
    interval = f"{base.between(low, high)} ({100 * found.level:.4g}%)"
    if name.kind != "sd":
        return f"{safe(name.label, 50)}: {base.number(float(found.estimate[i]))}, {interval}"
    what = f"{safe(name.term, 30)} by {safe(name.group)}"
    if low == 0.0:
        return f"{what}: the standard deviation may be zero, {interval}"
    return f"{what}: the standard deviation is not zero, {interval}"


def _reading(found: Profile, hidden: int) -> str:
    kind = "restricted likelihood" if found.reml else "likelihood"
    more = f" {base.counted(hidden, 'parameter')} not shown." if hidden else ""
    return f"Root of the fall of the deviance ({kind}); dashed: {100 * found.level:.4g}%. Bent sides: asymmetry.{more}"


MEMBER = profile
