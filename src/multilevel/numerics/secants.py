"""What recent steps taught about curvature."""

from __future__ import annotations

import numpy as np


class Secants:
    """Curvature seen along recent steps, as BFGS updates of the average information.

    On small samples and near singular covariances the information can be half the curvature: its steps then
    overshoot and oscillate. The updates are used only when the decrement falls slowly.
    """

    MOST = 8

    def __init__(self) -> None:
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self.slow_steps = 0  # in succession
        self.near = 0  # iterations with a small decrement
        self._free: np.ndarray | None = None
        self._gradient: np.ndarray | None = None
        self._step: np.ndarray | None = None

    def moved(self, step: np.ndarray) -> None:
        self._step = step

    def notice(self, free: np.ndarray, gradient: np.ndarray) -> None:
        """The gradient at the end of the last step."""
        if self._free is None or not np.array_equal(free, self._free):
            self.pairs = []
        elif self._step is not None and self._gradient is not None and np.all(np.isfinite(self._step)):
            self.pairs = [*self.pairs, (self._step, gradient - self._gradient)][-self.MOST :]
        self._free, self._gradient, self._step = free, gradient, None

    def updated(self, hessian: np.ndarray) -> np.ndarray:
        h = hessian.copy()
        for s, y in self.pairs:
            hs = h @ s
            curvature, model = float(s @ y), float(s @ hs)
            if curvature > 1e-12 * float(s @ s) and model > 0.0:
                h += np.outer(y, y) / curvature - np.outer(hs, hs) / model
        return h
