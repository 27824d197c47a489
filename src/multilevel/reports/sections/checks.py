"""Can it be believed: every check that applies, worst first; what was fine is folded; and the residuals as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..context import Context, guarded
from ..figures.residuals import residuals as figures
from ..markup import Html, bullets, folded, join, paragraph, tag, user

if TYPE_CHECKING:
    from ...checks.base import Finding

HEADING = "Checks"
BADGES = {"problem": "Problem", "caution": "Caution", "note": "Note", "ok": "OK"}


def build(context: Context) -> Html:
    """Findings, then residuals."""
    pictures = guarded(figures, context, "The pictures of the residuals")
    return join(guarded(_findings, context, "The checks"), tag("h3", "Residuals"), pictures)


def _findings(context: Context) -> Html:
    if context.unchecked:
        return paragraph(context.unchecked)
    found = list(context.checks)
    raised = [f for f in found if f.severity != "ok"]
    fine = [f for f in found if f.severity == "ok"]
    nothing = f"{len(fine)} questions were asked of the model, and none found anything wrong."
    head = None if raised else paragraph(nothing)
    asked = [join(tag("b", user(f.title, 200)), ": ", user(f.evidence, 600)) for f in fine]
    rest = folded(f"{_count(len(fine))} found nothing", bullets(asked)) if fine else None
    return join(head, _listed(raised), rest, _skipped(context))


def _listed(found: Iterable[Finding]) -> Html | None:
    made = [tag("li", badged(f), paragraph(user(f.evidence, 600)), class_=f.severity) for f in found]
    return tag("ul", *made, class_="findings") if made else None


def badged(f: Finding) -> Html:
    """The line that names a finding."""
    badge = tag("span", BADGES[f.severity], class_="badge")
    return tag("p", badge, " ", tag("b", user(f.title, 200)), " ", tag("code", f.code, class_="fcode"))


def _skipped(context: Context) -> Html | None:
    skipped = context.checks.skipped
    return folded(f"{_count(len(skipped))} left out", bullets(user(s, 400) for s in skipped)) if skipped else None


def _count(n: int) -> str:
    return "1 check" if n == 1 else f"{n} checks"
