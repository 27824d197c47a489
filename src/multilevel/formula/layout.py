"""Which linear predictors a model has.

    η_id = x_i'β (columns of predictor d) + z_i'b (terms of predictor d) + offset_id

The location ("mu") takes the main formula. A categorical response repeats it for each category beyond the first (names
``muB_x``); an ordinal one has thresholds ``Intercept[k]`` in place of the fixed intercept. A further predictor takes
its own formula (names ``sigma_x``); without one it is a constant, which is no column of the design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import FormulaError, nearest, printable
from .formula import Formula


@dataclass(frozen=True)
class Layout:
    """The predictors of a model.

    Parameters
    ----------
    locations : predictors that the main formula describes: ("mu",), or one a category beyond the first
    parameters : further ones, in the family's order
    thresholds : those of `parameters` that are regression coefficients without a formula
    ordered : thresholds take the place of the fixed intercept
    """

    locations: tuple[str, ...] = ("mu",)
    parameters: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All predictors, in the order of η's columns."""
        return (*self.locations, *self.parameters)

    def to_dict(self) -> dict[str, Any]:
        return {
            "locations": list(self.locations),
            "parameters": list(self.parameters),
            "thresholds": list(self.thresholds),
            "ordered": self.ordered,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any] | None) -> Layout:
        if record is None:
            return cls()
        return cls(
            tuple(record["locations"]), tuple(record["parameters"]), tuple(record["thresholds"]), record["ordered"]
        )


def layout_of(family: Any, observations: Any) -> Layout:
    """The layout of a family for a response."""
    parameters = family.parameters(observations)
    return Layout(
        family.locations(observations),
        tuple(p.name for p in parameters),
        tuple(p.name for p in parameters if p.coefficient),
        family.ordered,
    )


def check_parts(formula: Formula, layout: Layout, family: str) -> None:
    """Refuse formulas of parameters that the family does not have."""
    known = [p for p in layout.parameters if p not in layout.thresholds]
    for part in formula.further:
        if part.name not in known:
            has = f"It has: {', '.join(known)}." if known else "It has none beside the mean."
            raise FormulaError(
                f'the family "{family}" has no parameter "{printable(part.name)}" to predict',
                code="E_PARAMETER",
                hint=nearest(part.name, known) or has,
                position=part.at,
            )
