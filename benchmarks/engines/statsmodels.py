"""statsmodels MixedLM: one factor by groups, several as variance components of a single group."""

from __future__ import annotations

from typing import Any

import numpy as np
from workloads import Workload

from .base import Engine, Outcome, roots, timed

MOST_ROWS = 100_000  # its loop over groups is Python
MOST_CROSSED = 1000  # several factors make one dense matrix of all rows


class Statsmodels(Engine):
    package = "statsmodels"
    settings = "defaults"

    def supports(self, workload: Workload) -> str:
        rows = len(workload.frame)
        if not workload.linear:
            return "no maximum likelihood of generalized mixed models"
        if len(workload.random) > 1 and rows > MOST_CROSSED:
            return f"several factors need dense matrices of all rows (limit set at {MOST_CROSSED})"
        return f"minutes above {MOST_ROWS} rows" if rows > MOST_ROWS else ""

    def fit(self, prepared: Workload) -> Outcome:
        seconds, fit = timed(lambda: self._call(prepared))
        variances = [*np.diag(np.asarray(fit.cov_re)), *fit.vcomp, fit.scale]
        return Outcome(seconds, -2.0 * float(fit.llf), roots(variances))

    def _call(self, workload: Workload) -> Any:
        from statsmodels.regression.mixed_linear_model import MixedLM

        formula = f"{workload.response} ~ {workload.fixed}"
        fit = MixedLM.from_formula(formula, workload.frame, **self._effects(workload)).fit(reml=workload.reml)
        assert fit.bse_fe is not None
        return fit

    def _effects(self, workload: Workload) -> dict[str, Any]:
        if len(workload.random) == 1:
            terms, group = workload.random[0]
            return {"groups": group, "re_formula": f"~{terms}"}
        components = {group: f"0 + C({group})" for group in workload.groups}
        return {"groups": np.ones(len(workload.frame)), "re_formula": "0", "vc_formula": components}


ENGINE = Statsmodels()
