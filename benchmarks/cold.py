"""Cold starts against their goals: ``python benchmarks/cold.py [--repeats N] [--no-compile]``.

Each figure is the time of whole processes: interpreter, imports and work. Kernels come from their cache, except in
the row that measures their first compilation into an empty one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from report import grid
from workloads import WORKLOADS

FORMULA = WORKLOADS["sleepstudy"].formula
_COMMAND = "import sys; from multilevel.cli import main; sys.exit(main())"  # what the installed script does
_FIT = "import sys, pandas, multilevel as ml; ml.fit(sys.argv[2], pandas.read_csv(sys.argv[1])).vcov"


@dataclass(frozen=True)
class Start:
    """A command and the seconds it may take."""

    name: str
    code: str
    arguments: tuple[str, ...]
    goal: float
    compiles: bool = False


def starts(csv: str) -> list[Start]:
    """What is measured."""
    return [
        Start("python, nothing else", "pass", (), float("nan")),
        Start("import multilevel", "import multilevel", (), 0.25),
        Start("multilevel --help", _COMMAND, ("--help",), 0.5),
        Start("multilevel fit sleepstudy.csv, cached kernels", _COMMAND, ("fit", csv, FORMULA), 2.0),
        Start("ml.fit of the same in Python, cached kernels", _FIT, (csv, FORMULA), 2.0),
        Start("ml.fit of the same, first compilation", _FIT, (csv, FORMULA), 30.0, compiles=True),
    ]


def once(start: Start, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of one process, and its complaint if it failed."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", start.code, *start.arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    seconds = time.perf_counter() - begin
    complaint = (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""
    return seconds, complaint


def measure(start: Start, repeats: int) -> list[str]:
    """A row of the table."""
    environment = {**os.environ, "MULTILEVEL_QUIET": "1"}
    times = []
    for i in range(repeats + 1):
        with tempfile.TemporaryDirectory() as cache:
            if start.compiles:
                environment["NUMBA_CACHE_DIR"] = cache
            seconds, complaint = once(start, environment)
        if complaint:
            return [start.name, "–", "–", "0", _goal(start), f"failed: {complaint}"]
        if i or start.compiles:  # the first run fills caches
            times.append(seconds)
        if start.compiles:
            break
    verdict = "" if start.goal != start.goal else ("met" if statistics.median(times) <= start.goal else "missed")
    return [start.name, f"{min(times):.3f}", f"{statistics.median(times):.3f}", str(len(times)), _goal(start), verdict]


def _goal(start: Start) -> str:
    return "" if start.goal != start.goal else f"< {start.goal:g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="processes for each row (default 7)")
    parser.add_argument("--no-compile", action="store_true", help="leave out the first compilation")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "sleepstudy.csv"
        WORKLOADS["sleepstudy"].frame.to_csv(csv, index=False)
        wanted = [s for s in starts(str(csv)) if not (s.compiles and options.no_compile)]
        rows = [measure(s, options.repeats) for s in wanted]
    print(grid(["process", "least, s", "median, s", "runs", "goal, s", "verdict"], rows))


if __name__ == "__main__":
    main()
