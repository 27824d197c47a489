"""glmm (Rust): from the data frame, without Satterthwaite degrees of freedom, which ours computes when asked."""

from __future__ import annotations

from typing import Any

from workloads import Workload

from .base import Engine, Outcome, timed


class Glmm(Engine):
    package = "glmm"
    settings = '`satterthwaite=False`, `wald_se="rx"` (lme4\'s standard errors): its fastest'

    def fit(self, prepared: Workload) -> Outcome:
        seconds, fit = timed(lambda: self._call(prepared))
        sds = [float(s) for g in range(len(fit.re_groups)) for s in fit.stddev_corr(g)[0]]
        return Outcome(seconds, -2.0 * float(fit.loglik), (*sds, float(fit.dispersion) ** 0.5))

    def _call(self, workload: Workload) -> Any:
        import glmm

        formula = workload.plain_formula
        return glmm.fit(workload.frame, formula, reml=workload.reml, satterthwaite=False, wald_se="rx")


ENGINE = Glmm()
