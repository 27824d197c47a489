"""The results as Markdown: an overview, then one table for each workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engines import OURS
from results import AGREE, Case, Measure


def markdown(machine: dict[str, str], engines: dict[str, dict[str, Any]], cases: Sequence[Case], notes: str) -> str:
    """The whole page."""
    names = [n for n in engines if any(n in c.measures for c in cases)]
    parts = ["# Benchmark results", notes, "## Overview", overview(cases, names)]
    parts += [f"## {c.workload.name}\n\n{intro(c)}\n\n{table(c)}" for c in cases]
    parts += ["## Engines", engine_table(engines), "## Machine", "\n".join(f"- {k}: {v}" for k, v in machine.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview(cases: Sequence[Case], names: Sequence[str]) -> str:
    """Least seconds of each engine, with its ratio to ours."""
    head = ["workload", "goal", "verdict", *names]
    rows = [[c.workload.name, str(c.workload.goal), c.verdict(), *(_cell(c, n) for n in names)] for c in cases]
    return grid(head, rows)


def _cell(case: Case, name: str) -> str:
    measure = case.measures.get(name)
    if measure is None or not measure.fitted:
        return "–"
    ratio = case.ratio(measure)
    mark = "\\*" if (case.short(measure) or 0.0) > AGREE else ""
    return _seconds(measure.best) + mark + ("" if name == OURS or ratio is None else f" ({_times(ratio)}×)")


def intro(case: Case) -> str:
    """Formula, criterion, size and the state of the machine."""
    w = case.workload
    return (
        f"`{w.formula}`, {w.criterion}, {case.rows:,} rows ({case.bytes / 1e6:.3g} MB); "
        f"load average when it ended {case.load:.1f}."
    )


def table(case: Case) -> str:
    """One row for each engine, ours first."""
    with_memory = any(m.peak is not None for m in case.measures.values())
    head = ["engine", "least", "median", "fits", "time / ours", "−2 log-likelihood", "above the optimum", "note"]
    rows = [_row(case, m) for m in case.measures.values()]
    if with_memory:
        head.insert(7, "peak memory / data")
        for row, m in zip(rows, case.measures.values(), strict=True):
            row.insert(7, "" if m.peak is None else f"{m.peak / 1e6:,.0f} MB ({m.peak / case.bytes:.1f}×)")
    return grid(head, rows)


def _row(case: Case, m: Measure) -> list[str]:
    if not m.fitted:
        return [m.engine, "–", "–", "0", "", "", "", m.skipped]
    ratio, short = case.ratio(m), case.short(m)
    note = f"short of the optimum by {short:.2g}" if short is not None and short > AGREE else ""
    note = "; ".join(n for n in (note, "one run, too slow to repeat" if m.single else "", m.skipped) if n)
    numbers = ["" if ratio is None else _times(ratio), f"{m.deviance:.6f}", "" if short is None else f"{short:.1e}"]
    return [m.engine, _seconds(m.best), _seconds(m.median), str(len(m.seconds)), *numbers, note]


def engine_table(engines: dict[str, dict[str, Any]]) -> str:
    """Versions and settings."""
    rows = []
    for name, about in engines.items():
        version = about.get("version") or "not installed"
        rows.append(
            [name, version, about.get("settings", ""), ", ".join(f"{k} {v}" for k, v in about["facts"].items())]
        )
    return grid(["engine", "version", "what is timed", "with"], rows)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _seconds(value: float) -> str:
    if value < 0.0995:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def _times(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"
