"""Contract of a family: the response given its linear predictors.

    y_i ~ family(η_i1, …, η_im)      one column of η for each predicted parameter (m = 1 for most models)

A family states its log density once, in arithmetic that carries derivatives along (`numerics/jets.py`); everything that
estimation needs follows from it. Hand-written derivatives are an option where speed counts, held equal by a test.

    predictors    the location first ("mu"), then the further `parameters` ("sigma", "zi"), each with its own link;
                  of an ordinal response with K categories: mu and the thresholds Intercept[1] … Intercept[K-1], so
                  that a row of η describes the whole distribution of y and never depends on y itself (m = K)
    observe       the response as it was given → Observations, refusing what is outside the support
    log_density   of observations given jets of the linear predictors
    mean, variance, simulate, cdf   what predictions, residuals and checks ask for

The family's name for users is its file's name: `families/negative_binomial.py` is ``family="negative_binomial"``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import SettingError, nearest, printable

PROBABILITY = ("logit", "probit", "cloglog", "cauchit")  # links of means between 0 and 1


@dataclass(frozen=True)
class Further:
    """A predicted parameter beside the location: its name, links (the default first) and what it means.

    A constant is a dispersion parameter in the tables; `coefficient` says that it is one of the regression
    coefficients instead (the thresholds ``Intercept[1]``, ``Intercept[2]``, … of an ordinal response).
    """

    name: str
    links: tuple[str, ...]
    meaning: str
    coefficient: bool = False


@dataclass(frozen=True)
class Given:
    """The response as the formula and the table have it, before a family has looked at it.

    Parameters
    ----------
    name : text of the response, for messages
    values : (n,) numbers; codes of `levels` for text and categories
    kind : "numeric", "boolean", "text" or "category"
    levels : labels of the categories, in order; () for numbers
    columns : further columns of ``cbind(k, n - k)``: here the failures
    modifiers : ``trials(n)``, ``cens(c)``, ``trunc(lb, ub)``, … as name → arrays (None where not given)
    weights : (n,) or None;  weights_kind : "frequency" (counts of equal rows) or "precision" (the argument `weights`)
    rows : place of each row in the user's table (for messages), or None when all were kept
    """

    name: str
    values: np.ndarray
    kind: str = "numeric"
    levels: tuple[str, ...] = ()
    columns: tuple[np.ndarray, ...] = ()
    modifiers: dict[str, tuple[np.ndarray | None, ...]] = field(default_factory=dict)
    weights: np.ndarray | None = None
    weights_kind: str = "precision"
    rows: np.ndarray | None = None

    def row(self, i: int) -> int:
        return int(i) if self.rows is None else int(self.rows[i])


@dataclass(frozen=True)
class Observations:
    """The checked response of some rows; arrays of length n.

    Parameters
    ----------
    y : numbers, counts of successes, or the index of the category (0 first)
    trials : number of trials, where the family has them
    weights : counts of equal rows: multiply the log density
    precision : Var y_i is divided by these, where the family has a dispersion
    censored : int8, -1 left, 0 not, 1 right, 2 interval (up to `upper`)
    upper : upper ends of interval-censored rows
    bounds : truncation (lower, upper), -inf and inf where there is none
    levels : labels: (failure, success), or the categories in order
    name : text of the response, for messages
    """

    y: np.ndarray
    trials: np.ndarray | None = None
    weights: np.ndarray | None = None
    precision: np.ndarray | None = None
    censored: np.ndarray | None = None
    upper: np.ndarray | None = None
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    levels: tuple[str, ...] = ()
    name: str = ""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Any) -> Observations:
        """Some of the rows (indices, mask or slice)."""

        def part(a: np.ndarray | None) -> np.ndarray | None:
            return None if a is None else a[rows]

        bounds = None if self.bounds is None else (self.bounds[0][rows], self.bounds[1][rows])
        return replace(
            self, y=self.y[rows], trials=part(self.trials), weights=part(self.weights), precision=part(self.precision),
            censored=part(self.censored), upper=part(self.upper), bounds=bounds,
        )  # fmt: skip

    def with_y(self, y: np.ndarray) -> Observations:
        """Another response of the same rows (simulated, say)."""
        return replace(self, y=np.asarray(y, dtype=float))


@dataclass(frozen=True)
class Derivatives:
    """The log density ℓ and its derivatives by the linear predictors, weights included; None beyond the order asked.

    value (n,);  first (n, m): ∂ℓ;  second (n, m, m): −∂²ℓ;  third: −∂³ℓ;  fourth: −∂⁴ℓ
    """

    value: np.ndarray
    first: np.ndarray | None = None
    second: np.ndarray | None = None
    third: np.ndarray | None = None
    fourth: np.ndarray | None = None


class Family(ABC):
    """A response distribution; stateless."""

    links: tuple[str, ...] = ()
    further: tuple[Further, ...] = ()
    discrete: bool = False
    is_gaussian: bool = False  # linear estimators (REML, moments, …) apply
    ordered: bool = False  # thresholds take the place of the fixed intercept
    takes: tuple[str, ...] = ()  # modifiers of the response that it reads: "trials", "cens", "trunc", "rate", …
    precision: bool = False  # whether `weights=` are precisions (families with a dispersion)
    mergeable: bool = False  # whether the log density is linear in y, so that equal rows may be added up

    @property
    def name(self) -> str:
        """The name users know: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def link(self, name: str | None) -> str:
        """The location's link, checked."""
        return _checked(name, self.links, f'the family "{self.name}"')

    def locations(self, obs: Observations) -> tuple[str, ...]:
        """Names of the predictors that the main formula describes: one, or one a category beyond the first."""
        return ("mu",)

    @abstractmethod
    def observe(self, given: Given) -> Observations:
        """The checked response.

        Raises
        ------
        ResponseError
            E_RESPONSE_DOMAIN with the column, the value and the row outside the support; E_CONSTANT_RESPONSE.
        """

    @abstractmethod
    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        """log p(y_i | η_i) without weights, from jets (or plain arrays) of all predictors, in jets' arithmetic."""

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        """Hand-written derivatives (n, m) up to `order`, without weights; None where there are none."""
        return None

    def kernel(self, links: tuple[str, ...]) -> str | None:
        """The compiled row terms that serve this family (a key of `numerics.one_factor.CODES`), or None."""
        return None

    @abstractmethod
    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        """Linear predictors to start from, (n, m), from each row's own response pulled towards the middle."""

    def parameters(self, obs: Observations) -> tuple[Further, ...]:
        """The predictors beyond the locations: `further`, or the K - 1 thresholds of an ordinal response.

        One without a formula of its own is a constant: a single coefficient on its link's scale.
        """
        return self.further

    @abstractmethod
    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """E y given η, (n,): for trials the probability of success; (n, K) probabilities for categories.

        Of `obs` only what new rows have is used (trials, bounds), never y. The values of `eta` may be (n, m).
        """

    @abstractmethod
    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """Var y given η, (n,), on the scale of `mean` (the proportion, for trials)."""

    @abstractmethod
    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        """One new response a row, as `Observations.y` holds it."""

    @abstractmethod
    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """P(Y < y) and P(Y ≤ y) at `y` (the observed one if None): equal for continuous responses."""

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """Variance of an observation on the scale of the location's link (n,), for R² and ICC.

        π²/3 for logit, 1 for probit, π²/6 for cloglog, where a family says so. Otherwise, with the log link the
        lognormal approximation log(1 + Var y / (E y)²), which is log(1 + 1/μ) for counts of Poisson and
        log(1 + 1/shape) for gamma; with other links the delta method, Var y / (∂μ/∂η)² (Nakagawa, Johnson &
        Schielzeth 2017).
        """
        from ..links import link

        with np.errstate(all="ignore"):
            spread = self.variance(obs, eta, links)
            if links[0] == "log":
                return np.asarray(np.log1p(spread / self.mean(obs, eta, links) ** 2))
            return np.asarray(spread / link(links[0]).slope(eta[:, 0]) ** 2)

    def mean_scale(self, links: tuple[str, ...]) -> str:
        """The link on whose scale the mean has no bounds: intervals of means are made there."""
        if self.links[0] in PROBABILITY:
            return links[0] if links[0] in PROBABILITY else "logit"
        return "log" if "log" in (self.links[0], links[0]) else "identity"

    def natural(self, parameter: str, eta: float, link: str) -> dict[str, float]:
        """Dispersion parameters for the tables, from the value on the link's scale: {name: value}."""
        from ..links import inverse

        return {parameter: float(inverse(link, np.array([eta]))[0])}

    def words(self, obs: Observations) -> str:
        """What is modelled, for the summary: ``P(z = yes)``; "" when the response's name says it."""
        return ""


