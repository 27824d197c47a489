"""Pólya–Gamma augmentation: what turns logits into normal responses.

    e^{ψ a} / (1 + e^ψ)^b  =  2^{−b} e^{κψ} ∫ e^{−ωψ²/2} PG(ω; b, 0) dω,    κ = a − b/2

Given ω ~ PG(b, ψ), the likelihood is that of a normal response κ/ω with precision ω. Binomial: a = y, b = n. Negative
binomial with mean μ and shape s: ψ = log μ − log s, a = y, b = y + s.

Reference: Polson, Scott & Windle (2013), JASA 108, 1339-1349.
"""

from __future__ import annotations

import numpy as np


def draw(b: np.ndarray, c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent PG(b, c) numbers.

    Parameters
    ----------
    b : array of positive numbers; rows with b = 0 get 0
    c : array of the same shape
    rng : numpy Generator

    Examples
    --------
    >>> import numpy as np
    >>> w = draw(np.ones(1000), np.zeros(1000), np.random.default_rng(1))
    >>> bool(abs(w.mean() - 0.25) < 0.03)
    True
    """
    from ..numerics.polya_gamma import polya_gamma

    b, c = np.broadcast_arrays(np.asarray(b, float), np.asarray(c, float))
    out = np.zeros(b.shape)
    polya_gamma(rng, np.array(b).ravel(), np.array(c).ravel(), out.reshape(-1))
    return out
