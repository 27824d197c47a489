"""Ours: the whole call, data frame to estimates and standard errors."""

from __future__ import annotations

from typing import Any

from workloads import Workload

from .base import Engine, Outcome, roots, timed


class Multilevel(Engine):
    package = "multilevel"
    settings = "whole call: formula and data frame to `fit.vcov`"

    def available(self) -> str | None:
        import multilevel

        return str(multilevel.__version__)

    def fit(self, prepared: Workload) -> Outcome:
        seconds, fit = timed(lambda: self._call(prepared))
        deviance = -2.0 * float(fit.log_likelihood)
        variances = [v for covariance in fit.estimates.covariances for v in covariance.diagonal()]
        residual = [float(fit.sigma)] if prepared.linear else []
        return Outcome(seconds, deviance, (*roots(variances), *residual))

    def _call(self, workload: Workload) -> Any:
        import multilevel as ml

        estimator = "laplace" if not workload.linear else "reml" if workload.reml else "ml"
        fit = ml.fit(workload.formula, workload.frame, family=workload.family, estimator=estimator)
        assert fit.vcov is not None
        return fit


ENGINE = Multilevel()
