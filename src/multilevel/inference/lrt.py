"""Likelihood-ratio tests of nested models, with variances tested where they live: on the boundary.

    T = d_small − d_large,   d = −2 log-likelihood          q parameters inside their range, v variances that are zero

    v = 0              χ²_q
    v = 1              ½ χ²_q + ½ χ²_{q+1}      (Self & Liang 1987; Stram & Lee 1994): covariances with it count in q
    v = 1, alone       the exact distribution (`exact.py`), for one term of one coefficient against no group at all
    v > 1              simulation: the mixture's weights depend on the design; χ²_{q+v} bounds its p-value from above

The restricted likelihood is used when both fits are REML fits with the same fixed part, maximum likelihood otherwise
(fits by REML are then refitted, as restricted likelihoods of different fixed parts do not compare). A naive χ² for a
variance is conservative: its p-value is up to twice too large. Generalized models, of one family and link, are
compared by their approximate likelihoods, both by the same approximation.

References: Self & Liang (1987), JASA 82; Stram & Lee (1994), Biometrics 50; Crainiceanu & Ruppert (2004).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import MultilevelWarning, SettingError, nearest, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.html import to_html
from ..model.describe import formula_text
from ..registry import make_estimator
from . import exact
from .bootstrap import in_chunks, refuse_counts
from .criterion import criterion, is_likelihood, is_reml, minimum, require_likelihood
from .nested import Difference, difference, same_data, same_family, volume
from .variants import variant

if TYPE_CHECKING:
    from ..fit.fit import Fit

METHODS = ("auto", "chi2", "mixture", "exact", "bootstrap")
NAMES = {
    "chi2": "chi-square",
    "mixture": "mixture of chi-squares (a variance on the boundary)",
    "exact": "exact finite-sample distribution (Crainiceanu & Ruppert)",
    "bootstrap": "parametric bootstrap",
}
EXACT_DRAWS = 20_000


@dataclass(frozen=True, eq=False)
class LRT:
    """A likelihood-ratio test.

    Parameters
    ----------
    statistic : float
        Fall of −2 log-likelihood from the smaller to the larger model, not below zero.
    df : int
        Parameters that the larger model has more.
    p_value : float
    method : {"chi2", "mixture", "exact", "bootstrap"}
    criterion : {"ML", "REML"}
    models : (str, str)
        Smaller and larger model.
    deviances, n_parameters : pairs of numbers
    draws : int
        Simulated statistics behind the p-value; 0 where it is computed.
    notes : tuple of str
        Refits and failures.
    """

    statistic: float
    df: int
    p_value: float
    method: str
    criterion: str
    models: tuple[str, str]
    deviances: tuple[float, float]
    n_parameters: tuple[int, int]
    n_obs: int
    difference: Difference
    draws: int = 0
    notes: tuple[str, ...] = ()
    native: str = "pandas"

    @property
    def std_error(self) -> float:
        """Simulation error of the p-value; 0 where it is computed."""
        return math.sqrt(self.p_value * (1.0 - self.p_value) / self.draws) if self.draws else 0.0

    @property
    def distribution(self) -> str:
        """The reference distribution in words."""
        q = self.difference.inside
        if self.method == "chi2":
            bound = ", an upper bound for p: variances are on the boundary" if self.difference.variances else ""
            return f"χ² with {self.df} df{bound}"
        if self.method == "mixture":
            return f"½χ²({q}) + ½χ²({q + 1}): one variance is on the boundary"
        return f"{NAMES[self.method]}, {self.draws} draws"

    @property
    def sentence(self) -> str:
        """The test in one sentence."""
        return f"With {self.statement}"

    @property
    def statement(self) -> str:
        """The sentence without its first word, to follow the models' names."""
        p = self.p_value
        clear = "clearly better than" if p < 0.01 else "better than" if p < 0.05 else "no better than"
        return (
            f"{_more(self.difference)} more the model fits {clear} without: likelihood ratio {self.statistic:.2f} "
            f"({self.criterion}), p {_p(p)} ({self.distribution})."
        )

    def _columns(self) -> dict[str, Any]:
        log_n, nan = math.log(self.n_obs), math.nan
        d, k = np.array(self.deviances), np.array(self.n_parameters)
        return {
            "model": list(self.models),
            "n_parameters": k,
            "aic": d + 2.0 * k,
            "bic": d + log_n * k,
            "log_likelihood": -0.5 * d,
            "statistic": np.array([nan, self.statistic]),
            "df": np.array([nan, float(self.df)]),
            "p_value": np.array([nan, self.p_value]),
        }

    @property
    def table(self) -> Any:
        """Table of both models: model, n_parameters, aic, bic, log_likelihood, statistic, df, p_value."""
        return frame(self.native, self._columns())

    def _blocks(self) -> list[Block]:
        columns = self._columns()
        rows = []
        for i in range(2):
            test = (f"{self.statistic:.2f}", str(self.df), numbers.probability(self.p_value))
            last = test if i else ("", "", "")
            cells = [numbers.criterion(float(columns[name][i])) for name in ("aic", "bic", "log_likelihood")]
            rows.append((printable(self.models[i], 80), str(self.n_parameters[i]), *cells, *last))
        header = ("", "parameters", "AIC", "BIC", "logLik", "LR", "df", "p value")
        title = f"Likelihood-ratio test ({self.criterion}):"
        return [Grid(title, header, tuple(rows)), Lines("", (self.sentence, *self.notes))]

    def summary(self) -> str:
        """Both models and the test as text."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "statistic": self.statistic, "df": self.df, "p_value": self.p_value, "method": self.method,
            "criterion": self.criterion, "models": list(self.models), "deviances": list(self.deviances),
            "n_parameters": list(self.n_parameters), "draws": self.draws, "sentence": self.sentence,
            "notes": list(self.notes),
        }  # fmt: skip


def _p(value: float) -> str:
    return "< 0.0001" if value < 5e-5 else f"= {value:.4f}"


def _more(more: Difference) -> str:
    parts = [
        (more.variances, "variance", "variances"),
        (more.covariances, "covariance", "covariances"),
        (more.fixed, "fixed effect", "fixed effects"),
    ]
    named = [f"{n} {one if n == 1 else many}" for n, one, many in parts if n]
    return ", ".join(named[:-1]) + (" and " if named[:-1] else "") + named[-1]


def lrt(small: Fit, large: Fit, method: str = "auto", *, n: int | None = None, seed: int = 0, parallel: int = 1) -> LRT:
    """Likelihood-ratio test of two nested fits.

    Parameters
    ----------
    small, large : Fit
        By ``"reml"``, ``"ml"``, ``"laplace"``, ``"agq"``, or ``"complete"`` (no groups). In either order of size.
    method : {"auto", "chi2", "mixture", "exact", "bootstrap"}
        The reference distribution; by default the best that applies (above).
    n : int, optional
        Simulated statistics: 20 000 of the exact distribution, 1000 refits of the bootstrap.
    seed : int
    parallel : int
        Processes of the bootstrap.

    Returns
    -------
    LRT

    Raises
    ------
    SettingError
        For models that are not nested or of different data (E_NOT_COMPARABLE), and methods that do not apply.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.lrt import lrt
    >>> data = ml.datasets.load("schools")
    >>> test = lrt(ml.fit("score ~ 1", data), ml.fit("score ~ 1 + (1 | school)", data))
    >>> test.method, test.p_value < 0.001
    ('exact', True)
    """
    if method not in METHODS:
        hint = nearest(str(method), METHODS) or f"Use {', '.join(METHODS)}."
        raise SettingError(f'unknown method "{printable(method)}"', hint=hint)
    for fit in (small, large):
        _require(fit)
    small, large = _effective(small), _effective(large)
    same_data([small.model, large.model])
    same_family([small.model, large.model])
    _same_approximation(small, large)
    if large.n_parameters < small.n_parameters:
        small, large = large, small
    more = difference(small.model, large.model)
    if more.inside + more.variances == 0:
        raise SettingError(
            "both fits are the same model", code="E_NOT_COMPARABLE", hint="Give a smaller and a larger one."
        )
    reml, notes = _criterion(small, large, more)
    return _tested(small, large, more, reml, _method(method, large, more, reml), n, seed, parallel, notes)


def _same_approximation(small: Fit, large: Fit) -> None:
    """Refuse quadrature beside Laplace: the difference would be partly that of the approximations."""
    if small.model.is_linear or not (small.model.design.groups and large.model.design.groups):
        return
    if small.estimator != large.estimator:
        names = [f'"{printable(fit.estimator.name)}"' for fit in (small, large)]
        raise SettingError(
            f"one fit is by {names[0]}, the other by {names[1]} or with other settings: the likelihoods differ",
            code="E_NOT_COMPARABLE",
            hint="Fit both by the same estimator with the same settings.",
        )


def _require(fit: Fit) -> None:
    if fit.estimator.name != "complete":
        require_likelihood(fit, "a likelihood-ratio test")


def _effective(fit: Fit) -> Fit:
    """The fit itself; complete pooling, whose formula may have group terms, as the model without them."""
    if fit.estimator.name != "complete" or not fit.model.design.groups:
        return fit
    from dataclasses import replace

    return refitted(variant(fit.model, groups=(), formula=replace(fit.model.formula, groups=(), text="")), "complete")


def refitted(model: Any, estimator: Any) -> Fit:
    """A fit of a model variant by an estimator of that name, or by one with its settings, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        known = not isinstance(estimator, str) and not model.is_linear and model.design.groups
        name = estimator if isinstance(estimator, str) else estimator.name
        chosen = estimator if known else make_estimator(name if model.design.groups else "complete", {})
        fit: Fit = chosen.fit(model)
    return fit


