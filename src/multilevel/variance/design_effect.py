"""What clustering costs: the design effect of a mean, and the effective sample size.

    deff = 1 + (ñ − 1) · ICC,    ñ = Σ n_ℓ² / Σ n_ℓ,    effective n = n / deff

ñ is Kish's size of an average row's group; with equal groups it is their size. ICC is the correlation of two rows of
the same level (for nested groups it includes what they share further out), in generalized models on the response's
scale.

References: Kish (1965), Survey Sampling, section 5.4; Snijders & Bosker (2012), section 3.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .icc import icc

if TYPE_CHECKING:
    from ..fit.fit import Fit


def design_effect(fit: Fit) -> dict[str, Any]:
    """Columns ``group, n_mean, icc, design_effect, effective_n``, one row for each grouping factor."""
    scale = "link" if fit.model.is_linear or fit.model.distribution.family.ordered else "response"
    correlation = icc(fit, "correlation", scale)
    design = fit.model.design
    weights = design.weights if design.weights_kind == "frequency" else None
    rows = []
    for label, value in correlation.items():
        group = next(g for g in design.groups if g.label == label)
        sizes = np.bincount(group.codes, weights=weights, minlength=len(group.levels)).astype(float)
        typical = float(np.sum(sizes**2) / np.sum(sizes))
        effect = 1.0 + (typical - 1.0) * value
        rows.append((typical, value, effect, float(np.sum(sizes)) / effect))
    columns = np.array(rows).reshape(len(rows), 4).T
    names = ("n_mean", "icc", "design_effect", "effective_n")
    return {"group": list(correlation), **dict(zip(names, columns, strict=True))}
