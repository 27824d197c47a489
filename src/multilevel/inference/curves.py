"""Tracing a profile: the signed root of the rise of the deviance, ζ(c) = ± √D(c), and where it crosses a level.

ζ is straight where the likelihood is quadratic, so it is followed in steps of about half a unit in ζ, outwards from
the estimate until it exceeds what is asked for or the parameter's range ends. Crossings are then found inside the
step that contains them. A range that ends first is the limit itself: 0 for a standard deviation, ±1 for a correlation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np

STEP = 0.5  # of ζ
WIDEST = 0.8  # largest gap in ζ between points of a curve
CLOSE = 0.05  # points of a curve nearer than this are one
MOST_STEPS = 60
EXACT = 1e-6  # of ζ at a crossing


class Target(Protocol):
    """A parameter to be profiled."""

    @property
    def estimate(self) -> float: ...
    @property
    def range(self) -> tuple[float, float]: ...
    @property
    def step(self) -> float:
        """About one standard error."""
        ...

    def drop(self, c: float) -> float:
        """D(c): how much the deviance exceeds its minimum when the parameter is held at `c`."""
        ...


@dataclass
class Trace:
    """Points (value, ζ) of one curve, kept in order."""

    target: Target
    points: dict[float, float] = field(default_factory=dict)
    lowest: float = 0.0  # least D met: below zero the estimate was no minimum

    def __post_init__(self) -> None:
        self.points[self.target.estimate] = 0.0

    def zeta(self, c: float) -> float:
        """|ζ| at c, kept for the curve; infinite where the criterion cannot be computed."""
        if c not in self.points:
            drop = self.target.drop(c)
            self.lowest = min(self.lowest, drop) if drop == drop else self.lowest
            size = math.sqrt(max(drop, 0.0)) if drop == drop else math.inf
            self.points[c] = size
        return self.points[c]

    def follow(self, side: int, far: float) -> None:
        """Points on one side (±1) until |ζ| exceeds `far` or the range ends."""
        end = self.target.range[0 if side < 0 else 1]
        at, height, step = self.target.estimate, 0.0, STEP * self.target.step
        for _ in range(MOST_STEPS):
            if height >= far or at == end:
                break
            c = at + side * step
            if (end - c) * side <= 0.0:
                c = end
            there = self.zeta(c)
            if not there < far + 2.0 and (c != end or not math.isfinite(there)):  # a step too long tells nothing
                del self.points[c]
                step *= 0.25
                continue
            slope = (there - height) / abs(c - at)
            at, height = c, there
            step = min(max(STEP / slope, step / 3.0), 3.0 * step) if slope > 0.0 else 2.0 * step
        self._fill(side, far)

    def _fill(self, side: int, far: float) -> None:
        """Points between those whose ζ differ too much to be joined by a line."""
        for _ in range(MOST_STEPS):
            wide = [
                (a, b) for a, b in self._pairs(side) if abs(self.zeta(b) - self.zeta(a)) > WIDEST and self.zeta(a) < far
            ]
            if not wide:
                return
            for a, b in wide:
                self.zeta(0.5 * (a + b))

    def _pairs(self, side: int) -> list[tuple[float, float]]:
        """Neighbouring values on one side, from the estimate outwards."""
        values = sorted((c for c in self.points if side * (c - self.target.estimate) >= 0.0), key=lambda c: side * c)
        return list(pairwise(values))

    def crossing(self, side: int, height: float) -> float:
        """Where |ζ| reaches `height` on one side; the end of the range when it does not."""
        for a, b in self._pairs(side):
            if self.zeta(a) < height <= self.zeta(b):
                return self._root(a, b, height)
        end = self.target.range[0 if side < 0 else 1]
        return end if math.isinf(end) or end in self.points else math.nan

    def _root(self, a: float, b: float, height: float) -> float:
        """Regula falsi with the Illinois rule."""
        fa, fb = self.zeta(a) - height, self.zeta(b) - height
        for _ in range(60):
            c = 0.5 * (a + b) if math.isinf(fb) else (a * fb - b * fa) / (fb - fa)
            fc = self.zeta(c) - height
            if abs(fc) < EXACT or abs(b - a) <= 1e-13 * abs(b):
                return c
            if fc * fb < 0.0:
                a, fa = b, fb
            else:
                fa *= 0.5
            b, fb = c, fc
        return b

    def arrays(self, far: float) -> tuple[np.ndarray, np.ndarray]:
        """Values in order and signed ζ, up to the first beyond `far` on each side."""
        values = np.array(sorted(self.points))
        signed = np.array([math.copysign(self.points[v], v - self.target.estimate) for v in values.tolist()])
        inside = np.abs(signed) <= far
        keep = inside | np.append(inside[1:], False) | np.append(False, inside[:-1])
        keep &= np.isfinite(signed)
        for i in np.flatnonzero(keep)[1:-1]:  # the search for a crossing leaves points next to each other
            before = np.flatnonzero(keep[:i])[-1]
            keep[i] = signed[i] == 0.0 or signed[i] - signed[before] > CLOSE
        return values[keep], signed[keep]
