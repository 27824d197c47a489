"""What an engine must answer: is it here, does it know this model, and how long does a fit take."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workloads import Workload


@dataclass(frozen=True)
class Outcome:
    """One fit: its time, −2 log-likelihood as lme4 states it (REML criterion or ML deviance), standard deviations.

    The standard deviations are those of the random effects, in the engine's own order, and the residual one last
    (generalized models have none).
    """

    seconds: float
    deviance: float
    sds: tuple[float, ...]


class Engine(ABC):
    """One package behind the common signature.

    A fit goes from the data to estimates and standard errors of the fixed effects; reading out the deviance and the
    standard deviations is not timed, nor is what `prepare` does.
    """

    package: str  # its name in the registry
    exact = True  # whether its deviance is computed without approximation, so that it can serve as a reference
    settings = ""  # what differs from its defaults, and why

    def available(self) -> str | None:
        """The version installed, None when it is not."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def facts(self) -> dict[str, str]:
        """What else should be known of the installation, such as its BLAS."""
        return {}

    def supports(self, workload: Workload) -> str:
        """Empty when it fits this model, otherwise the reason why not."""
        return ""

    def prepare(self, workload: Workload) -> Any:
        """Whatever `fit` needs; untimed."""
        return workload

    @abstractmethod
    def fit(self, prepared: Any) -> Outcome:
        """One timed fit."""

    def process(self) -> int | None:
        """The process that does the work when it is not this one."""
        return None


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of a call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def roots(variances: Any) -> tuple[float, ...]:
    """Standard deviations of variances that may be slightly negative by rounding."""
    return tuple(math.sqrt(max(float(v), 0.0)) for v in variances)
