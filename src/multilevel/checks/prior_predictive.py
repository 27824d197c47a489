"""What a model would say before it has seen the data: ``ml.prior_predictive(model)``.

    θ ~ p(θ),    b | θ,    y* ~ p(y | β, b, θ)

at the rows of the data. Priors that put most data sets where the response cannot be, or that never reach what was
observed, are seen at once. No prior is judged by the observed response here: it stands beside the draws for its units.

Reference: Gabry, Simpson, Vehtari, Betancourt & Gelman (2019), JRSS A 182, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.coordinates import coordinates
from ..data.frames import frame
from ..errors import SettingError, listed, printable
from ..fit.estimates import correlation_pairs
from ..links import forward
from ..samplers.from_prior import Parameters, draw_parameters

if TYPE_CHECKING:
    from ..model.model import Model

LARGEST = {"log": 30.0, "logm1": 30.0}  # η beyond which a mean (1e13) is no number that anything can be drawn around
ENDS = (0.025, 0.25, 0.5, 0.75, 0.975)
COLUMNS = ("quantity", "parameter", "observed", "lower", "quarter", "median", "three_quarters", "upper")


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Draws from the prior and data simulated from them.

    Attributes
    ----------
    parameters : name → (S,): coefficients, sds, correlations, constants, by their addresses
    y : (S, n) simulated responses (proportions of trials; codes of categories)
    observed : (n,) the response, for comparison
    statistics : name → ((S,) of the simulated data sets, the observed value)
    clipped : share of the draws whose means were beyond what numbers hold, and were cut
    """

    parameters: Mapping[str, np.ndarray]
    y: np.ndarray
    observed: np.ndarray
    statistics: Mapping[str, tuple[np.ndarray, float]]
    clipped: float
    native: str = "pandas"

    @property
    def draws(self) -> int:
        return len(self.y)

    @property
    def table(self) -> Any:
        """Table: quantity ("parameter", "response"), parameter, observed, and quantiles of the draws."""
        rows = [("parameter", name, np.nan, draws) for name, draws in self.parameters.items()]
        rows += [("response", name, seen, draws) for name, (draws, seen) in self.statistics.items()]
        quantiles = np.array([np.quantile(draws, ENDS) for *_, draws in rows]).T
        first: dict[str, Any] = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS[:3])}
        return frame(self.native, {**first, **{n: q.tolist() for n, q in zip(COLUMNS[3:], quantiles, strict=True)}})

    def summary(self) -> str:
        """Quantiles of the parameters and of the simulated data sets, with the observed ones."""
        names = [printable(name, 40) for name in (*self.parameters, *self.statistics)]
        width = max(len(name) for name in names)
        head = "".join(f"{100 * p:>11g}%" for p in ENDS)
        lines = [f"Prior predictive: {self.draws} draws", f"{'':<{width}}{head}{'observed':>12}"]
        for name, draws in self.parameters.items():
            lines.append(f"{printable(name, 40):<{width}}{_numbers(draws)}")
        lines.append("response (one data set a draw)")
        for name, (draws, seen) in self.statistics.items():
            lines.append(f"{name:<{width}}{_numbers(draws)}{seen:>12.4g}")
        if self.clipped:
            lines.append(
                f"{100.0 * self.clipped:.3g}% of the draws reach means beyond 1e13: tighter priors are needed."
            )
        return "\n".join(lines)

    __str__ = summary
    __repr__ = summary


def prior_predictive(model: Model, draws: int = 500, seed: int = 0) -> PriorPredictive:
    """Draws of parameters from their priors, and of a response for each.

    Parameters
    ----------
    model : Model
        With proper priors: the default ones are (flat ones are named).
    draws : int
        2 or more.
    seed : int

    Returns
    -------
    PriorPredictive
        Prints as a table; ``ml.plot.prior_predictive`` draws it.

    Raises
    ------
    SettingError
        E_PRIOR_IMPROPER for flat priors.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> found = prior_predictive(model, draws=100)
    >>> found.y.shape, sorted(found.parameters)
    ((100, 1500), ['Intercept', 'sd[school, Intercept]', 'sigma'])
    """
    if not isinstance(draws, int | np.integer) or draws < 2:
        raise SettingError(f"draws={printable(repr(draws))} is not a whole number of at least 2")
    if model.priors.improper:
        raise SettingError(
            f"nothing can be drawn from flat priors: {listed(model.priors.improper, 6)}",
            code="E_PRIOR_IMPROPER",
            hint='Give proper ones, such as {"beta": "normal(0, 1)"}, or use the default set.',
        )
    rng = np.random.default_rng(seed)
    drawn = draw_parameters(model, coordinates(model, model.priors, not model.is_linear), int(draws), rng)
    y, clipped = _responses(model, drawn, rng)
    observed = np.asarray(model.design.response, dtype=float)
    return PriorPredictive(_named(model, drawn), y, observed, _statistics(model, y, observed), clipped, model.native)


