"""What a check finds, and the findings of all checks, worst first.

    Finding     code, severity, title, evidence (one sentence with numbers), remedy, values
    Checks      a sequence of findings; `.table`, `.summary()`, `.to_dict()`, HTML in notebooks

Severities are ``"problem"`` (conclusions may change), ``"caution"`` (look before you rely on it), ``"note"`` (worth
knowing) and ``"ok"`` (asked, and nothing was found). Several questions asked at once are answered with Holm's
adjusted p-values, and an alarm needs a size that matters beside a p-value: in large data every trifle is significant.

Reference: Holm (1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, overload

import numpy as np

from ..data.frames import frame
from ..errors import printable

SEVERITIES = ("problem", "caution", "note", "ok")
MARKS = {"problem": "!!", "caution": "! ", "note": "- ", "ok": "  "}
ALPHA = 0.01  # level of each check after Holm's adjustment


@dataclass(frozen=True)
class Finding:
    """One answer of a check.

    Parameters
    ----------
    code : str
        Stable name, listed in ``docs/errors.md``.
    severity : {"problem", "caution", "note", "ok"}
    title : str
        What was found, in a few words.
    evidence : str
        One sentence with the numbers; labels from the data are safe to print.
    remedy : str
        What to do; empty when nothing is to be done.
    values : mapping
        The numbers by name, for programs.

    Examples
    --------
    >>> finding = Finding("N_FEW_GROUPS", "note", "few schools", "school has 8 levels.", "Report the interval.")
    >>> finding.alarming
    False
    """

    code: str
    severity: str
    title: str
    evidence: str
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alarming(self) -> bool:
        """Whether it is a problem or a caution."""
        return self.severity in ("problem", "caution")

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.title}: {self.evidence}", self.remedy) if part)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: undefined numbers are None."""
        parts = {"code": self.code, "severity": self.severity, "title": self.title}
        return {**parts, "evidence": self.evidence, "remedy": self.remedy, "values": plain(self.values)}


@dataclass(frozen=True)
class Checks(Sequence[Finding]):
    """Findings of a fit, worst first.

    Parameters
    ----------
    findings : tuple of Finding
    native : str
        The kind of data frame of `.table`.
    skipped : tuple of str
        Checks that were not made, with the reason.
    """

    findings: tuple[Finding, ...]
    native: str = "pandas"
    skipped: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], native: str, skipped: Iterable[str] = ()) -> Checks:
        """Sorted by severity; within one severity in the order given."""
        ranked = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
        return cls(tuple(ranked), native, tuple(dict.fromkeys(skipped)))

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self.findings[index]

    def __len__(self) -> int:
        return len(self.findings)

    def code(self, code: str) -> list[Finding]:
        """The findings with that code."""
        return [finding for finding in self.findings if finding.code == code]

    @property
    def worst(self) -> str:
        """The severest severity."""
        return self.findings[0].severity if self.findings else "ok"

    @property
    def counts(self) -> dict[str, int]:
        """How many findings have each severity."""
        return {s: sum(finding.severity == s for finding in self.findings) for s in SEVERITIES}

    @property
    def table(self) -> Any:
        """Table of the findings: severity, code, title, evidence, remedy."""
        names = ("severity", "code", "title", "evidence", "remedy")
        return frame(self.native, {name: [getattr(f, name) for f in self.findings] for name in names})

    def summary(self) -> str:
        """Text for a terminal: what needs attention in full, what is fine in one line each."""
        lines = [self.headline]
        for finding in self.findings:
            lines.append(f"{MARKS[finding.severity]} {finding.severity:<7} {finding.title}")
            if finding.severity != "ok":
                lines.append(f"             {finding.evidence}")
                lines += [f"             → {finding.remedy}"] if finding.remedy else []
        return "\n".join([*lines, *(f"   skipped {reason}" for reason in self.skipped)])

    @property
    def headline(self) -> str:
        """How many findings of each severity."""
        counts = [f"{n} {s}{'s' if n != 1 and s != 'ok' else ''}" for s, n in self.counts.items() if n]
        return f"Checks: {', '.join(counts) or 'none applies'}"

    __str__ = summary
    __repr__ = summary

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: worst, findings, skipped."""
        found = [finding.to_dict() for finding in self.findings]
        return {"worst": self.worst, "findings": found, "skipped": list(self.skipped)}

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in ("", "check", "evidence", "remedy"))
        rows = "".join(_row(finding) for finding in self.findings)
        skipped = "".join(f"<p>Skipped: {escape(reason)}</p>" for reason in self.skipped)
        title = f"<p><b>{escape(self.headline)}</b></p>"
        body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return f'<div class="multilevel-checks">{title}{body}{skipped}</div>'


def _row(finding: Finding) -> str:
    cells = (finding.severity, finding.title, finding.evidence, finding.remedy)
    return "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells) + "</tr>"


# --- shared words and numbers --------------------------------------------------------------------------------------
def plain(value: Any) -> Any:
    """NumPy values as Python's own; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, in the order given.

    Examples
    --------
    >>> holm([0.01, 0.5, 0.02]).tolist()
    [0.03, 0.5, 0.04]
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    out = np.empty(len(values))
    out[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return out


def quote(name: object) -> str:
    """A name from the data, safe to print, in quotation marks."""
    return f'"{printable(name, 40)}"'


def p_text(p: float) -> str:
    """``p = 0.03``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def percent(share: float) -> str:
    """A share as ``12%``; small ones with two digits."""
    return f"{100.0 * share:.2g}%" if abs(share) < 0.1 else f"{100.0 * share:.0f}%"
