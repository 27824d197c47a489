"""One BLAS thread for small matrices.

Two threads make a 36 × 36 eigenproblem twenty times slower on a busy machine, and dense tails below some 1500 rows
gain nothing from them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

WORTH_THREADS = 1500


@cache
def _controller(with_scipy: bool) -> Any:
    """The BLAS libraries loaded so far (SciPy brings its own)."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def threads_for(size: int) -> Iterator[None]:
    """Within: one BLAS thread, unless matrices of this size are worth more."""
    if size >= WORTH_THREADS:
        yield
        return
    with _controller("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"):
        yield


@cache
def cores() -> int:
    """Cores that this process may use."""
    import os

    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
