"""Peak memory of ours on a million rows in 100,000 groups with random slopes: ``python benchmarks/memory.py``.

The increase of the peak resident memory during the fit, over what the process holds after imports, kernels and
data, as a multiple of the data. Goal: at most 4. Linux only.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from engines import OURS, engine
from report import grid
from worker import reset_peak, resident, settle
from workloads import WORKLOADS, data_bytes

GOAL = 4.0  # times the data


def increase(name: str) -> tuple[int, int, float]:
    """Bytes of the data, bytes by which a fit raises the peak, and the seconds it took."""
    ours, process = engine(OURS), os.getpid()
    for small in ("sleepstudy", "penicillin"):  # imports and kernels
        ours.fit(ours.prepare(WORKLOADS[small]))
    workload = WORKLOADS[name]
    size = data_bytes(workload.frame)
    settle()
    reset_peak(process)
    before = resident(process)["now"]
    outcome = ours.fit(ours.prepare(workload))
    return size, resident(process)["peak"] - before, outcome.seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; one process for one workload keeps the figures clean, so the default is a single one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default="million", choices=list(WORKLOADS))
    options = parser.parse_args(arguments)
    size, peak, seconds = increase(options.workload)
    ratio = peak / size
    row = [options.workload, f"{size / 1e6:.1f}", f"{peak / 1e6:.1f}", f"{ratio:.2f}", f"≤ {GOAL:g}"]
    verdict = "met" if ratio <= GOAL else "missed"
    head = ["workload", "data, MB", "increase of the peak, MB", "ratio", "goal", "verdict", "seconds, first fit"]
    print(grid(head, [[*row, verdict, f"{seconds:.2f}"]]))


if __name__ == "__main__":
    main()