def _checked(name: str | None, links: tuple[str, ...], owner: str) -> str:
    if name is None:
        return links[0]
    if name not in links:
        raise SettingError(
            f'link "{printable(name)}" is not available for {owner}',
            hint=nearest(name, links) or f"It has: {', '.join(links)}.",
        )
    return name


@dataclass(frozen=True)
class Distribution:
    """A family with its links: what a model is asked for.

    Parameters
    ----------
    family : Family
    links : one for each predictor (locations first)
    """

    family: Family
    links: tuple[str, ...]

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int) -> Derivatives:
        """ℓ and derivatives up to `order` at η (n, m), counts of equal rows multiplied in."""
        found = self.family.derivatives(obs, eta, order, self.links)
        return weighted(found if found is not None else self.by_jets(obs, eta, order), obs.weights)

    def by_jets(self, obs: Observations, eta: np.ndarray, order: int) -> Derivatives:
        """The same, without weights, from the log density alone."""
        from ..numerics.jets import derivatives, variables

        n, m = eta.shape
        with np.errstate(all="ignore"):
            found = derivatives(self.family.log_density(obs, variables(eta, order), self.links), n, m, order)
        parts = [found[0], *found[1:2], *(-d for d in found[2:])]
        return impossible(*parts)

    def log_density(self, obs: Observations, eta: np.ndarray) -> np.ndarray:
        """(n,) log densities, counts of equal rows multiplied in."""
        return self.derivatives(obs, eta, 0).value

    def start(self, obs: Observations) -> np.ndarray:
        return self.family.start(obs, self.links)

    def mean(self, obs: Observations, eta: np.ndarray) -> np.ndarray:
        return self.family.mean(obs, eta, self.links)

    def variance(self, obs: Observations, eta: np.ndarray) -> np.ndarray:
        return self.family.variance(obs, eta, self.links)

    def simulate(self, obs: Observations, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.family.simulate(obs, eta, self.links, rng)

    def cdf(self, obs: Observations, eta: np.ndarray, y: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.family.cdf(obs, eta, self.links, y)

    def latent_variance(self, obs: Observations, eta: np.ndarray) -> np.ndarray:
        return self.family.latent_variance(obs, eta, self.links)


def plain(a: np.ndarray) -> np.ndarray:
    """The array as kernels take them: contiguous numbers; a column of a data frame may be read-only."""
    return np.require(a, np.float64, ["C", "W"])


def single(rows: np.ndarray) -> Derivatives:
    """Derivatives by one predictor from an array whose row k holds the k-th."""
    return Derivatives(rows[0], *(row.reshape(-1, *[1] * k) for k, row in enumerate(rows[1:], start=1)))


def impossible(value: np.ndarray, *slopes: np.ndarray) -> Derivatives:
    """Derivatives in which a row without a density (a negative mean, say) is -inf, and NaN is nowhere.

    A search has to step back from such rows; NaN would spread to the others. Where a value is finite, a derivative
    is NaN only where its parts overflow (|η| of hundreds), and counts as flat.
    """
    if not np.isfinite(value).all():
        value = np.where(np.isfinite(value), value, -np.inf)
    slopes = tuple(np.where(np.isnan(d), 0.0, d) if np.isnan(d).any() else d for d in slopes)
    return Derivatives(value, *slopes)


def weighted(d: Derivatives, weights: np.ndarray | None) -> Derivatives:
    """All derivatives times the rows' weights."""
    if weights is None:
        return d

    def times(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else a * weights.reshape(-1, *[1] * (a.ndim - 1))

    return Derivatives(d.value * weights, times(d.first), times(d.second), times(d.third), times(d.fourth))
