"""Advice: what to do about each finding, worst first."""

from __future__ import annotations

from ..context import Context
from ..markup import Html, paragraph, tag, user
from .checks import badged

HEADING = "Advice"


def build(context: Context) -> Html:
    """The remedy of everything that was found."""
    if context.unchecked:
        return paragraph(context.unchecked)
    found = [f for f in context.checks if f.severity != "ok" and f.remedy]
    if not found:
        return paragraph("Nothing needs to be done: the checks found no fault with model or data.")
    return tag("ul", *(tag("li", badged(f), paragraph(user(f.remedy, 600)), class_=f.severity) for f in found),
               class_="findings")  # fmt: skip
