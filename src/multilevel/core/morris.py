"""What estimating the between variance adds to the variance of shrunken means: Morris's correction.

    ȳ_j | θ_j ~ N(θ_j, V_j),   θ_j ~ N(x_j'β, τ²),   B_j = V_j/(V_j + τ̂²)
    s_j² = V_j [1 − (1 − h_j) B̃_j] + v_j (ȳ_j − x_j'β̂)²
    B̃_j = (k − r − 2)/(k − r) · B_j,    v_j = 2/(k − r − 2) · B̃_j² · (V̄ + τ̂²)/(V_j + τ̂²)

with k groups, r group-level coefficients, h_j the leverage of group j, V̄ the mean of V_j weighted by 1/(V_j + τ̂²).
The first term without the tilde is the conditional variance with β unknown; this module gives the rest: the fraction
by which B̃ is smaller (an estimated B is too large on average) and v_j, the variance of B̂ itself.

References: Morris (1983), JASA 78, 47-55, section 5.
"""

from __future__ import annotations

import numpy as np


def extra_variance(
    variances: np.ndarray, tau2: float, leverage: np.ndarray, deviations: np.ndarray, rank: int
) -> np.ndarray:
    """s_j² − V_j [1 − (1 − h_j) B_j] for each group; needs k − rank ≥ 3.

    Parameters
    ----------
    variances : (k,) V_j;  leverage : (k,) h_j;  deviations : (k,) ȳ_j − x_j'β̂;  rank : r
    """
    k = len(variances)
    shrink = (k - rank - 2) / (k - rank)
    total = variances + tau2
    b = variances / total
    typical = float(np.sum(variances / total) / np.sum(1.0 / total))
    v = 2.0 / (k - rank - 2) * (shrink * b) ** 2 * (typical + tau2) / total
    return np.asarray(variances * (1.0 - leverage) * (1.0 - shrink) * b + v * deviations**2)
