"""What one run measured, and the comparisons drawn from it."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from engines import OURS
from workloads import Workload

REFERENCE = ("lme4", "mixedlm", "glmm", OURS)  # exact deviances; the lowest of them is the optimum
AGREE = 1e-3  # a larger distance from the optimum is pointed out


@dataclass
class Measure:
    """One engine on one workload: times of the repeats after the warm-up, or the reason why there are none."""

    engine: str
    seconds: list[float] = field(default_factory=list)
    warm_up: float | None = None
    deviance: float | None = None
    sds: list[float] = field(default_factory=list)
    skipped: str = ""
    single: bool = False  # too slow to repeat: the warm-up counts
    peak: int | None = None  # bytes above those held before the fit

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def fitted(self) -> bool:
        return bool(self.seconds)


@dataclass
class Case:
    """All engines on one workload."""

    workload: Workload
    measures: dict[str, Measure]
    rows: int = 0
    bytes: int = 0
    load: float = 0.0

    @property
    def optimum(self) -> float | None:
        """The lowest of the exact deviances."""
        known = [m.deviance for m in self.measures.values() if m.engine in REFERENCE and m.deviance is not None]
        return min(known, default=None)

    def short(self, measure: Measure) -> float | None:
        """How far above the optimum an engine stopped."""
        return None if self.optimum is None or measure.deviance is None else measure.deviance - self.optimum

    def ratio(self, measure: Measure) -> float | None:
        """Its time over ours."""
        ours = self.measures.get(OURS)
        return measure.best / ours.best if ours and ours.fitted and measure.fitted else None

    def verdict(self) -> str:
        """Whether ours meets the goal: "met", "missed", or what is not known."""
        goal, ours = self.workload.goal, self.measures.get(OURS)
        if ours is None or not ours.fitted:
            return "not measured"
        if goal.seconds is not None and ours.best > goal.seconds:
            return f"missed ({ours.best / goal.seconds:.1f}× the limit)"
        if goal.peer:
            peer = self.measures.get(goal.peer)
            ratio = self.ratio(peer) if peer else None
            if ratio is None:
                return f"{goal.peer} not measured"
            if ratio < goal.factor:
                return f"missed ({ratio:.3g}× {goal.peer})"
        return "met, and the aim" if goal.aim is not None and ours.best <= goal.aim else "met"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        w = self.workload
        described = {"name": w.name, "formula": w.formula, "criterion": w.criterion}
        numbers = {"rows": self.rows, "bytes": self.bytes, "optimum": self.optimum, "load": self.load}
        measures = [{**asdict(m), "short": self.short(m)} for m in self.measures.values()]
        return {**described, **numbers, "goal": str(w.goal), "verdict": self.verdict(), "engines": measures}
