"""Whether chains have mixed, and how much their draws are worth.

    R̂         √((W (n − 1)/n + B/n) / W) of split chains: of normal scores of the ranks, and of those of the distances
              from the median; the larger of both
    ESS       C n / τ,  τ = −1 + 2 Σ_k min_{j ≤ k} (ρ_{2j} + ρ_{2j+1})  as long as these pairs are positive (Geyer);
              bulk: of the normal scores; tail: the smaller of those of I(x ≤ q₀.₀₅) and I(x ≤ q₀.₉₅)
    MCSE      the Monte Carlo standard errors of means, standard deviations and quantiles that follow
    E-BFMI    mean squared step of the energy over its variance

Arrays of draws are (chains, draws, …), and everything is done for many quantities at once. Only the mean of the chains'
autocovariances enters, so that there is one inverse transform for a quantity. Constant and undefined quantities have no
diagnostics: NaN.

References: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16, 667–718 (R̂: section 4.1, ESS:
3.2 and 4.2–4.3); Geyer (1992), Statistical Science 7; Betancourt (2016), arXiv:1604.00695 (E-BFMI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CHUNK = 2**18  # numbers worked on at once: what fits into a cache
TAIL = 0.05
LEAST = 4  # draws a chain
ONE_SD = 0.3413447460685429  # P(0 < Z < 1)


@dataclass(frozen=True)
class Diagnosis:
    """R̂, bulk and tail ESS, and the Monte Carlo standard error of the mean, of every quantity."""

    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    mcse_mean: np.ndarray


def diagnose(draws: np.ndarray) -> Diagnosis:
    """All that tables show of draws (chains, draws, …), in one pass; arrays have the shape of one draw."""
    values = by_chunks(_diagnosis, draws, 4)
    return Diagnosis(*values)


def _diagnosis(x: np.ndarray) -> np.ndarray:
    scores, folded, ordered = _scores(x)
    whole = ordered if x.shape[2] % 2 == 0 else np.sort(x.reshape(len(x), -1), axis=1)
    tails = np.fmin(*(_ess_below(x, _quantile(whole, p)) for p in (TAIL, 1.0 - TAIL)))
    return np.stack([np.maximum(_rhat(scores), _rhat(folded)), _ess(scores), tails, _mcse_mean(x)])


# --- one at a time -------------------------------------------------------------------------------------------------
def rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R̂, the folded one included: (chains, draws, …) → (…)."""
    return by_chunks(lambda x: np.maximum(*map(_rhat, _scores(x)[:2]))[None], draws)[0]


def ess_bulk(draws: np.ndarray) -> np.ndarray:
    """Effective draws for the centre of the distribution."""
    return by_chunks(lambda x: _ess(_scores(x, False)[0])[None], draws)[0]


def ess_tail(draws: np.ndarray) -> np.ndarray:
    """Effective draws for the 5% and 95% quantiles, the smaller of both."""
    return by_chunks(lambda x: np.fmin(_ess_quantile(x, TAIL), _ess_quantile(x, 1.0 - TAIL))[None], draws)[0]


def ess_mean(draws: np.ndarray) -> np.ndarray:
    """Effective draws for the mean."""
    return by_chunks(lambda x: _ess(split(x))[None], draws)[0]


def ess_quantile(draws: np.ndarray, probability: float) -> np.ndarray:
    """Effective draws for a quantile."""
    return by_chunks(lambda x: _ess_quantile(x, probability)[None], draws)[0]


