"""Benchmark ours against its peers: ``python benchmarks/run.py [--workloads a,b] [--peers a,b] [--repeats N] …``.

Every engine runs in a process of its own. Within a workload the engines take turns, so that a busy minute of the
machine falls on all of them. The first fit of each engine is a warm-up and does not count, unless it is so slow
that it stays the only one. Results go to `benchmarks/results/` as Markdown and JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import report
from engines import NAMES, OURS
from results import Case, Measure
from session import EngineFailure, EngineTimeout, Session
from workloads import WORKLOADS, Workload

FOLDER = Path(__file__).parent / "results"
TURN_SECONDS = 0.05  # an engine's turn: as many fits as go into this time, at least one
TURN_FITS = 25


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", help=f"comma-separated, of {', '.join(WORKLOADS)} (default: all but the big)")
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(NAMES[1:])} (default: all; ours is added)")
    parser.add_argument("--big", action="store_true", help="the big workloads too")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the engines (default: this one)")
    parser.add_argument("--memory", action="store_true", help="also peak memory, each engine in a fresh process")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns of each engine (default 5)")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="seconds for one fit (default 300)")
    parser.add_argument("--slow", type=float, default=20.0, metavar="S", help="fits slower than this run once")
    parser.add_argument("--blas-threads", type=int, default=1, metavar="N", help="BLAS threads of all (default 1)")
    parser.add_argument("--out", type=Path, default=FOLDER / "latest.md", help="Markdown file; JSON beside it")
    parser.add_argument("--debug", action="store_true", help="show what the engines print")
    return parser.parse_args(arguments)


def chosen(options: argparse.Namespace) -> tuple[list[Workload], list[str]]:
    """Workloads and engines asked for."""
    names = options.workloads.split(",") if options.workloads else _usual(options.big)
    peers = options.peers.split(",") if options.peers else list(NAMES[1:])
    for name, known in [*((n, tuple(WORKLOADS)) for n in names), *((p, NAMES) for p in peers)]:
        if name not in known:
            raise SystemExit(f'unknown "{name}"; known: {", ".join(known)}')
    return [WORKLOADS[n] for n in names], [OURS, *(p for p in peers if p != OURS)]


def _usual(big: bool) -> list[str]:
    return [w.name for w in WORKLOADS.values() if w.linear and (big or w.size != "big")]


def describe(sessions: dict[str, Session]) -> dict[str, dict[str, Any]]:
    """Version and settings of each engine; what cannot be asked counts as not installed."""
    out = {}
    for name, session in sessions.items():
        try:
            out[name] = session.ask("describe")
        except (EngineFailure, EngineTimeout) as problem:
            out[name] = {"version": None, "facts": {}, "settings": str(problem)}
    return out


def warm_up(session: Session, workload: Workload, case: Case, options: argparse.Namespace) -> Measure:
    """Load the data and fit once; a slow first fit is kept as the only one."""
    measure = Measure(session.name)
    try:
        loaded = session.ask("load", workload=workload.name)
        case.rows, case.bytes = loaded["rows"], loaded["bytes"]
        if loaded["refusal"]:
            measure.skipped = loaded["refusal"]
            return measure
        answer = session.ask("fit", options.timeout)
    except (EngineFailure, EngineTimeout) as problem:
        measure.skipped = str(problem)
        return measure
    measure.warm_up, measure.deviance, measure.sds = answer["seconds"][0], answer["deviance"], answer["sds"]
    if measure.warm_up > options.slow:
        measure.seconds, measure.single = [measure.warm_up], True
    return measure


def turn(session: Session, measure: Measure, timeout: float) -> None:
    """One turn of an engine: its times are added to the measure."""
    try:
        answer = session.ask("fit", timeout, most=TURN_FITS, seconds=TURN_SECONDS)
    except (EngineFailure, EngineTimeout) as problem:
        measure.skipped = f"a later fit: {problem}"
        return
    measure.seconds += answer["seconds"]


def compare(workload: Workload, sessions: dict[str, Session], options: argparse.Namespace) -> Case:
    """All engines on one workload, taking turns."""
    case = Case(workload, {})
    for name, session in sessions.items():
        case.measures[name] = warm_up(session, workload, case, options)
    able = [m for m in case.measures.values() if m.deviance is not None and not m.single]
    for _ in range(options.repeats):
        for measure in able:
            if not measure.skipped:
                turn(sessions[measure.engine], measure, options.timeout)
    case.load = machine.load()
    return case


def peaks(case: Case, options: argparse.Namespace) -> None:
    """Peak memory of one fit above what was held before it, in a fresh process that has fitted a small model."""
    for measure in case.measures.values():
        if not measure.fitted:
            continue
        session = Session(measure.engine, options.blas_threads, options.debug, options.python)
        try:
            measure.peak = peak(session, case.workload, options.timeout)
        except (EngineFailure, EngineTimeout) as problem:
            measure.skipped = f"memory: {problem}"
        finally:
            session.close()


def peak(session: Session, workload: Workload, timeout: float) -> int:
    """Bytes by which a fit raises the peak resident memory."""
    for small in ("sleepstudy", "penicillin", "chem97"):  # load code and kernels
        if not session.ask("load", workload=small)["refusal"]:
            session.ask("fit", timeout)
    session.ask("load", workload=workload.name)
    before = session.ask("memory", reset=True)["now"]
    session.ask("fit", timeout)
    return int(session.ask("memory")["peak"]) - int(before)


def progress(case: Case) -> None:
    """One line on standard error when a workload is done."""
    times = ", ".join(f"{m.engine} {m.best:.4g} s" for m in case.measures.values() if m.fitted)
    print(f"{case.workload.name}: {times}; goal {case.verdict()}", file=sys.stderr, flush=True)


def write(path: Path, engines: dict[str, dict[str, Any]], cases: list[Case], notes: str) -> None:
    """Markdown and, beside it, JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = machine.facts()
    path.write_text(report.markdown(about, engines, cases, notes))
    everything = {"machine": about, "engines": engines, "notes": notes, "workloads": [c.to_dict() for c in cases]}
    path.with_suffix(".json").write_text(json.dumps(everything, indent=1) + "\n")


def note(options: argparse.Namespace) -> str:
    """How the numbers came about."""
    return (
        f"Warm fits, one process for each engine, engines in turn, {options.repeats} turns, "
        f"{options.blas_threads} BLAS thread(s). Ratios are an engine's least time over ours. "
        f"\\* stopped short of the optimum by more than "
        f"{report.AGREE:g} in deviance. Goals: `design/numerics.md` §3. How it is measured: `benchmarks/README.md`."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and write what is known after every workload."""
    options = parse(arguments)
    workloads, names = chosen(options)
    sessions = {name: Session(name, options.blas_threads, options.debug, options.python) for name in names}
    cases: list[Case] = []
    try:
        engines = describe(sessions)
        here = {name: sessions[name] for name in names if engines[name]["version"]}
        for workload in workloads:
            case = compare(workload, here, options)
            cases.append(case)
            if options.memory:
                peaks(case, options)
            progress(case)
            write(options.out, engines, cases, note(options))
    finally:
        for session in sessions.values():
            session.close()
    print(report.overview(cases, names))


if __name__ == "__main__":
    main()
