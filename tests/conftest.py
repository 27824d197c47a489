"""One BLAS thread: two of them fight over small matrices when tests run side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    import scipy.linalg  # noqa: F401  # so that its own BLAS is limited too
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