def mcse_mean(draws: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the mean: sd / √ESS."""
    return by_chunks(lambda x: _mcse_mean(x)[None], draws)[0]


def mcse_sd(draws: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the standard deviation: √(Var(m₂) / 4 m₂), Var(m₂) with the ESS of squares."""
    return by_chunks(lambda x: _mcse_sd(x)[None], draws)[0]


def mcse_quantile(draws: np.ndarray, probability: float) -> np.ndarray:
    """Monte Carlo standard error of a quantile: half of the interval that covers it as ±1 sd of a normal does."""
    return by_chunks(lambda x: _mcse_quantile(x, probability)[None], draws)[0]


def e_bfmi(energy: np.ndarray) -> np.ndarray:
    """Bayesian fraction of missing information of each chain's energies (chains, draws); below 0.3 is low."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
        return np.asarray(steps / np.var(energy, axis=1, ddof=1))


# --- arrangement ---------------------------------------------------------------------------------------------------
def by_chunks(what: Callable[[np.ndarray], np.ndarray], draws: np.ndarray, rows: int = 1) -> np.ndarray:
    """`what` of quantities (m, chains, draws), some at a time: (rows, …) of the shape of one draw."""
    draws = np.asarray(draws, dtype=float)
    chains, n = draws.shape[:2]
    out = np.full((rows, *draws.shape[2:]), np.nan)
    if n < LEAST:
        return out
    flat, found = draws.reshape(chains, n, -1), out.reshape(rows, -1)
    step = max(1, CHUNK // (chains * n))
    for at in range(0, flat.shape[2], step):
        x = np.ascontiguousarray(flat[:, :, at : at + step].transpose(2, 0, 1))
        found[:, at : at + step] = _of_the_defined(what, x, rows)
    return out


def _of_the_defined(what: Callable[[np.ndarray], np.ndarray], x: np.ndarray, rows: int) -> np.ndarray:
    """Constant and non-finite quantities are left out: NaN."""
    out = np.full((rows, len(x)), np.nan)
    with np.errstate(all="ignore"):
        low, high = x.min(axis=(1, 2)), x.max(axis=(1, 2))
        good = np.isfinite(low) & np.isfinite(high) & (high > low)
        if good.any():
            out[:, good] = what(x if good.all() else x[good])
    return out


def split(x: np.ndarray) -> np.ndarray:
    """Halves of chains as chains: (m, C, n) → (m, 2C, n // 2); the middle draw of an odd number is left out."""
    half = x.shape[2] // 2
    return np.concatenate([x[:, :, :half], x[:, :, -half:]], axis=1)


# --- ranks ---------------------------------------------------------------------------------------------------------
def _scores(x: np.ndarray, folded: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal scores of the ranks in split chains, and of the ranks of the distances from the median; draws in order."""
    halves = split(x)
    flat = halves.reshape(len(x), -1)
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    table, out = _score_table(flat.shape[1]), np.empty_like(flat)
    np.put_along_axis(out, order, _of_ordered(ordered, table), axis=1)
    if not folded:
        return out.reshape(halves.shape), halves, ordered
    n = flat.shape[1]
    median = 0.5 * (ordered[:, (n - 1) // 2] + ordered[:, n // 2])
    distance = np.abs(ordered - median[:, None])
    # falling, then rising: a sort that merges runs needs one pass
    again = np.argsort(distance, axis=1, kind="stable")
    ranked = np.empty_like(flat)
    nearest = np.take_along_axis(distance, again, axis=1)
    np.put_along_axis(ranked, np.take_along_axis(order, again, axis=1), _of_ordered(nearest, table), axis=1)
    return out.reshape(halves.shape), ranked.reshape(halves.shape), ordered


def _score_table(n: int) -> np.ndarray:
    """Φ⁻¹((r − 3/8) / (n + 1/4)) by twice the rank r: means of tied ranks may be halves."""
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(2 * n + 1) / 2.0 - 0.375) / (n + 0.25)))


def _of_ordered(ordered: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Scores of ordered rows (m, n); equal values share that of the mean of their ranks."""
    m, n = ordered.shape
    out = np.broadcast_to(table[2::2], (m, n))
    fresh = np.ones((m, n), dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    tied = np.flatnonzero(~fresh.all(axis=1))
    if len(tied):
        out = out.copy()
        starts = np.flatnonzero(fresh[tied].ravel())
        ends = np.append(starts[1:], len(tied) * n)
        out[tied] = np.repeat(table[starts % n + (ends - 1) % n + 2], ends - starts).reshape(len(tied), n)
    return out


# --- R̂ and effective draws -----------------------------------------------------------------------------------------
def _rhat(z: np.ndarray) -> np.ndarray:
    """Of chains that are split already (m, 2C, n)."""
    n = z.shape[2]
    within = z.var(axis=2, ddof=1).mean(axis=1)
    between = z.mean(axis=2).var(axis=1, ddof=1)
    return np.asarray(np.sqrt((n - 1) / n + between / within))


def _ess(z: np.ndarray) -> np.ndarray:
    """Of chains that are split already (m, 2C, n)."""
    _, chains, n = z.shape
    covariance = _mean_autocovariance(z)
    within = covariance[:, 0] * n / (n - 1.0)
    total = covariance[:, 0] + (z.mean(axis=2).var(axis=1, ddof=1) if chains > 1 else 0.0)
    rho = 1.0 - (within[:, None] - covariance) / total[:, None]
    rho[:, 0] = 1.0
    count = chains * n
    tau = np.maximum(_autocorrelation_time(rho), 1.0 / np.log10(count))
    return np.asarray(count / tau)


def _mean_autocovariance(z: np.ndarray) -> np.ndarray:
    """Means over chains of Σ_t z_t z_{t+k} / n, (m, n)."""
    from scipy import fft

    n = z.shape[2]
    size = fft.next_fast_len(2 * n, real=True)
    parts = fft.rfft(z - z.mean(axis=2, keepdims=True), size, axis=2).view(float)
    squares = np.einsum("mcf,mcf->mf", parts, parts) / (z.shape[1] * n)
    power = squares[:, ::2] + squares[:, 1::2]
    return np.asarray(fft.irfft(power, size, axis=1)[:, :n])


def _autocorrelation_time(rho: np.ndarray) -> np.ndarray:
    """τ of autocorrelations (m, n), by Geyer's initial monotone sequence."""
    pairs = max((rho.shape[1] - 3) // 2 + 1, 1)  # the last pair that may end the sequence
    even, odd = rho[:, 0 : 2 * pairs : 2], rho[:, 1 : 2 * pairs : 2]
    sums = even + odd
    negative = sums <= 0.0
    end = np.where(negative.any(axis=1), negative.argmax(axis=1), pairs - 1)
    kept = np.arange(pairs) < end[:, None]
    falling = np.minimum.accumulate(sums, axis=1)
    last, whole = (np.take_along_axis(a, end[:, None], axis=1)[:, 0] for a in (even, sums))
    beyond = np.where(whole >= 0.0, last, np.maximum(last, 0.0))  # half of the pair that ends the sequence
    return np.asarray(-1.0 + 2.0 * (falling * kept).sum(axis=1) + beyond)


def _ess_quantile(x: np.ndarray, probability: float) -> np.ndarray:
    return _ess_below(x, np.quantile(x.reshape(len(x), -1), probability, axis=1))


def _quantile(ordered: np.ndarray, probability: float) -> np.ndarray:
    """Quantiles of ordered rows, interpolated as NumPy's."""
    at = (ordered.shape[1] - 1) * probability
    low = int(at)
    left, right = ordered[:, low], ordered[:, min(low + 1, ordered.shape[1] - 1)]
    return np.asarray(left + (right - left) * (at - low))


def _ess_below(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Effective draws of I(x ≤ q)."""
    below = split((x <= q[:, None, None]).astype(float))
    varies = below.min(axis=(1, 2)) < below.max(axis=(1, 2))
    return np.where(varies, _ess(below), np.nan)


# --- Monte Carlo errors --------------------------------------------------------------------------------------------
def _mcse_mean(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(x.var(axis=(1, 2), ddof=1) / _ess(split(x))))


def _mcse_sd(x: np.ndarray) -> np.ndarray:
    squares = (x - x.mean(axis=(1, 2), keepdims=True)) ** 2
    variance = squares.mean(axis=(1, 2))
    spread = (squares**2).mean(axis=(1, 2)) - variance**2
    return np.asarray(np.sqrt(spread / _ess(split(squares)) / variance / 4.0))


def _mcse_quantile(x: np.ndarray, probability: float) -> np.ndarray:
    from scipy.special import betaincinv

    ordered = np.sort(x.reshape(len(x), -1), axis=1)
    n, ess = ordered.shape[1], _ess_quantile(x, probability)
    a, b = ess * probability + 1.0, ess * (1.0 - probability) + 1.0
    ends = [np.nan_to_num(betaincinv(a, b, 0.5 + side * ONE_SD), nan=probability) * n - 1.0 for side in (-1, 1)]
    low, high = np.maximum(np.floor(ends[0]), 0), np.minimum(np.ceil(ends[1]), n - 1)
    values = [np.take_along_axis(ordered, at.astype(int)[:, None], axis=1)[:, 0] for at in (low, high)]
    return np.where(np.isnan(ess), np.nan, 0.5 * (values[1] - values[0]))
