"""glmm with standard errors from the Hessian of all parameters of a generalized model, as ours."""

from __future__ import annotations

from typing import Any, ClassVar

from workloads import Workload

from .glmm import Glmm


class GlmmHessian(Glmm):
    settings = '`wald_se="hessian"` (its default): standard errors that know the variances are estimated'
    options: ClassVar[dict[str, Any]] = {"wald_se": "hessian"}

    def supports(self, workload: Workload) -> str:
        return "as glmm" if workload.linear else ""


ENGINE = GlmmHessian()
