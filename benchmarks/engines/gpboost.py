"""GPBoost (C++): maximum likelihood of independent random effects; matrices are made beforehand, untimed."""

from __future__ import annotations

from typing import Any

import numpy as np
from workloads import Workload

from .base import Engine, Outcome, roots, timed


class Gpboost(Engine):
    package = "gpboost"
    exact = False  # crossed effects: likelihoods by stochastic Lanczos quadrature
    settings = "defaults, then `get_coef(std_err=True)`; model matrices made beforehand"

    def supports(self, workload: Workload) -> str:
        if workload.reml:
            return "no REML"
        return "" if workload.intercepts_only else "no correlated random slopes"

    def prepare(self, workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from formulaic import model_matrix

        frame = workload.frame
        X = np.asarray(model_matrix(workload.fixed, frame), dtype=float)
        codes = np.column_stack([frame[g].cat.codes.to_numpy() for g in workload.groups])
        return frame[workload.response].to_numpy(float), X, codes

    def fit(self, prepared: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Outcome:
        seconds, model = timed(lambda: self._call(*prepared))
        residual, *variances = np.asarray(model.get_cov_pars(format_pandas=False)).ravel()
        deviance = 2.0 * float(model.get_current_neg_log_likelihood())
        return Outcome(seconds, deviance, roots([*variances, residual]))

    def _call(self, y: np.ndarray, X: np.ndarray, codes: np.ndarray) -> Any:
        import gpboost

        model = gpboost.GPModel(group_data=codes, likelihood="gaussian")
        model.fit(y=y, X=X)
        model.get_coef(std_err=True)
        return model


ENGINE = Gpboost()
