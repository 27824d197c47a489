"""A worker process as seen from outside: ask, wait no longer than the limit, end it when it takes more."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("worker.py")
_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
LOAD_SECONDS = 600.0


class EngineTimeout(Exception):
    """A request took longer than its limit; the worker was ended."""


class EngineFailure(Exception):
    """The engine answered with an error, or its process died."""


class Session:
    """One engine's worker process, started when first asked and again after it was ended."""

    def __init__(
        self, name: str, blas_threads: int = 1, show_errors: bool = False, python: str = sys.executable
    ) -> None:
        self.name, self.python = name, python
        self.environment = {**os.environ, **dict.fromkeys(_THREADS, str(blas_threads)), "MULTILEVEL_QUIET": "1"}
        self.errors = None if show_errors else subprocess.DEVNULL
        self.process: subprocess.Popen[str] | None = None

    def ask(self, op: str, limit: float = LOAD_SECONDS, **fields: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises
        ------
        EngineTimeout, EngineFailure
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise EngineFailure("the process died") from None
        if not _ready(process.stdout, limit):
            self.close()
            raise EngineTimeout(f"more than {limit:g} s")
        return self._read(process.stdout.readline())

    def _read(self, line: str) -> dict[str, Any]:
        if not line:
            self.close()
            raise EngineFailure("the process died")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EngineFailure(answer["error"])
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            self.process = subprocess.Popen(
                [self.python, str(_WORKER), self.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                text=True,
                env=self.environment,
                start_new_session=True,  # so that its R goes with it
            )
        return self.process

    def close(self) -> None:
        """End the worker and what it started."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ready(stream: Any, limit: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(limit))
