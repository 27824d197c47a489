"""The result of a fit: one frozen object whatever the estimator, with everything computed when it is asked for.

    fit = model.fit()
    fit.summary()  fit.fixed_effects  fit.variance_components  fit.group_effects("g")
    fit.predict(new_data)  fit.residuals()  fit.save("school.fit")

Making a `Fit` costs nothing beyond the estimates: standard errors, degrees of freedom and intervals are computed on
first use and kept.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, nearest, printable
from . import tables
from .answers import Answers
from .remarks import LIKELIHOODS

if TYPE_CHECKING:
    from ..estimators.base import Estimator
    from ..model.model import Model
    from .draws import Draws
    from .estimates import Estimates
    from .sample import Sample
    from .summary import Summary

RESIDUALS = ("response", "pearson", "standardized", "deviance", "working", "quantile")
N_DRAWS = 1000


class Fit(Answers):
    """A fitted model.

    Parameters
    ----------
    model : Model
    estimator : Estimator
        The settings that produced it.
    estimates : Estimates
    seconds : float
        Time the estimation took.
    noticed : tuple of warnings, optional
        What `remarks.fit_warnings` found, when that was asked already.
    level : float
        Coverage of the intervals in its tables.

    Notes
    -----
    Tables are data frames of the kind that the model's data came in (pandas, polars or Arrow); `glossary.MEANING`
    explains their columns. Intervals of fixed effects use t quantiles with Satterthwaite's degrees of freedom,
    those of standard deviations the profile likelihood where that takes less than seconds. Generalized models have
    normal quantiles, and z statistics with infinite degrees of freedom. Of sampled fits estimates are posterior means,
    standard errors posterior standard deviations, intervals quantiles; `diagnostics` says how good the draws are.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> round(fit.coefficients["Intercept"], 2)
    69.61
    """

    model: Model
    estimator: Estimator
    estimates: Estimates
    seconds: float
    level: float

    def __init__(
        self,
        model: Model,
        estimator: Estimator,
        estimates: Estimates,
        seconds: float = 0.0,
        noticed: tuple[Any, ...] | None = None,
        level: float = 0.95,
    ) -> None:
        values = self.__dict__
        values["model"], values["estimator"], values["estimates"] = model, estimator, estimates
        values["seconds"], values["level"] = seconds, tables.check_level(level)
        if noticed is not None:
            values["_noticed"] = noticed

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a fit does not change: cannot set {name}")

    def __repr__(self) -> str:
        from ..model.describe import formula_text

        partial = "" if not self.partial else " (PARTIAL: interrupted)"
        return f'<Fit "{formula_text(self.model)}" by {self.estimator.name}{partial}: summary() shows it>'

    # --- numbers -------------------------------------------------------------------------------------------------
    @property
    def log_likelihood(self) -> float:
        """Log-likelihood at the estimates (the restricted one for REML); NaN where the estimator has none."""
        return self.estimates.log_likelihood

    @property
    def objective(self) -> float:
        """What the estimator minimised; `estimates.criterion` says what that is."""
        return self.estimates.objective

    @property
    def aic(self) -> float:
        """−2 log-likelihood + 2 parameters (fixed effects, variance parameters, σ or the constants of the family)."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """−2 log-likelihood + log(rows) × parameters, as lme4."""
        return -2.0 * self.log_likelihood + float(np.log(self.n_obs)) * self.n_parameters

    @property
    def n_obs(self) -> int:
        """Rows used; with frequency weights, the observations they stand for."""
        design = self.model.design
        if design.weights is None or design.weights_kind != "frequency":
            return design.n
        return round(float(design.weights.sum()))

    @property
    def n_parameters(self) -> int:
        return self.estimates.n_parameters

    @property
    def df_residual(self) -> int:
        """Rows minus parameters, as lme4 counts them; for least squares, rows minus coefficients, as R's `lm`.

        A convention: tests of fixed effects in likelihood fits use Satterthwaite's degrees of freedom instead.
        """
        likelihood = self.estimates.criterion in LIKELIHOODS
        return self.n_obs - self.n_parameters + int(not likelihood and self.sigma is not None)

    @property
    def converged(self) -> bool:
        """Whether the search ended at an optimum; of sampled fits, whether nothing speaks against the draws.

        The warnings say what does: R̂, effective draws, divergences, an interrupted run (`docs/diagnostics.md`).
        """
        return self.estimates.converged

    @property
    def boundary(self) -> list[str]:
        """Grouping factors with a variance of zero or a correlation of ±1."""
        return list(self.estimates.boundary)

    @property
    def singular(self) -> bool:
        """Whether any covariance lost a rank (see `boundary`)."""
        return bool(self.estimates.boundary)

    @property
    def sampled(self) -> bool:
        """Whether the draws come from a sampler (false: from the approximation of a likelihood fit)."""
        return self.sample is not None

    @property
    def sample(self) -> Sample | None:
        """What the sampler handed over: draws by chain, its statistics and settings; None for other fits."""
        return self.estimates.certainty.sample

    @property
    def partial(self) -> bool:
        """Whether sampling was interrupted, and only the draws made until then are there."""
        return self.sample is not None and bool(self.sample.info.get("partial", False))

    @property
    def sigma(self) -> float | None:
        """Residual standard deviation; None when every row's standard error is known."""
        return self.estimates.sigma

    @property
    def coefficients(self) -> dict[str, float]:
        """Fixed effects by name; NaN for columns dropped as redundant."""
        return dict(zip(self.model.design.fixed_names, self.estimates.beta.tolist(), strict=True))

    @cached_property
    def vcov(self) -> np.ndarray:
        """Covariance of the fixed effects, (p, p); NaN in the rows of dropped columns."""
        out = self.estimates.certainty.beta_covariance()
        out.flags.writeable = False
        return out

    @cached_property
    def theta(self) -> np.ndarray:
        """Covariance parameters relative to σ, term by term; lower triangles column by column, as lme4."""
        variance = 1.0 if self.sigma is None else self.sigma**2
        pairs = zip(self.model.scales, self.estimates.covariances, strict=True)
        parts = [scale.from_covariance(covariance / variance) for scale, covariance in pairs]
        return np.concatenate(parts) if parts else np.zeros(0)

    # --- how sure: computed once, shared by the tables -----------------------------------------------------------
    @cached_property
    def std_errors(self) -> np.ndarray:
        """Standard errors of the fixed effects."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.diag(self.vcov)))

    @cached_property
    def fixed_df(self) -> np.ndarray:
        """Degrees of freedom of each fixed effect."""
        return np.asarray(self.estimates.certainty.contrast_df(np.eye(len(self.estimates.beta))))

    @cached_property
    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        """Conditional covariance of the effects of each level, per term (L, k, k)."""
        return self.estimates.certainty.effect_covariances()

    @cached_property
    def sd_errors(self) -> tuple[list[list[float]], float]:
        """Standard errors of the standard deviations: per term, and the residual one."""
        return self.estimates.certainty.sd_errors()

    @cached_property
    def _by_level(self) -> dict[tuple[str, float], Any]:
        return {}

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        """Intervals of the standard deviations: per term, and the residual one."""
        key = ("sd", level)
        if key not in self._by_level:
            self._by_level[key] = self.estimates.certainty.sd_intervals(level)
        return self._by_level[key]  # type: ignore[no-any-return]

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        """Intervals of the correlations, per term."""
        key = ("correlation", level)
        if key not in self._by_level:
            self._by_level[key] = self.estimates.certainty.correlation_intervals(level)
        return self._by_level[key]  # type: ignore[no-any-return]

    # --- tables --------------------------------------------------------------------------------------------------
    @property
    def fixed_effects(self) -> Any:
        """Table of the fixed effects: term, estimate, std_error, df, statistic, p_value, lower, upper.

        Of sampled fits posterior means, sds and quantiles, without tests (NaN), with rhat, ess_bulk and ess_tail.
        """
        return self._frame(tables.fixed_effects(self, self.level))

    @property
    def variance_components(self) -> Any:
        """Table of the standard deviations: group, term, sd, variance, std_error, lower, upper."""
        return self._frame(tables.variance_components(self, self.level))

    @property
    def correlations(self) -> Any:
        """Table of the correlations: group, term_1, term_2, correlation, lower, upper."""
        return self._frame(tables.correlations(self, self.level))

    def group_effects(self, name: str | None = None) -> Any:
        """Table of the estimated effects of each level: level, term, estimate, std_error, lower, upper.

        Of sampled fits with rhat, ess_bulk, ess_tail.

        Parameters
        ----------
        name : str, optional
            A grouping factor; all of them otherwise, with a column `group` first when there are several.

        Returns
        -------
        table
            Conditional modes; their standard errors are conditional on the variance parameters and fixed effects.
            Posterior means, standard deviations and quantiles of sampled fits.

        Raises
        ------
        SettingError
            For a name that is no grouping factor of the model.
        """
        return self._frame(tables.group_effects(self, tables.group_labels(self, name), self.level, True))

    def confint(self, level: float | None = None) -> Any:
        """Table of intervals of coefficients and standard deviations.

        Columns parameter ("fixed", "sd" or "sigma"), group, term, estimate, lower, upper.
        """
        return self._frame(tables.intervals(self, self.level if level is None else tables.check_level(level)))

    # --- rows ----------------------------------------------------------------------------------------------------
    @cached_property
    def fitted_values(self) -> np.ndarray:
        """Conditional mean of each row used, at x'β̂ + z'b̂; probabilities of the categories (n, K)."""
        if self.model.is_linear:
            out = np.asarray(self.predict(interval=None)["estimate"], dtype=float)
        else:
            out = self._fitted_means()
        out.flags.writeable = False
        return out

    def residuals(self, kind: str = "response", *, seed: int | None = 0) -> np.ndarray:
        """Residuals of the rows used, given the group effects.

        Parameters
        ----------
        kind : {"response", "pearson", "standardized", "deviance", "working", "quantile"}
            y − ŷ; times √weight (or over the known standard error); over σ besides (lme4's scaled residuals); or
            Φ⁻¹(F(y)), standard normal when the model is right (`checks.residuals.quantile_residuals`). Other families:
            `predictions.residuals`; Pearson's are over the standard deviation of the row, and so standardized ones too.
        seed : int or None
            Of the quantile residuals of discrete responses, which are random within the step of F at y.

        Returns
        -------
        (n,) array
        """
        if kind not in RESIDUALS:
            hint = nearest(str(kind), RESIDUALS) or f"Use {', '.join(RESIDUALS)}."
            raise SettingError(f'unknown kind of residuals "{printable(kind)}"', hint=hint)
        if kind == "quantile":
            from ..checks.residuals import quantile_residuals

            return quantile_residuals(self, seed=seed)
        return self._linear_residuals(kind) if self.model.is_linear else self._generalized_residuals(kind)

    def _linear_residuals(self, kind: str) -> np.ndarray:
        design = self.model.design
        out = design.response - self.fitted_values
        if kind in ("response", "working"):
            return out
        if design.weights is not None and design.weights_kind == "precision":
            out = out * np.sqrt(design.weights)
        if design.known_se is not None:
            out = out / design.known_se
        scaled = kind in ("standardized", "deviance") and self.sigma  # a perfect fit has no scale
        return out / self.sigma if scaled else out

    # --- the whole -----------------------------------------------------------------------------------------------
    @cached_property
    def _noticed(self) -> tuple[Any, ...]:
        from .remarks import fit_warnings

        return fit_warnings(self.model, self.estimates)

    @property
    def warnings(self) -> list[Any]:
        """Everything noticed about data, formula and fit, each with `code`, `message` and `hint`."""
        return [*self.model.warnings, *self.estimates.warnings, *self._noticed]

    @cached_property
    def notes(self) -> tuple[Any, ...]:
        """Remarks that deserve reading but no alarm: few groups, extreme imbalance, a level that hardly matters."""
        from .remarks import notes

        return notes(self)

    @cached_property
    def draws(self) -> Draws:
        """All draws of a sampled fit, the chains one after another (`draws.by_chain(name)` keeps them apart).

        Of other fits, a thousand draws from the approximate joint distribution of all parameters (always the same).
        """
        from .draws import Draws

        if self.sampled:
            return Draws.of_sample(self)
        return Draws.of(self, N_DRAWS, np.random.default_rng(0))

    def summary(self, level: float | None = None) -> Summary:
        """What was fitted and what came out; prints as text, HTML in notebooks, `.to_markdown()`, `.to_dict()`."""
        from .summary import summarise

        return summarise(self, self.level if level is None else tables.check_level(level))

    def to_dict(self) -> dict[str, Any]:
        """The fit as JSON-able values (schema ``multilevel.fit/1``): undefined numbers are None."""
        from .record import record

        return record(self)

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON text."""
        import json

        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def save(self, path: Any, overwrite: bool = False) -> None:
        """Write the fit to a file that ``ml.load`` reads: JSON and arrays with checksums, no pickle.

        Parameters
        ----------
        path : str or path
            The file to write; it appears whole or not at all.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError, OutputPathError
        """
        from .store import save

        save(self, path, overwrite)

    def _repr_html_(self) -> str:
        return self.summary().to_html()

    # --- familiar names ------------------------------------------------------------------------------------------
    ranef = group_effects

    @property
    def fixef(self) -> Any:
        """Another name of `fixed_effects`."""
        return self.fixed_effects

    @property
    def VarCorr(self) -> Any:
        """Another name of `variance_components`."""
        return self.variance_components
