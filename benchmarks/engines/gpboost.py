"""GPBoost (C++): maximum likelihood of independent random effects; matrices are made beforehand, untimed.

Crossed effects go through conjugate gradients and stochastic Lanczos quadrature unless Cholesky is asked for
(`gpboost_cholesky.py`). The likelihood it reports then is an estimate, so where a Cholesky factor is affordable the
deviance is evaluated exactly at its estimates, untimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from workloads import PROPORTION, Workload

from .base import Engine, Outcome, roots, timed

MOST_LEVELS = 20_000  # in all factors together, for the exact evaluation


@dataclass
class Matrices:
    """What GPBoost takes instead of a formula, and the exact deviances evaluated so far."""

    y: np.ndarray
    X: np.ndarray
    codes: np.ndarray
    likelihood: str = "gaussian"
    trials: np.ndarray | None = None
    known: dict[tuple[float, ...], float] = field(default_factory=dict)

    @property
    def levels(self) -> int:
        return int(sum(self.codes.max(axis=0) + 1))


class Gpboost(Engine):
    package = "gpboost"
    exact = False
    settings = "defaults, then `get_coef(std_err=True)`; model matrices made beforehand; deviance evaluated exactly"
    options: ClassVar[dict[str, Any]] = {}

    def supports(self, workload: Workload) -> str:
        if workload.reml:
            return "no REML"
        return "" if workload.intercepts_only else "no correlated random slopes"

    def prepare(self, workload: Workload) -> Matrices:
        from formulaic import model_matrix

        frame = workload.frame
        X = np.asarray(model_matrix(workload.fixed, frame), dtype=float)
        codes = np.column_stack([frame[g].cat.codes.to_numpy() for g in workload.groups])
        if workload.linear:
            return Matrices(frame[workload.response].to_numpy(float), X, codes)
        if workload.trials:
            trials = frame[workload.trials].to_numpy(float)
            return Matrices(frame[PROPORTION].to_numpy(float), X, codes, "binomial_logit", trials)
        return Matrices(frame[workload.response].to_numpy(float), X, codes, "bernoulli_logit")

    def fit(self, prepared: Matrices) -> Outcome:
        seconds, model = timed(lambda: self._call(prepared))
        variances = np.asarray(model.get_cov_pars(format_pandas=False), dtype=float).ravel()
        residual_last = [*variances[1:], variances[0]] if prepared.likelihood == "gaussian" else variances
        return Outcome(seconds, self._deviance(model, prepared, variances), roots(residual_last))

    def _call(self, prepared: Matrices) -> Any:
        import gpboost

        model = gpboost.GPModel(
            group_data=prepared.codes, likelihood=prepared.likelihood, weights=prepared.trials, **self.options
        )
        model.fit(y=prepared.y, X=prepared.X)
        model.get_coef(std_err=True)
        return model

    def _deviance(self, model: Any, prepared: Matrices, variances: np.ndarray) -> float:
        if prepared.levels > MOST_LEVELS:
            return 2.0 * float(model.get_current_neg_log_likelihood())
        key = tuple(variances.tolist())
        if key not in prepared.known:
            beta = np.asarray(model.get_coef(format_pandas=False), dtype=float).ravel()
            prepared.known[key] = exact_deviance(prepared, variances, beta)
        return prepared.known[key]


def exact_deviance(at: Matrices, variances: np.ndarray, beta: np.ndarray) -> float:
    """−2 log-likelihood of given estimates by Cholesky."""
    import gpboost

    model = gpboost.GPModel(
        group_data=at.codes, likelihood=at.likelihood, weights=at.trials, matrix_inversion_method="cholesky"
    )
    return 2.0 * float(model.neg_log_likelihood(cov_pars=variances, y=at.y, fixed_effects=at.X @ beta))


ENGINE = Gpboost()
