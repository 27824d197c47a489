"""Are ranks uniform? χ² over bins, and the largest deviation of their distribution function with a simultaneous band.

    r_1, …, r_N on {0, …, L};    F̂(j) = share of ranks ≤ j;    pointwise N F̂(j) ~ Binomial(N, (j + 1)/(L + 1))

The band's pointwise level γ is the one at which a set of N uniform ranks leaves the band anywhere with probability α,
found by simulation; the p-value is the share of uniform sets that come as close to the edge somewhere as the ranks do.

Reference: Säilynoja, Bürkner & Vehtari (2022), Statistics & Computing 32:32, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

SIMULATIONS = 4000
LEAST_IN_BIN = 10.0


@dataclass(frozen=True)
class Band:
    """The simultaneous band for N ranks on {0, …, L}.

    Parameters
    ----------
    low, high : (L + 1,) shares that F̂ stays between with probability 1 − α
    tails : sorted smallest pointwise tail probabilities of uniform sets
    """

    low: np.ndarray
    high: np.ndarray
    tails: np.ndarray


def tails_of(counts: np.ndarray, n: int) -> np.ndarray:
    """Smallest pointwise two-sided tail probability of cumulative counts (…, L), over all places but the last."""
    from scipy.special import bdtr

    L1 = counts.shape[-1]
    p = np.arange(1, L1) / L1
    below = counts[..., :-1]
    lower = bdtr(below, n, p)
    upper = 1.0 - np.where(below > 0, bdtr(np.maximum(below - 1, 0), n, p), 0.0)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(lower, upper)).min(axis=-1))


@cache
def band(n: int, largest: int, alpha: float = 0.05) -> Band:
    """The band of `n` ranks on {0, …, `largest`}."""
    from scipy.stats import binom

    rng = np.random.default_rng(20220101)
    counts = rng.multinomial(n, np.full(largest + 1, 1.0 / (largest + 1)), SIMULATIONS).cumsum(axis=1)
    tails = np.sort(tails_of(counts, n))
    gamma = float(np.quantile(tails, alpha))
    p = np.arange(1, largest + 2) / (largest + 1)
    return Band(binom.ppf(0.5 * gamma, n, p) / n, binom.ppf(1.0 - 0.5 * gamma, n, p) / n, tails)


def envelope_p(ranks: np.ndarray, largest: int) -> float:
    """p-value of uniformity by the band."""
    n = len(ranks)
    counts = np.bincount(ranks, minlength=largest + 1).cumsum()
    tails = band(n, largest).tails
    below = int(np.searchsorted(tails, float(tails_of(counts, n)) * (1.0 + 1e-12), side="right"))
    return (below + 1.0) / (len(tails) + 1.0)


def bins(n: int, largest: int) -> int:
    """Number of equal bins: a divisor of the number of ranks, with ten ranks expected in each."""
    most = max(2, int(n / LEAST_IN_BIN))
    return max(b for b in range(1, min(most, 20) + 1) if (largest + 1) % b == 0)


def chi_square_p(ranks: np.ndarray, largest: int) -> float:
    """p-value of Pearson's χ² against equal bins."""
    from scipy.special import chdtrc

    b = bins(len(ranks), largest)
    if b < 2:
        return 1.0
    found = np.bincount(ranks * b // (largest + 1), minlength=b)
    expected = len(ranks) / b
    return float(chdtrc(b - 1, ((found - expected) ** 2 / expected).sum()))