def _criterion(small: Fit, large: Fit, more: Difference) -> tuple[bool, tuple[str, ...]]:
    """Whether to compare restricted likelihoods, and what was refitted for it."""
    others = [fit for fit in (small, large) if fit.model.design.groups]
    reml = bool(others) and all(is_reml(fit) for fit in others)
    if reml and more.fixed == 0:
        return True, ()
    if not reml and not any(is_reml(fit) for fit in others):
        return False, ()
    why = "the fixed parts differ" if more.fixed else "the other fit is by maximum likelihood"
    return False, (f"REML fits were refitted by maximum likelihood: {why}.",)


def _method(method: str, large: Fit, more: Difference, reml: bool) -> str:
    alone = len(large.model.design.groups) == 1 and more.variances == 1 and more.covariances == 0
    fits = (
        large.model.is_linear and alone and large.model.design.known_se is None and exact.serves(large.model.products)
    )
    if method == "auto":
        if more.structured or more.variances > 1:
            return "bootstrap"
        return "chi2" if more.variances == 0 else "exact" if fits else "mixture"
    if method == "exact" and not fits:
        raise SettingError(
            'method="exact" is for one variance of one group term against no groups, in linear models',
            hint=f'Use "mixture" or "bootstrap"; levels up to {exact.MOST_LEVELS} are served.',
        )
    if method == "mixture" and more.variances != 1:
        raise SettingError(
            f'method="mixture" is for one variance on the boundary, and {more.variances} are tested',
            hint='Use "bootstrap" for several, "chi2" for none.',
        )
    return method


