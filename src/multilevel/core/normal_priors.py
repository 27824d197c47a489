"""Normal priors on combinations of coefficients, as rows added to the data; others stood in for by normal ones.

    a'β ~ N(m, s²)   is an observation m of a'β with variance s²:   σ²/s² [a; m][a; m]'  joins  [X y]'W[X y]

Any other prior π is replaced by a normal π₀ while β is integrated out, and draws of β carry the weight π(a'β)/π₀(a'β).
π₀ is flat where π is much the wider of the two, so that the weights are bounded; else it is matched to the moments of π
times the likelihood's own normal (one step of expectation propagation).

Reference: Minka (2001), *Expectation Propagation for Approximate Bayesian Inference*, UAI.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.cross_products import CrossProducts
from ..priors.normal import Normal
from ..priors.record import LinearPrior, Priors

NODES = 1001  # points of the grid that moments are taken on
# a stand-in's precision over the likelihood's: below, it is flat; above, its weights might have no variance
SMALLEST_SHARE, LARGEST_SHARE = 0.2, 0.5


@dataclass(frozen=True)
class NormalPriors:
    """Normal priors in internal coordinates.

    Parameters
    ----------
    rows : (J, p + 1), [a, m]: a'β' − m is the deviation in the units of the data
    sds : (J,);  scale : (J,) place among the extras that multiplies mean and sd, or −1
    others : priors that are not normal, each with its stand-in (mean, sd), or None for a flat one
    """

    rows: np.ndarray
    sds: np.ndarray
    scale: np.ndarray
    others: tuple[tuple[LinearPrior, tuple[float, float] | None], ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def scaled(self) -> bool:
        """Whether a prior's spread is itself a parameter."""
        return bool(np.any(self.scale >= 0))

    def spreads(self, extras: np.ndarray) -> np.ndarray:
        """Standard deviations (N, J) given the logs of the extras (N, E)."""
        out = np.broadcast_to(self.sds, (len(extras), len(self.sds)))
        return out * self._factors(extras) if self.scaled else out

    def _factors(self, extras: np.ndarray) -> np.ndarray:
        padded = np.column_stack([extras, np.zeros(len(extras))])
        return np.asarray(np.exp(padded[:, self.scale]))

    def log_weights(self, beta: np.ndarray, extras: np.ndarray) -> np.ndarray:
        """Σ log π − log π₀ of draws of β (N, p), in the units of the data."""
        out = np.zeros(len(beta))
        for item, stand_in in self.others:
            x = beta @ item.direction
            log_scale = extras[:, item.scale] if item.scale >= 0 else 0.0
            out += item.prior.log_density(x * np.exp(-log_scale)) - log_scale
            if stand_in is not None:
                out -= Normal(*stand_in).log_density(x)
        return out


def normal_priors(priors: Priors, products: CrossProducts) -> NormalPriors:
    """The priors of a model's coefficients; stand-ins of those that are not normal are flat."""
    rows, sds, scale, others = [], [], [], []
    for item in priors.linear:
        if item.prior.name == "flat":
            continue
        # a scaled prior moves its mean with the scale: only those around zero remain a row
        if isinstance(item.prior, Normal) and (item.scale < 0 or item.prior.mean == 0.0):
            rows.append(_row(item.direction, item.prior.mean, products))
            sds.append(item.prior.sd)
            scale.append(item.scale)
        else:
            others.append((item, None))
    width = products.p + 1
    return NormalPriors(
        np.array(rows).reshape(-1, width), np.array(sds, dtype=float), np.array(scale, dtype=np.int64), tuple(others)
    )


def with_stand_ins(
    exact: NormalPriors, products: CrossProducts, beta: np.ndarray, covariance: np.ndarray
) -> NormalPriors:
    """Matched stand-ins, from the posterior N(β, covariance) under flat ones (in the units of the data)."""
    rows, sds = list(exact.rows), list(exact.sds)
    others: list[tuple[LinearPrior, tuple[float, float] | None]] = []
    for item, _ in exact.others:
        centre = float(item.direction @ beta)
        variance = float(item.direction @ covariance @ item.direction)
        stand_in = _matched(item, centre, variance) if item.scale < 0 and variance > 0.0 else None
        others.append((item, stand_in))
        if stand_in is not None:
            rows.append(_row(item.direction, stand_in[0], products))
            sds.append(stand_in[1])
    places = np.append(exact.scale, np.full(len(rows) - len(exact.rows), -1))
    return NormalPriors(
        np.array(rows).reshape(-1, products.p + 1), np.array(sds), places.astype(np.int64), tuple(others)
    )


def _row(direction: np.ndarray, mean: float, products: CrossProducts) -> np.ndarray:
    inside = products.y_shift.scale * (products.to_beta.T @ direction)
    return np.append(inside, mean - float(direction @ products.beta_origin))


def _matched(item: LinearPrior, centre: float, variance: float) -> tuple[float, float] | None:
    """The normal whose product with N(centre, variance) has the moments of the prior's product with it."""
    sd = float(np.sqrt(variance))
    x = centre + sd * np.linspace(-8.0, 8.0, NODES)
    log_density = item.prior.log_density(x) - 0.5 * ((x - centre) / sd) ** 2
    if not np.any(np.isfinite(log_density)):
        return None
    weight = np.exp(log_density - np.max(log_density))
    weight /= weight.sum()
    mean = float(weight @ x)
    spread = float(weight @ (x - mean) ** 2)
    precision = 1.0 / spread - 1.0 / variance if spread > 0.0 else 0.0
    if precision <= SMALLEST_SHARE / variance:
        return None
    location = (mean / spread - centre / variance) / precision
    precision = min(precision, LARGEST_SHARE / variance)
    return location, float(precision**-0.5)
