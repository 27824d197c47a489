"""Bundles of chains in processes: progress, interruption, and processes that die.

Processes are forked (Linux), so that a target needs no copy and no pickling; elsewhere the bundles run one after the
other in this process. Each sends its records through a pipe when it is done. Ctrl-C stops all and keeps what there is;
a process that dies (killed for its memory, say) loses its own chains only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import ConvergenceWarning, WorkerDiedError, warn
from ..numerics.threads import cores as available
from ..numerics.threads import threads_for
from .walker import Record

PATIENCE = 1.0  # seconds before anything is shown
GRACE = 10.0  # seconds that processes have to hand over their draws after Ctrl-C
PULSE = 0.1
REMEDY = "Memory is the usual reason: fewer draws, or cores=1."

Job = tuple[Sequence[Any], Sequence[Any]]  # starts and seeds of a bundle
Pulse = Callable[[list[Record]], bool]  # hears of a bundle now and then; says whether to go on
Bundle = Callable[[Sequence[Any], Sequence[Any], Pulse], tuple[list[Record], bool]]


def run(
    bundle: Bundle, jobs: Sequence[Job], each: int, cores: int | None, progress: bool, title: str
) -> tuple[list[Record], bool, int]:
    """Records of all chains that survived, whether the run was interrupted, and how many chains were lost.

    `each` is the number of draws of a chain, its warm-up included.
    """
    chains = sum(len(starts) for starts, _ in jobs)
    line = Line(title, chains, each, progress)
    width = min(len(jobs), available() if cores is None else cores)
    try:
        with threads_for(0):
            if width > 1 and sys.platform == "linux":
                found, interrupted = _Workers(bundle, jobs, line).run(width)
            else:
                found, interrupted = _here(bundle, jobs, line)
    finally:
        line.clear()
    lost = 0 if interrupted else chains - len(found)
    if lost == chains:
        raise WorkerDiedError(f"all {chains} chains of {title} were lost: their processes were killed", hint=REMEDY)
    if lost:
        text = f"{lost} of {chains} chains of {title} were lost: their processes were killed; the others are kept"
        warn(ConvergenceWarning(text, code="W_CHAINS_LOST", hint=REMEDY))
    return found, interrupted, lost


def _here(bundle: Bundle, jobs: Sequence[Job], line: Line) -> tuple[list[Record], bool]:
    """One bundle after the other in this process."""
    out: list[Record] = []
    for number, (starts, seeds) in enumerate(jobs):

        def pulse(records: list[Record], number: int = number) -> bool:
            line.hear(number, _counts(records))
            return True

        records, interrupted = bundle(starts, seeds, pulse)
        out += records
        if interrupted:
            return out, True
    return out, False


def _counts(records: Sequence[Record]) -> tuple[int, int]:
    """Draws made, warm-up included, and divergences after it."""
    return sum(r.warm + r.done for r in records), sum(r.divergences for r in records)


# --- processes -----------------------------------------------------------------------------------------------------
class _Workers:
    """A process for each bundle, `width` at a time."""

    def __init__(self, bundle: Bundle, jobs: Sequence[Job], line: Line) -> None:
        self.bundle, self.jobs, self.line = bundle, jobs, line
        self.waiting = list(range(len(jobs)))
        self.running: dict[Any, tuple[int, Any]] = {}  # pipe → number of the bundle, process
        self.found: dict[int, list[Record]] = {}
        self.failure: BaseException | None = None

    def run(self, width: int) -> tuple[list[Record], bool]:
        deadline = None
        try:
            with _interrupts() as heard:
                while self.waiting or self.running:
                    if heard and deadline is None:
                        deadline = time.perf_counter() + GRACE
                        self.waiting.clear()
                        for _, process in self.running.values():
                            os.kill(process.pid, signal.SIGINT)
                    while self.waiting and len(self.running) < width:
                        self._begin(self.waiting.pop(0))
                    self._listen()
                    if self.failure is not None:
                        raise self.failure
                    if deadline is not None and time.perf_counter() > deadline:
                        break
        finally:
            for _, process in self.running.values():
                process.terminate()
        return [r for number in sorted(self.found) for r in self.found[number]], deadline is not None

    def _begin(self, number: int) -> None:
        from multiprocessing import get_context

        context = get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self.bundle, self.jobs[number], theirs), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads: ours hold no locks
            process.start()
        theirs.close()
        self.running[ours] = number, process

    def _listen(self) -> None:
        from multiprocessing.connection import wait

        for pipe in wait(list(self.running), PULSE):
            number, process = self.running[pipe]
            kind, content = _heard(pipe)
            if kind == "heard":
                self.line.hear(number, content)
                continue
            if kind == "done":
                self.found[number] = content
            elif kind == "failed":
                self.failure = content
            del self.running[pipe]
            process.join()


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that the first Ctrl-C is entered in; the second interrupts as usual.

    An exception can come at any point, between the start of a process and the note that it runs, and be lost in a
    finaliser; a signal that is only noted cannot.
    """
    heard: list[int] = []

    def note(number: int, frame: Any) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield heard
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)


def _heard(pipe: Any) -> tuple[str, Any]:
    """A message; "lost" from a process that died."""
    try:
        kind, content = pipe.recv()
        return kind, content
    except (EOFError, OSError):
        return "lost", None


def _work(bundle: Bundle, job: Job, pipe: Any) -> None:
    """What a process does: its bundle, until told to stop."""
    stopped = []
    signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))

    def pulse(records: list[Record]) -> bool:
        pipe.send(("heard", _counts(records)))
        return not stopped

    try:
        records, _ = bundle(*job, pulse)
        pipe.send(("done", records))
    except Exception as error:
        try:
            pipe.send(("failed", error))
        except Exception:  # it cannot be sent as it is
            pipe.send(("failed", RuntimeError(f"{type(error).__name__}: {error}")))


# --- progress ------------------------------------------------------------------------------------------------------
class Line:
    """One changing line on a terminal's standard error, once the run takes longer than a second."""

    def __init__(self, title: str, chains: int, each: int, wanted: bool) -> None:
        self.title, self.chains, self.total = title, chains, chains * each
        self.terminal = wanted and sys.stderr is not None and sys.stderr.isatty()
        self.start, self.shown = time.perf_counter(), 0
        self.heard: dict[int, tuple[int, int]] = {}

    def hear(self, number: int, counts: tuple[int, int]) -> None:
        """The counts of one bundle."""
        self.heard[number] = counts
        seconds = time.perf_counter() - self.start
        if not self.terminal or seconds < PATIENCE:
            return
        text = self.text(seconds)
        sys.stderr.write("\r" + text.ljust(self.shown))
        sys.stderr.flush()
        self.shown = max(self.shown, len(text))

    def text(self, seconds: float) -> str:
        """Draws, divergences, and the time left as the draws so far went."""
        done = sum(a for a, _ in self.heard.values())
        divergences = sum(b for _, b in self.heard.values())
        left = seconds * (self.total - done) / max(done, 1)
        chains = "1 chain" if self.chains == 1 else f"{self.chains} chains"
        found = "1 divergence" if divergences == 1 else f"{divergences} divergences"
        return f"{self.title}: {done:,} of {self.total:,} draws, {chains}, {found}, {_spell(left)} left"

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            sys.stderr.flush()


def _spell(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