def _tested(
    small: Fit, large: Fit, more: Difference, reml: bool, method: str, n: int | None, seed: int, parallel: int,
    notes: tuple[str, ...],
) -> LRT:  # fmt: skip
    deviances = tuple(_deviance(fit, reml) for fit in (small, large))
    shift = _shift(small, large) if reml else 0.0
    statistic = max(deviances[0] - deviances[1] - shift, 0.0)
    draws = 0
    if method == "chi2":
        p = _chi2(more.inside + more.variances, statistic)
    elif method == "mixture":
        p = 0.5 * _chi2(more.inside, statistic) + 0.5 * _chi2(more.inside + 1, statistic)
    else:
        simulated, failed = _simulated(small, large, more, reml, method, n, seed, parallel, shift)
        draws = len(simulated)
        # the observed data set is one of those that the null hypothesis could have given
        p = (1.0 + float(np.sum(simulated >= statistic - 1e-8))) / (1.0 + draws)
        notes += (f"Left out, because no optimum was found: {failed} of {draws + failed} refits.",) if failed else ()
    counts = [criterion_parameters(fit) for fit in (small, large)]
    return LRT(
        float(statistic), counts[1] - counts[0], float(p), method, "REML" if reml else "ML",
        (formula_text(small.model), formula_text(large.model)), (float(deviances[0]), float(deviances[1])),
        (counts[0], counts[1]), large.n_obs, more, draws, notes, large.model.native,
    )  # fmt: skip


def criterion_parameters(fit: Fit) -> int:
    """Fixed effects, variance parameters and σ; of other estimators what they count themselves."""
    if not is_likelihood(fit) or not fit.model.is_linear:
        return fit.n_parameters
    model = fit.model
    return model.products.p + sum(len(s.kinds()) for s in model.scales) + int(model.design.known_se is None)


def _chi2(df: int, statistic: float) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(df, statistic)) if df else float(statistic <= 0.0)


def plain_deviance(fit: Fit, reml: bool) -> float:
    """−2 (restricted) log-likelihood of the fit's model at its own optimum; complete pooling has no group terms."""
    return _deviance(_effective(fit), reml)


def _deviance(fit: Fit, reml: bool) -> float:
    """As `plain_deviance`, of a fit that is the whole of its model."""
    if not fit.model.is_linear:
        return fit.objective
    if fit.model.design.groups and is_reml(fit) == reml:
        return fit.objective
    likelihood = criterion(fit.model, reml)
    theta = fit.estimates.notes.get("theta")
    return likelihood.external_value(minimum(likelihood, None if theta is None else np.array(theta))[0].value)


def _shift(small: Fit, large: Fit) -> float:
    """What the restricted likelihoods differ by because the same span has other columns."""
    return volume(criterion(small.model, True)) - volume(criterion(large.model, True))


def _simulated(
    small: Fit, large: Fit, more: Difference, reml: bool, method: str, n: int | None, seed: int, parallel: int,
    shift: float,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Statistics under the smaller model, and how many refits failed."""
    if method == "exact":
        rng = np.random.default_rng(seed)
        return exact.null_draws(large.model.products, reml, more.fixed, n or EXACT_DRAWS, rng), 0
    refuse_counts(large)
    pairs = in_chunks(small, [small, large], (), n or 1000, seed, parallel, reml=reml)
    found = [a.deviance - b.deviance - shift for a, b in pairs if a.converged and b.converged]
    return np.maximum(np.array(found), 0.0), len(pairs) - len(found)
