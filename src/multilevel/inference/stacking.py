"""Weights for averaging the predictive distributions of several models, from what each says about units left out.

    stacking         max_w Σ_i log Σ_k w_k p_k(y_i | y₋ᵢ),    w on the simplex
    pseudo-BMA+      w_k = E softmax_k(n Σ_i α_i elpd_ik),     α ~ Dirichlet(1, …, 1): the Bayesian bootstrap

Stacking looks for the best mixture, whichever models are alike; pseudo-BMA+ asks how sure the ranking is.

Reference: Yao, Vehtari, Simpson & Gelman (2018), Bayesian Analysis 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..model.model import Model

STEPS, TOLERANCE = 20_000, 1e-12
REPLICATES = 2000  # of the Bayesian bootstrap


def stacking(elpd: np.ndarray) -> np.ndarray:
    """Stacking weights (K,) from log predictive densities of units left out, (n, K).

    Examples
    --------
    >>> stacking(np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])).round(3).tolist()
    [1.0, 0.0]
    """
    p = np.exp(elpd - elpd.max(axis=1, keepdims=True))
    w = np.full(p.shape[1], 1.0 / p.shape[1])
    for _ in range(STEPS):  # each step of this EM algorithm raises the score, and stays on the simplex
        gain = (p / (p @ w)[:, None]).mean(axis=0)
        w = w * gain
        if gain.max() - 1.0 < TOLERANCE or np.abs(w * (gain - 1.0)).max() < TOLERANCE:
            break
    return np.asarray(w / w.sum())


def pseudo_bma(elpd: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pseudo-BMA+ weights (K,) from log predictive densities of units left out, (n, K).

    Examples
    --------
    >>> pseudo_bma(np.array([[-1.0, -9.0], [-1.0, -9.0]])).round(3).tolist()
    [1.0, 0.0]
    """
    n, count = elpd.shape
    rng, total = np.random.default_rng(seed), np.zeros(count)
    size = max(1, 2_000_000 // max(n, 1))
    done = 0
    while done < REPLICATES:
        some = min(size, REPLICATES - done)
        alpha = rng.standard_exponential((some, n))
        z = n * (alpha @ elpd) / alpha.sum(axis=1, keepdims=True)
        w = np.exp(z - z.max(axis=1, keepdims=True))
        total += (w / w.sum(axis=1, keepdims=True)).sum(axis=0)
        done += some
    return total / REPLICATES


def proper(model: Model) -> bool:
    """Whether every prior of the model is proper: the evidence of others is defined up to a constant only."""
    priors, design = model.priors, model.design
    if not (all(term.proper for term in priors.terms) and all(p.proper for p in priors.constants.values())):
        return False
    directions = [item.direction for item in priors.linear if item.prior.proper]
    columns = len(design.fixed_names) - len(model.dropped)
    return int(np.linalg.matrix_rank(np.array(directions))) >= columns if directions else columns == 0
