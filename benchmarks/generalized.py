"""Generalized models by Laplace's approximation, all engines: ``python benchmarks/generalized.py``.

Writes results/generalized.md and .json. Options are those of `run.py`; a fit that takes more than two minutes is ended,
so that lme4 and glmmTMB drop out of the largest models.
"""

from __future__ import annotations

import sys

import run
from workloads import WORKLOADS


def main() -> None:
    """`run.py` with the generalized workloads."""
    names = ",".join(w.name for w in WORKLOADS.values() if not w.linear)
    defaults = ["--workloads", names, "--timeout", "120", "--out", str(run.FOLDER / "generalized.md")]
    run.main([*defaults, *sys.argv[1:]])


if __name__ == "__main__":
    main()
