"""What the sections of a report share. Each answer is computed once, when the first section asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .levels import Levels, levels, pairs
from .markup import Html, code, shown, tag, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..checks.base import Checks
    from ..fit.fit import Fit

CELLS = 900_000  # bytes of hidden rows that all tables of a report may hold together
NO_POPULATION = {
    "complete": "Complete pooling gives every level the same value",
    "none": "Without pooling, levels are unrelated to each other",
    "within": "The within transformation removes the levels and describes none",
}
BIG = 20_000  # levels beyond which scores that need every level are left out


@dataclass(frozen=True)
class Section:
    """One part of the page: its anchor, heading and content."""

    anchor: str
    heading: str
    content: Html


@dataclass(frozen=True)
class NewGroup:
    """Prediction for a level that was not in the data, at the average row.

    Attributes
    ----------
    estimate : expected response
    mean_error, mean_df : spread of the new level's own mean
    row_error, row_df : spread of one row in it; None where rows have no common variance
    """

    estimate: float
    mean_error: float
    mean_df: float
    row_error: float | None
    row_df: float


class Context:
    """A fit and what sections ask about it.

    Parameters
    ----------
    fit : Fit
    seed : int
        For services that simulate.
    title, path : str
        Heading, and name of the file, as the section on reproducing shows them.
    data : table, optional
        The model's table, for checks of columns that the formula does not mention.
    """

    def __init__(
        self, fit: Fit, seed: int = 0, title: str | None = None, path: str = "report.html", data: Any = None
    ) -> None:
        self.fit, self.seed, self.title, self.path, self.data = fit, seed, title, path, data
        self._levels: dict[tuple[str, str], Levels] = {}

    @property
    def response(self) -> Html:
        """Name of the response."""
        return user(self.fit.model.design.response_name)

    @cached_property
    def groups(self) -> list[str]:
        """Grouping factors, in the order of the formula."""
        return list(self.fit.model.groups)

    @property
    def axis(self) -> str:
        """The scale of the coefficients, for drawings."""
        from .scale import axis

        return self.fit.model.design.response_name if self.fit.model.is_linear else axis(self.fit)

    @property
    def axis_of_means(self) -> str:
        """What a mean of the response is: ``count``, ``P(z = yes)``."""
        from ..plots.base import measured

        return measured(self.fit).replace(r"\$", "$")

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an ordinal or unordered response; nothing for numbers and for yes or no."""
        model = self.fit.model
        if model.is_linear:
            return ()
        several = model.distribution.family.ordered or len(model.design.layout.locations) > 1
        return tuple(model.observations.levels) if several else ()

    @property
    def covariates(self) -> bool:
        """Whether there are predictors beside the intercept."""
        return any(column is not None for column in self.fit.model.design.fixed_columns)

    @property
    def population(self) -> bool:
        """Whether the estimator describes a population that the levels come from."""
        return bool(self.groups) and self.fit.estimator.name not in NO_POPULATION

    @property
    def no_population(self) -> str:
        """Why there is none."""
        reason = "The formula has no grouping term" if not self.groups else NO_POPULATION[self.fit.estimator.name]
        return f"{reason}: there is no population of groups to speak of."

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(grouping factor, coefficient) of everything that varies."""
        return pairs(self.fit)

    @cached_property
    def main(self) -> list[tuple[str, str]]:
        """For each grouping factor its first coefficient (the intercept, where it varies)."""
        first: dict[str, str] = {}
        for group, term in self.pairs:
            if group not in first or term == "Intercept":
                first[group] = term
        return list(first.items())

    def levels(self, group: str, term: str) -> Levels:
        if (group, term) not in self._levels:
            self._levels[group, term] = levels(self.fit, group, term)
        return self._levels[group, term]

    @cached_property
    def components(self) -> dict[str, Any]:
        """The table of standard deviations, as columns."""
        from ..fit.tables import variance_components

        return variance_components(self.fit, self.fit.level)

    @property
    def unchecked(self) -> str:
        """Why the checks do not apply; nothing where they do."""
        separate = self.groups and self.fit.estimator.name in ("none", "within")
        return "Checks need a model of the groups, and this estimator has none." if separate else ""

    @cached_property
    def checks(self) -> Checks:
        """Every finding about the fit, worst first, advice included."""
        from ..checks.check import check

        return check(self.fit, self.seed, data=self.data)

    @cached_property
    def average_row(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Means of the fixed columns and of each term's columns over the rows."""
        design = self.fit.model.design
        x = np.array([1.0 if c is None else float(np.mean(c)) for c in design.fixed_columns])
        z = [np.array([1.0 if c is None else float(np.mean(c)) for c in g.columns]) for g in design.groups]
        return x, z

    @cached_property
    def new_group(self) -> NewGroup:
        """A new level of every grouping factor, at the average row."""
        from ..fit.estimates import Combination

        fit, (x, z) = self.fit, self.average_row
        estimate = float(np.mean(np.asarray(fit.predict(target="reference", interval=None)["estimate"])))
        codes = tuple(np.full(1, -2, np.int32) for _ in z)
        spread = fit.estimates.certainty.spread(Combination(x[None, :], codes, tuple(v[None, :] for v in z)))
        variance, df = float(spread.variance[0]), float(spread.df[0])
        residual = self.common_variance
        if residual is None:
            return NewGroup(estimate, variance**0.5, df, None, df)
        both, own = variance + residual, fit.estimates.certainty.residual_df()
        row_df = both**2 / (variance**2 / df + residual**2 / own) if both > 0.0 else float("inf")
        return NewGroup(estimate, variance**0.5, df, both**0.5, row_df)

    @property
    def common_variance(self) -> float | None:
        """σ² where every row has it; None with precision weights and known standard errors."""
        design = self.fit.model.design
        weighted = design.weights is not None and design.weights_kind == "precision"
        return None if self.fit.sigma is None or weighted or design.known_se is not None else self.fit.sigma**2


def guarded(build: Callable[[Context], object], context: Context, what: str) -> Html:
    """What `build` makes; where a service fails, one line that says so instead of the whole report failing."""
    from .markup import join

    try:
        return join(build(context))
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        shown_reason = f"{type(error).__name__}: {shown(reason, 200)}" if reason else type(error).__name__
        return tag("p", f"{what} could not be computed (", code(shown_reason), ").", class_="failed")
