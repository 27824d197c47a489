"""lme-python (Rust): from a polars table, which it reads natively; standard errors belong to its fit."""

from __future__ import annotations

from typing import Any

from workloads import Workload

from .base import Engine, Outcome, timed


class LmePython(Engine):
    package = "lme-python"
    settings = "polars table (its native input), defaults"

    def supports(self, workload: Workload) -> str:
        return "a proportion of trials is not among its formulas" if workload.trials else ""

    def prepare(self, workload: Workload) -> tuple[Workload, Any]:
        import polars as pl

        frame = workload.frame
        labels = {c: frame[c].astype(str) for c in frame if frame[c].dtype == "category"}
        return workload, pl.DataFrame({c: labels.get(c, frame[c]).to_numpy() for c in frame})

    def fit(self, prepared: tuple[Workload, Any]) -> Outcome:
        import lme_python

        workload, table = prepared
        if not workload.linear:
            seconds, fit = timed(lambda: lme_python.glmer(workload.formula, table, workload.family))
            sds = tuple(float(sd) for _, first, second, _, sd in fit.var_corr if first == second)
            return Outcome(seconds, -2.0 * fit.log_likelihood, sds)
        seconds, fit = timed(lambda: lme_python.lmer(workload.plain_formula, table, reml=workload.reml))
        deviance = fit.reml_criterion if workload.reml else -2.0 * fit.log_likelihood
        sds = tuple(float(sd) for _, first, second, _, sd in fit.var_corr if first == second)
        return Outcome(seconds, float(deviance), sds)


ENGINE = LmePython()