# --- responses ---------------------------------------------------------------------------------------------------
def _responses(model: Model, drawn: Parameters, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    design, distribution = model.design, model.distribution
    names = design.layout.names if not model.is_linear else ("mu", *(p.name for p in distribution.family.further))
    observations, clipped = model.observations, 0
    trials = observations.trials
    constants = {**drawn.constants, "sigma": drawn.sigma} if model.is_linear else drawn.constants
    out = np.empty((len(drawn), design.n))
    for s in range(len(drawn)):
        eta = _predictors(model, drawn, s)
        for d, (name, link) in enumerate(zip(names, distribution.links, strict=True)):
            if name in constants:
                eta[:, d] = forward(link, constants[name][s])
            most = LARGEST.get(link, np.inf)
            clipped += bool(d == 0 and np.any(eta[:, d] > most))
            eta[:, d] = np.clip(eta[:, d], -most, most)
        if design.known_se is not None:
            out[s] = eta[:, 0] + design.known_se * rng.standard_normal(design.n)
            continue
        with np.errstate(all="ignore"):
            y = distribution.simulate(observations, eta, rng)
        out[s] = y if trials is None else y / trials
    return out, clipped / len(drawn)


def _predictors(model: Model, drawn: Parameters, s: int) -> np.ndarray:
    """η (n, m) of one draw, every level with effects of its own."""
    design = model.design
    owner = design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)
    eta = np.zeros((design.n, len(model.distribution.links)))
    for d, offset in enumerate(design.offsets or (design.offset,)):
        if offset is not None:
            eta[:, d] = offset
    for j, column in enumerate(design.fixed_columns):
        eta[:, owner[j]] += drawn.beta[s, j] * (1.0 if column is None else column)
    for group, effects in zip(design.groups, drawn.effects, strict=True):
        for j, column in enumerate(group.columns):
            eta[:, group.predictor] += effects[s, group.codes, j] * (1.0 if column is None else column)
    return eta


# --- what is told ------------------------------------------------------------------------------------------------
def _named(model: Model, drawn: Parameters) -> dict[str, np.ndarray]:
    design = model.design
    gone = {j for j, _ in model.dropped}
    out = {
        name if design.fixed_columns[j] is None else f"beta[{name}]": drawn.beta[:, j]
        for j, name in enumerate(design.fixed_names)
        if j not in gone
    }
    for group, covariance in zip(design.groups, drawn.covariances, strict=True):
        sd = np.sqrt(np.einsum("skk->sk", covariance))
        out.update({f"sd[{group.label}, {name}]": sd[:, j] for j, name in enumerate(group.names)})
        if group.scale != "diagonal":
            for i, j in correlation_pairs(len(group.names)):
                cor = covariance[:, i, j] / (sd[:, i] * sd[:, j])
                out[f"cor[{group.label}, {group.names[j]}, {group.names[i]}]"] = cor
    if model.is_linear and design.known_se is None:
        out["sigma"] = drawn.sigma
    scales = {name: np.exp(drawn.extras[:, i]) for i, (name, _) in enumerate(model.priors.extras)}
    return {**out, **drawn.constants, **scales}


def _statistics(model: Model, y: np.ndarray, observed: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Statistics of the data sets that mean something for the family."""
    layout, family = model.design.layout, model.distribution.family
    if layout.ordered or len(layout.locations) > 1:
        levels = model.observations.levels
        codes = model.observations.y
        return {
            f"share[{printable(name, 30)}]": ((y == k).mean(axis=1), float(np.mean(codes == k)))
            for k, name in enumerate(levels)
        }
    with np.errstate(all="ignore"):
        out = {
            "mean": (y.mean(axis=1), float(observed.mean())),
            "sd": (y.std(axis=1, ddof=1), float(observed.std(ddof=1))),
            "min": (y.min(axis=1), float(observed.min())),
            "max": (y.max(axis=1), float(observed.max())),
        }
    if family.discrete and not model.is_linear:
        out["zeros"] = ((y == 0.0).mean(axis=1), float(np.mean(observed == 0.0)))
    return out


def _numbers(draws: np.ndarray) -> str:
    return "".join(f"{q:>12.4g}" for q in np.quantile(draws, ENDS))
