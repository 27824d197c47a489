"""Progress of long fits: silent for the first second, and wherever standard error is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import FitInterrupted

PATIENCE = 1.0


@contextmanager
def ticker(title: str) -> Iterator[Callable[[int, float], None]]:
    """A callback (iteration, criterion) that shows one changing line once a fit takes longer than a second."""
    start = time.perf_counter()
    shown, last = False, 0
    terminal = sys.stderr is not None and sys.stderr.isatty()

    def tick(iteration: int, value: float) -> None:
        nonlocal shown, last
        last = iteration
        if terminal and time.perf_counter() - start > PATIENCE:
            shown = True
            sys.stderr.write(f"\r{title}: iteration {iteration}, criterion {value:.6f}  ")
            sys.stderr.flush()

    try:
        yield tick
    except KeyboardInterrupt:
        message = f"{title} was interrupted at iteration {last}; nothing was fitted"
        raise FitInterrupted(message, iteration=last) from None
    finally:
        if shown:
            sys.stderr.write("\r" + " " * 60 + "\r")
            sys.stderr.flush()
