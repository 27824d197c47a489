"""One engine in a process of its own: requests as JSON lines on standard input, answers on standard output.

describe                      version, facts and settings of the engine
load     workload             makes the data; says why when the engine does not know such a model
fit      most, seconds        fits until `most` fits or that time is reached, at least once
memory   reset                resident memory now and its peak, after optionally forgetting earlier peaks
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from engines import engine
from workloads import WORKLOADS, data_bytes


class Worker:
    """Answers the requests of one session."""

    def __init__(self, name: str) -> None:
        self.engine = engine(name)
        self.prepared: Any = None

    def describe(self) -> dict[str, Any]:
        version = self.engine.available()
        facts = self.engine.facts() if version else {}
        return {"version": version, "facts": facts, "settings": self.engine.settings, "exact": self.engine.exact}

    def load(self, workload: str) -> dict[str, Any]:
        self.prepared = None
        for other in WORKLOADS.values():  # let go of earlier data
            other.__dict__.pop("frame", None)
        model = WORKLOADS[workload]
        refusal = self.engine.supports(model)
        if not refusal:
            self.prepared = self.engine.prepare(model)
        return {"refusal": refusal, "rows": len(model.frame), "bytes": data_bytes(model.frame)}

    def fit(self, most: int = 1, seconds: float = 0.0) -> dict[str, Any]:
        outcomes = [self.engine.fit(self.prepared)]
        while len(outcomes) < most and sum(o.seconds for o in outcomes) < seconds:
            outcomes.append(self.engine.fit(self.prepared))
        last = outcomes[-1]
        return {"seconds": [o.seconds for o in outcomes], "deviance": last.deviance, "sds": list(last.sds)}

    def memory(self, reset: bool = False) -> dict[str, int]:
        process = self.engine.process() or os.getpid()
        if reset:
            settle()
            reset_peak(process)
        return resident(process)


def settle() -> None:
    """Give freed memory back to the system, so that a fit cannot hide in it (glibc only)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident(process: int) -> dict[str, int]:
    """Resident memory of a process and its peak, in bytes."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":" in line)
    return {key: int(lines[name].split()[0]) * 1024 for key, name in (("now", "VmRSS"), ("peak", "VmHWM"))}


def reset_peak(process: int) -> None:
    """Make the present resident memory the peak (Linux)."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; what goes wrong is part of it."""
    operation = request.pop("op")
    try:
        return dict(getattr(worker, operation)(**request))
    except Exception as problem:  # an engine's failure is a result of the benchmark
        return {"error": f"{type(problem).__name__}: {problem}"[:300]}


def main() -> None:
    """Serve until standard input ends; whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        answers.write(json.dumps(answer(worker, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
