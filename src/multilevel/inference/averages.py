"""What a comparison says about sampled fits beyond leave-out scores: weights for averaging them, and their evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import printable
from .stacking import proper, pseudo_bma, stacking

if TYPE_CHECKING:
    from ..fit.fit import Fit

AVERAGES = {  # columns and their headings
    "stacking": "stacking", "pseudo_bma": "pseudo-BMA+", "log_evidence": "log evidence", "bayes_factor": "Bayes factor",
}  # fmt: skip
FEW_ROWS = 100  # below which a difference of elpd has no reliable standard error


def of_other_groups(fit: Fit, group: str, fits: Sequence[Fit]) -> Any:
    """A sampled fit that does not know the factor, with that factor's levels left out."""
    from ..checks.psis_logo import logo_of_draws

    term = next(g for other in fits for g in other.model.design.groups if g.label == group)
    return logo_of_draws(fit, group, term.codes, tuple(term.levels))


def averages(fits: Sequence[Fit], each: Sequence[Any], seed: int) -> dict[str, np.ndarray]:
    """Weights from the scores of rows left out, and the evidence of the models."""
    nothing = np.full(len(fits), math.nan)
    out: dict[str, np.ndarray] = dict.fromkeys(AVERAGES, nothing)
    if all(score is not None and math.isfinite(score.elpd) for score in each):
        elpd = np.column_stack([score.elpd_each for score in each])
        out |= {"stacking": stacking(elpd), "pseudo_bma": pseudo_bma(elpd, seed)}
    found = nothing.copy()
    for i, fit in enumerate(fits):
        sample = fit.estimates.certainty.sample
        if sample is not None and "log_evidence" in sample.info and proper(fit.model):
            found[i] = float(sample.info["log_evidence"])
    if np.isfinite(found).any():
        out |= {"log_evidence": found, "bayes_factor": np.exp(found - np.nanmax(found))}
    return out


def of_few_rows(fits: Sequence[Fit]) -> list[str]:
    n = fits[0].model.design.n
    return [f"With {n} rows the standard errors of differences are too small: they need {FEW_ROWS} or more."] * (
        n < FEW_ROWS
    )


def of_weights(each: Sequence[Any], labels: Sequence[str]) -> list[str]:
    """Which scores rest on importance weights that are not reliable."""
    return [
        f"LOO of {printable(label, 70)}: Pareto k̂ is above {score.limit:.2f} for {len(score.unreliable)} rows; "
        "loo(fit, refit=True) fits again without them."
        for score, label in zip(each, labels, strict=True) if score is not None and len(score.unreliable)
    ]  # fmt: skip
