"""Small drawings as inline SVG: a linear scale with round ticks, and marks.

Colours are classes, which `page.css` defines for light, dark and paper. A drawing is 560 units wide: one unit is about
a pixel on a desk, two thirds of one on a phone, where the style sheet enlarges the letters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..fit import numbers
from .markup import Html, minus, tag

WIDTH = 560


@dataclass(frozen=True)
class Scale:
    """A linear map from values to units of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values within the scale, about so many."""
        raw = (self.high - self.low) / max(about, 1)
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(s * size for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * size >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def scale(values: object, start: float, end: float, margin: float = 0.04) -> Scale:
    """A scale that holds all finite values, with some air."""
    finite = np.asarray(values, dtype=float).ravel()
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if not high - low > 1e-12 * max(abs(low), abs(high), 1e-300):
        half = max(abs(low) * 0.05, 0.5)
        low, high = low - half, high + half
    air = margin * (high - low)
    return Scale(low - air, high + air, start, end)


def tick_labels(ticks: list[float]) -> list[str]:
    """Ticks with the decimals that their step needs."""
    if len(ticks) < 2:
        return [minus(numbers.significant(t, 4)) for t in ticks]
    step = ticks[1] - ticks[0]
    needed = max(0, -math.floor(math.log10(step) + 1e-9))
    if needed > 6 or max(abs(t) for t in ticks) >= 1e7:
        return [minus(numbers.significant(0.0 if abs(t) < 1e-9 * step else t, 3)) for t in ticks]
    if abs(step * 10**needed - round(step * 10**needed)) > 1e-6:  # 2.5
        needed += 1
    return [minus(numbers.fixed(t, needed)) for t in ticks]


def drawing(height: float, label: str, *children: object, width: float = WIDTH) -> Html:
    """The drawing, with its description for readers who do not see it."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *children, viewBox=box, class_="plot", role="img", aria_label=label)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return tag("line", x1=_u(x1), y1=_u(y1), x2=_u(x2), y2=_u(y2), class_=kind)


def circle(x: float, y: float, r: float, kind: str) -> Html:
    return tag("circle", cx=_u(x), cy=_u(y), r=_u(r), class_=kind)


def rect(x: float, y: float, width: float, height: float, kind: str, *children: object) -> Html:
    size = {"width": _u(max(width, 0.0)), "height": _u(max(height, 0.0))}
    return tag("rect", *children, x=_u(x), y=_u(y), **size, class_=kind)


def text(x: float, y: float, words: object, anchor: str = "start", kind: str | None = None) -> Html:
    side = {"start": None, "middle": "m", "end": "e"}[anchor]
    return tag("text", words, x=_u(x), y=_u(y), class_=" ".join(filter(None, (side, kind))) or None)


def path(points: object, kind: str, closed: bool = False) -> Html:
    """A line through (n, 2) points."""
    steps = " ".join(f"{_u(x)},{_u(y)}" for x, y in np.asarray(points, dtype=float))
    return tag("polygon" if closed else "polyline", points=steps, class_=kind)


def axis_below(x: Scale, y: float, title: object, top: float, about: int = 6) -> list[Html]:
    """Ticks and labels under the drawing, faint lines through it, and what is measured."""
    ticks = x.ticks(about)
    out = [line(x(t), top, x(t), y, "rule") for t in ticks]
    out += [text(x(t), y + 16, words, "middle", "tick") for t, words in zip(ticks, tick_labels(ticks), strict=True)]
    return [*out, text((x.start + x.end) / 2.0, y + 36, title, "middle", "name")]


def axis_left(y: Scale, x: float, right: float, title: object, about: int = 5) -> list[Html]:
    """Ticks and labels at the left, faint lines through the drawing, and what is measured, above."""
    ticks = y.ticks(about)
    out = [line(x, y(t), right, y(t), "rule") for t in ticks]
    out += [text(x - 6, y(t) + 4, words, "end", "tick") for t, words in zip(ticks, tick_labels(ticks), strict=True)]
    return [*out, text(4, min(y.start, y.end) - 8, title, "start", "name")]


def _u(value: float) -> str:
    """A coordinate, to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0") if math.isfinite(value) else "0"
