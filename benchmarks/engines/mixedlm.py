"""mixedlm (Python and Rust): from the data frame to `vcov()`."""

from __future__ import annotations

from typing import Any

from workloads import Workload

from .base import Engine, Outcome, roots, timed


class Mixedlm(Engine):
    package = "mixedlm"
    settings = "defaults, then `vcov()`"

    def fit(self, prepared: Workload) -> Outcome:
        seconds, fit = timed(lambda: self._call(prepared))
        groups = fit.VarCorr().groups.values()
        variances = [v for group in groups for v in group.variance.values()]
        if not prepared.linear:
            return Outcome(seconds, -2.0 * float(fit.logLik()), roots(variances))
        return Outcome(seconds, float(fit.deviance), (*roots(variances), float(fit.sigma)))

    def _call(self, workload: Workload) -> Any:
        import mixedlm

        if workload.linear:
            fit = mixedlm.lmer(workload.formula, workload.frame, REML=workload.reml)
        else:
            weights = workload.trials or None
            family = mixedlm.families.Binomial()
            fit = mixedlm.glmer(workload.proportion_formula, workload.frame, family=family, weights=weights)
        fit.vcov()
        return fit


ENGINE = Mixedlm()
