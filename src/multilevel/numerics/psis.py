"""Pareto-smoothed importance sampling, for many columns of weights at once.

The M largest of S weights, M = min(S/5, 3 (S/r)^½), are replaced by the quantiles (j − ½)/M of a generalized Pareto
distribution fitted to what they exceed the next one by:

    p(x) = 1/σ (1 + k x/σ)^(−1/k − 1)

Its shape k̂ tells how many moments the weights have: above min(1 − 1/log₁₀ S, 0.7) what they estimate is not reliable
at this S. The fit is the quasi-Bayesian one of Zhang & Stephens: with b = −k/σ on a grid of m = 30 + M^½ points,
weighted by its profile likelihood; k is then pulled towards ½ as if by ten observations.

References: Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72); Zhang & Stephens (2009), Technometrics 51.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_TAIL = 5  # weights below which nothing is fitted
CHUNK = 2**22  # numbers held at once


@dataclass(frozen=True)
class Smoothed:
    """Smoothed weights.

    Parameters
    ----------
    log_weights : (S,) or (S, n), normalised: their exponentials sum to one
    khat : (n,); 0 where the largest weights are all alike, infinite where there are too few to tell
    ess : (n,), effective number of draws 1/Σw², times the relative efficiency
    """

    log_weights: np.ndarray
    khat: np.ndarray
    ess: np.ndarray


def threshold(draws: float) -> float:
    """k̂ above which weights of so many draws are not to be trusted: min(1 − 1/log₁₀ S, 0.7)."""
    return float(min(1.0 - 1.0 / np.log10(max(draws, 11.0)), 0.7))


def psis(log_weights: np.ndarray, efficiency: float | np.ndarray = 1.0) -> Smoothed:
    """Smooth the columns of log weights (S,) or (S, n).

    Parameters
    ----------
    log_weights : log importance ratios, up to a constant a column; −inf is a weight of zero
    efficiency : effective number of draws over S, of draws that depend on each other; one, or one a column

    Returns
    -------
    Smoothed
    """
    given = np.asarray(log_weights, dtype=float)
    columns = given.reshape(len(given), -1)
    s, n = columns.shape
    rate = np.broadcast_to(np.asarray(efficiency, dtype=float), (n,))
    out = columns - np.max(columns, axis=0)
    out[np.isnan(out)] = -np.inf
    khat = np.full(n, np.inf)
    tails = np.minimum(np.ceil(0.2 * s), np.ceil(3.0 * np.sqrt(s / np.maximum(rate, 1e-10)))).astype(int)
    for m in np.unique(tails):
        members = np.flatnonzero(tails == m)
        step = max(1, CHUNK // max(s, m * _grid(m)))
        for first in range(0, len(members) if m >= LEAST_TAIL else 0, step):
            part = members[first : first + step]
            out[:, part], khat[part] = _smooth(out[:, part], m)
    with np.errstate(divide="ignore"):
        out -= np.log(np.exp(out).sum(axis=0))
    ess = rate / np.exp(2.0 * out).sum(axis=0)
    return Smoothed(out.reshape(given.shape), khat, ess)


def _smooth(columns: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns (S, n) with largest value 0: their tails of m smoothed, and k̂."""
    order = np.argpartition(columns, len(columns) - m - 1, axis=0)
    cut = np.take_along_axis(columns, order[-m - 1 : -m], axis=0)
    tail = order[-m:]
    values = np.take_along_axis(columns, tail, axis=0)
    within = np.argsort(values, axis=0, kind="stable")
    tail = np.take_along_axis(tail, within, axis=0)
    above = np.exp(np.take_along_axis(values, within, axis=0)) - np.exp(cut)
    varied = above[max(int(m / 4 + 0.5) - 1, 0)] > 1e-300
    khat, sigma = generalized_pareto(np.where(varied, above, np.arange(1.0, m + 1.0)[:, None]))
    probability = (np.arange(m) + 0.5)[:, None] / m
    smooth = np.log(np.exp(cut) + _quantile(probability, khat, sigma))
    out = columns.copy()
    np.put_along_axis(out, tail, np.where(varied, np.minimum(smooth, 0.0), np.take_along_axis(out, tail, axis=0)), 0)
    return out, np.where(varied, khat, 0.0)


def _grid(m: int) -> int:
    return 30 + int(np.sqrt(m))


def generalized_pareto(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape k and scale σ of ascending positive columns (m, n)."""
    m = len(x)
    points = _grid(m)
    place = np.arange(1, points + 1)[:, None] - 0.5
    quarter = x[max(int(m / 4 + 0.5) - 1, 0)]
    b = 1.0 / x[-1] + (1.0 - np.sqrt(points / place)) / (3.0 * quarter)  # (points, n)
    k = _shape(b, x)
    profile = m * (np.log(-b / k) - k - 1.0)
    weight = np.exp(profile - profile.max(axis=0))
    b_mean = (b * weight).sum(axis=0) / weight.sum(axis=0)
    k_mean = _shape(b_mean[None], x)[0]
    sigma = -k_mean / b_mean
    return (m * k_mean + 5.0) / (m + 10.0), sigma


def _shape(b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mean of log(1 − b x) over each column, for every b (points, n)."""
    return np.asarray(np.log1p(-b[:, None, :] * x).mean(axis=1))


def _quantile(probability: np.ndarray, k: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    log_upper = np.log1p(-probability)
    safe = np.where(np.abs(k) < 1e-12, 1.0, k)
    return np.asarray(sigma * np.where(np.abs(k) < 1e-12, -log_upper, np.expm1(-safe * log_upper) / safe))
