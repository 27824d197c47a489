"""A posterior as a density of the parameters themselves: standard deviations, correlations, σ, constants, coefficients.

    log p(θ | y) = log p(z | y) − log |∂θ/∂z|

The mode of a density depends on the coordinates it is a density of; that of the logarithm of a standard deviation is
never zero, that of the standard deviation itself may be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .coordinates import Coordinates, _jacobian


def log_jacobian(coords: Coordinates, z: np.ndarray, of_sds: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """log |∂θ/∂z| (N,) up to a constant, and its gradient (N, d); `of_sds`: standard deviations of terms included."""
    value, gradient = np.zeros(len(z)), np.zeros_like(z)
    for block, part in zip(coords.blocks, coords.parts, strict=True):
        of_r, slope = block.correlation_prior(z[:, part], 1.0)  # uniform over R: the Jacobian itself
        value += of_r
        gradient[:, part] += slope
        if of_sds:
            sds = slice(part.start, part.start + block.n_sds)
            value += z[:, sds].sum(axis=1)
            gradient[:, sds] += 1.0
    logs = [coords.sigma] if coords.sigma >= 0 else []
    for place in [*logs, *range(coords.extras.start, coords.extras.stop)]:
        value = value + z[:, place]
        gradient[:, place] += 1.0
    for _, link, place in coords.constants:
        at = coords.coefficients.start + place
        _, log_slope, bend = _jacobian(link, z[:, at])
        value = value + log_slope
        gradient[:, at] += bend
    return value, gradient


class Natural:
    """A target (see `core/collapsed.py`) as a density of the natural parameters, for `samplers/mode.py`.

    Parameters
    ----------
    target : the posterior in the coordinates z
    of_sds : whether standard deviations of terms are themselves meant; otherwise their logarithms, which is the prior
        times ∏ sd
    held : coordinates that do not move
    """

    def __init__(self, target: Any, of_sds: bool, held: tuple[int, ...] = ()) -> None:
        self.target, self.of_sds = target, of_sds
        self.free = np.setdiff1d(np.arange(target.d), held)
        self.base = np.zeros(target.d)

    def at(self, z: np.ndarray) -> Natural:
        """The same, with what is held at these values."""
        self.base = z.copy()
        return self

    def full(self, free: np.ndarray) -> np.ndarray:
        """All coordinates of points (…, free)."""
        out = np.broadcast_to(self.base, (*free.shape[:-1], len(self.base))).copy()
        out[..., self.free] = free
        return out

    @property
    def d(self) -> int:
        return len(self.free)

    def start(self) -> np.ndarray:
        return np.asarray(self.target.start()[self.free])

    def gradient(self, free: np.ndarray) -> tuple[float, np.ndarray]:
        z = self.full(free)
        value, slope = self.target.gradient(z)
        jacobian, by_z = log_jacobian(self.target.coordinates, z[None], self.of_sds)
        return value - float(jacobian[0]), (slope - by_z[0])[self.free]

    def log_density(self, free: np.ndarray) -> np.ndarray:
        z = self.full(np.atleast_2d(free))
        value = self.target.log_density(z) - log_jacobian(self.target.coordinates, z, self.of_sds)[0]
        return np.asarray(np.where(np.isnan(value), -np.inf, value))
