"""Shares of the variance as one bar."""

from __future__ import annotations

from collections.abc import Sequence

from ..markup import Html, percent, shown, tag
from ..svg import drawing, rect, text

LEFT, RIGHT, TOP, HEIGHT = 4.0, 556.0, 26.0, 34.0
NARROW = 0.13  # a share with less room is named in the line below


def shares(parts: Sequence[tuple[str, float]]) -> Html:
    """(name, share) from left to right; shares add up to one."""
    marks: list[Html] = []
    at = LEFT
    for i, (name, share) in enumerate(parts):
        width = (RIGHT - LEFT) * min(max(share, 0.0), 1.0)
        kind = "rest" if i == len(parts) - 1 else f"share s{i % 4}"
        marks.append(rect(at, TOP, width, HEIGHT, kind, tag("title", f"{shown(name)}: {percent(share)}")))
        if share >= NARROW:
            marks.append(text(at + 2, TOP - 8, shown(name, max(int(width / 9), 3)), "start", "label"))
            marks.append(text(at + 8, TOP + 22, percent(share), "start", "inside" if kind != "rest" else "label"))
        at += width
    label = ", ".join(f"{shown(name)} {percent(share)}" for name, share in parts)
    return tag("figure", drawing(TOP + HEIGHT + 6, f"Shares of the variance: {label}", *marks))
