"""glmmTMB (R): automatic differentiation of the Laplace approximation, exact for Gaussian responses."""

from __future__ import annotations

from workloads import Workload

from .r_session import REngine

MOST_ROWS = 200_000  # minutes and gigabytes above


class GlmmTMB(REngine):
    package = "glmmTMB"
    settings = "defaults (standard errors are part of its fit)"

    def supports(self, workload: Workload) -> str:
        return f"minutes above {MOST_ROWS} rows" if len(workload.frame) > MOST_ROWS else ""


ENGINE = GlmmTMB()
