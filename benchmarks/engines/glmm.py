"""glmm (Rust): from the data frame, without Satterthwaite degrees of freedom, which ours computes when asked.

Standard errors of generalized models are those of β with the variances held, its fastest kind; `glmm_hessian.py` has
the kind that ours gives.
"""

from __future__ import annotations

from typing import Any, ClassVar

from workloads import Workload

from .base import Engine, Outcome, timed


class Glmm(Engine):
    package = "glmm"
    settings = '`satterthwaite=False`, `wald_se="rx"` (lme4\'s standard errors): its fastest'
    options: ClassVar[dict[str, Any]] = {"wald_se": "rx"}

    def fit(self, prepared: Workload) -> Outcome:
        seconds, fit = timed(lambda: self._call(prepared))
        sds = [float(s) for g in range(len(fit.re_groups)) for s in fit.stddev_corr(g)[0]]
        residual = [float(fit.dispersion) ** 0.5] if prepared.linear else []
        return Outcome(seconds, -2.0 * float(fit.loglik), (*sds, *residual))

    def _call(self, workload: Workload) -> Any:
        import glmm

        if workload.linear:
            formula = workload.plain_formula
            return glmm.fit(workload.frame, formula, reml=workload.reml, satterthwaite=False, **self.options)
        weights = workload.frame[workload.trials].to_numpy() if workload.trials else None
        formula = workload.proportion_formula
        return glmm.fit(workload.frame, formula, family=workload.family, weights=weights, **self.options)


ENGINE = Glmm()
