"""Intervals of functions of variance components.

    MOVER   interval of A/(A + B) from those of A and B, taken as independent: the ends of the log ratio combine the
            distances of the separate ends (Zou & Donner 2008). It needs no curvature, so zero is an end like any other.
    delta   g(ψ̂) ± z · sd on the logit scale, from the observed information of the variance parameters

Profile intervals of standard deviations go into the first wherever a component is one standard deviation.

References: Zou & Donner (2008), Statistics in Medicine 27; Donner & Zou (2012), Stat. Methods Med. Res. 21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..fit.fit import Fit

DRAWS = 1000  # of a sampled fit
Ends = tuple[float, float]
Covariances = list[np.ndarray]


def mixed_certainty(fit: Fit) -> Any:
    """The certainty of a likelihood fit, loaded or not; None for other estimators."""
    certainty: Any = fit.estimates.certainty
    certainty = getattr(certainty, "_certainty", certainty)
    return certainty if hasattr(certainty, "information") else None


def generalized_certainty(fit: Fit) -> Any:
    """The certainty of an approximate-likelihood fit, loaded or not; None for other estimators."""
    certainty: Any = fit.estimates.certainty
    certainty = getattr(certainty, "_certainty", certainty)
    return certainty if hasattr(certainty, "curvature") else None


def share_interval(a: float, a_ends: Ends, b: float, b_ends: Ends) -> Ends:
    """Interval of a/(a + b) for positive quantities known independently."""
    if not np.isfinite([*a_ends, *b_ends]).all() or a + b <= 0.0:
        return float("nan"), float("nan")
    if b <= 0.0:
        return a_ends[0] / (a_ends[0] + b_ends[1]) if a_ends[0] > 0.0 else 0.0, 1.0
    low = 0.0
    if a > 0.0 and a_ends[0] > 0.0:
        low = a / b * float(np.exp(-np.hypot(np.log(a / a_ends[0]), np.log(b_ends[1] / b))))
    if a > 0.0:
        below = np.log(b / b_ends[0]) if b_ends[0] > 0.0 else np.inf
        high = a / b * float(np.exp(np.hypot(np.log(a_ends[1] / a), below)))
    else:  # the ratio's upper end comes from the zero variance's own
        high = a_ends[1] / b_ends[0] if b_ends[0] > 0.0 else np.inf
    return low / (1.0 + low), (high / (1.0 + high) if np.isfinite(high) else 1.0)


def sum_interval(parts: list[tuple[float, Ends]]) -> tuple[float, Ends]:
    """Estimate and interval of a sum of quantities known independently."""
    total = sum(value for value, _ in parts)
    low = total - float(np.sqrt(sum((value - ends[0]) ** 2 for value, ends in parts)))
    high = total + float(np.sqrt(sum((ends[1] - value) ** 2 for value, ends in parts)))
    return total, (max(low, 0.0), high)


def delta_interval(fit: Fit, f: Callable[[Covariances, float], np.ndarray], level: float, scale: str) -> np.ndarray:
    """(m, 2) intervals of f(covariances, σ²) ≥ 0 on the log (``"log"``) or logit scale; NaN where there is none.

    Parameters
    ----------
    f : covariances of the terms and σ² → (m,)
    """
    from scipy.special import ndtri

    if fit.sampled:
        return np.quantile(over_covariances(fit, f), [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0).T
    value = np.atleast_1d(f(list(fit.estimates.covariances), 0.0 if fit.sigma is None else fit.sigma**2))
    out = np.full((len(value), 2), np.nan)
    approximate = generalized_certainty(fit)
    if approximate is not None:
        return _approximate(approximate, f, value, level, scale)
    certainty = mixed_certainty(fit)
    if certainty is None or certainty.information.n_psi == 0:
        return out
    info = certainty.information
    unit = certainty.unit**2
    sigma2 = info.state.sigma2

    def at(state: Any, factor: float = 1.0) -> np.ndarray:
        residual = sigma2 * factor * unit if fit.sigma is not None else 0.0
        return _link(np.atleast_1d(f(_covariances(certainty, state, sigma2 * factor * unit), residual)), scale)

    slopes = np.zeros((info.n_psi, len(value)))
    with np.errstate(divide="ignore", invalid="ignore"):
        if len(info.free):
            slopes[: len(info.free)] = info.differences(at)
        if info.with_sigma:
            state = info.restore()
            slopes[-1] = (at(state, np.exp(2e-4)) - at(state, np.exp(-2e-4))) / 2e-4
        centre = _link(value, scale)
        half = float(ndtri(0.5 + level / 2.0)) * np.sqrt(np.einsum("sm,st,tm->m", slopes, info.covariance, slopes))
        out[:, 0], out[:, 1] = _back(centre - half, scale), _back(centre + half, scale)
    info.restore()
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return out


def over_covariances(fit: Fit, f: Callable[[Covariances, float], np.ndarray]) -> np.ndarray:
    """f(covariances, σ²) in the draws of a sampled fit, (draws, m)."""
    from ..predictions.posterior import posterior

    draws = posterior(fit).thinned(DRAWS)
    sigma2 = np.zeros(len(draws)) if fit.sigma is None else np.exp(2.0 * draws.constants[1])
    return np.stack(
        [np.atleast_1d(f([c[s] for c in draws.covariances], float(sigma2[s]))) for s in range(len(draws))]
    )


def _approximate(
    certainty: Any, f: Callable[[Covariances, float], np.ndarray], value: np.ndarray, level: float, scale: str
) -> np.ndarray:
    """The same from the observed information of an approximate likelihood, whose σ² is known."""
    from scipy.special import ndtri

    out = np.full((len(value), 2), np.nan)
    if not certainty.criterion.scales or certainty.curvature.n_psi == 0:
        return out

    def at(state: Any) -> np.ndarray:
        lams = [certainty._lam(state, t) for t in range(len(certainty.criterion.scales))]
        return _link(np.atleast_1d(f([lam @ lam.T for lam in lams], 0.0)), scale)

    with np.errstate(divide="ignore", invalid="ignore"):
        centre, half = _link(value, scale), float(ndtri(0.5 + level / 2.0)) * certainty._delta(at)
        out[:, 0], out[:, 1] = _back(centre - half, scale), _back(centre + half, scale)
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return out


def _covariances(certainty: Any, state: Any, variance: float) -> Covariances:
    out: Covariances = [np.zeros(0)] * len(certainty.likelihood.scales)
    for t, (f, a, b) in certainty._places.items():
        lam = certainty.products.to_effects[t] @ state.lam[f][a:b, a:b]
        out[t] = variance * (lam @ lam.T)
    return out


def _link(x: np.ndarray, scale: str) -> np.ndarray:
    return np.asarray(np.log(x) if scale == "log" else np.log(x) - np.log1p(-x))


def _back(x: np.ndarray, scale: str) -> np.ndarray:
    return np.asarray(np.exp(x) if scale == "log" else 1.0 / (1.0 + np.exp(-x)))
