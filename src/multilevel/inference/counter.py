"""Progress of many refits: silent for the first second, and wherever standard error is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import FitInterrupted

PATIENCE = 1.0


@contextmanager
def counter(title: str, n: int) -> Iterator[Callable[[int], None]]:
    """A callback (done) that shows one changing line, ``bootstrap: 150 of 500 refits, 3 s left``.

    Raises
    ------
    FitInterrupted
        On Ctrl-C, saying how far it was.
    """
    start, shown, last = time.perf_counter(), False, 0
    terminal = sys.stderr is not None and sys.stderr.isatty()

    def count(done: int) -> None:
        nonlocal shown, last
        last = min(done, n)
        seconds = time.perf_counter() - start
        if terminal and seconds > PATIENCE:
            shown = True
            left = seconds * (n - last) / max(last, 1)
            sys.stderr.write(f"\r{title}: {last} of {n} refits, {left:.0f} s left  ")
            sys.stderr.flush()

    try:
        yield count
    except KeyboardInterrupt:
        raise FitInterrupted(f"{title} was interrupted after {last} of {n} refits", iteration=last) from None
    finally:
        if shown:
            sys.stderr.write("\r" + " " * 60 + "\r")
            sys.stderr.flush()
