"""Variance shares in words, with the field's thresholds: ICC below 0.05 is small, above 0.25 strong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import printable
from .effective import effective_parameters
from .r2 import r2
from .shares import icc_table

if TYPE_CHECKING:
    from ..fit.fit import Fit

SMALL, STRONG = 0.05, 0.25


def strength(value: float) -> str:
    """``"weak"``, ``"moderate"`` or ``"strong"`` clustering."""
    return "weak" if value < SMALL else "strong" if value > STRONG else "moderate"


def icc_sentences(fit: Fit) -> list[str]:
    """One sentence for each grouping factor: its share, how strong that is, and how sure."""
    table = icc_table(fit)
    out = []
    for i, (label, kind) in enumerate(zip(table["group"], table["kind"], strict=True)):
        if kind != "share":
            continue
        value, low, high = (float(table[name][i]) for name in ("estimate", "lower", "upper"))
        sure = f" (interval {_percent(low)} to {_percent(high)})" if np.isfinite([low, high]).all() else ""
        name = printable(label, 40)
        text = f"{_percent(value)} of the variance sits between levels of {name}{sure}: {strength(value)} clustering."
        both = float(table["estimate"][i + 1])
        if both > value + 1e-12:
            text += f" Two rows of the same {name} correlate {both:.2f}, since they share the levels around it too."
        out.append(text)
    return out


def r2_sentence(fit: Fit) -> str:
    """What predictors, and predictors with groups, explain."""
    found = r2(fit)
    return (
        f"The predictors explain {_percent(found['marginal'])} of the variance, "
        f"predictors and groups together {_percent(found['conditional'])}."
    )


def effective_sentence(fit: Fit) -> str:
    """How many parameters the fit uses of those it has."""
    design = fit.model.design
    available = len(design.fixed_names) + sum(len(g.levels) * len(g.names) for g in design.groups)
    used = effective_parameters(fit)
    return f"The fit uses {used:.1f} effective parameters of {available} coefficients and effects."


def _percent(share: float) -> str:
    if share != share:
        return "an unknown part"
    return f"{100.0 * share:.1f}%" if share < 0.1 else f"{100.0 * share:.0f}%"
