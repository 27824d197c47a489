"""Words and numbers of generalized models: what a coefficient does on the scale of its link, and on the response's.

logit   e^β multiplies the odds       log   e^β multiplies the mean       others   β adds on the link's scale
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .markup import Html, join, shown, user

if TYPE_CHECKING:
    from ..fit.fit import Fit

RATIOS = {"logit": "odds ratio", "log": "ratio", "cloglog": "hazard ratio"}
MULTIPLIED = {"logit": "the odds", "log": "the mean", "cloglog": "the hazard"}
FURTHER = {
    "zi": "extra zeros", "hu": "zeros", "sigma": "the residual standard deviation", "shape": "the shape",
    "phi": "the precision", "nu": "the degrees of freedom", "kappa": "the precision",
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """The scale of one linear predictor.

    Parameters
    ----------
    predictor : its name, "" for the location
    link : the link's name
    target : what its inverse gives: ``P(z = yes)``, ``count``
    """

    predictor: str
    link: str
    target: str

    @property
    def ratio(self) -> str:
        """What e^β is; "" where it is nothing that has a name."""
        return RATIOS.get(self.link, "")

    @property
    def multiplied(self) -> Html:
        """What e^β multiplies: ``the odds of P(z = yes)``."""
        return join(MULTIPLIED[self.link], " of ", user(self.target, 60))

    @property
    def added(self) -> Html:
        """What β adds to: ``log odds of P(z = yes)``."""
        names = {"logit": "the log odds of ", "log": "the log of ", "identity": "", "probit": "the probit of "}
        return join(names.get(self.link, f"{self.link} of "), user(self.target, 60))


def scales(fit: Fit) -> list[Scale]:
    """The scale of every linear predictor of a model."""
    model = fit.model
    layout, distribution = model.design.layout, model.distribution
    if model.is_linear:
        return [Scale("", "identity", model.design.response_name)]
    out = []
    for name, link in zip(layout.names, distribution.links, strict=True):
        if name in layout.locations:
            several = len(layout.locations) > 1
            out.append(Scale(name if several else "", location_link(fit), _location(fit, name)))
        else:
            out.append(Scale(name, link, FURTHER.get(name, name)))
    return out


def location_link(fit: Fit) -> str:
    """The location's link; "log" for a lognormal response, whose location is that of log y."""
    family, links = fit.model.distribution.family, fit.model.distribution.links
    return "log" if "log" not in family.links and family.mean_scale(links) == "log" else links[0]


def _location(fit: Fit, name: str) -> str:
    """What the location is the mean of."""
    family, obs = fit.model.distribution.family, fit.model.observations
    response = fit.model.design.response_name
    if len(fit.model.design.layout.locations) > 1:
        i = fit.model.design.layout.locations.index(name)
        return f"{response} = {obs.levels[i + 1]} against {obs.levels[0]}"
    if family.ordered:
        return f"a higher {response}"
    from ..plots.base import measured

    zeros = {p.name for p in family.parameters(obs)} & {"zi", "hu"}
    return measured(fit).replace(r"\$", "$") + (" (zeros aside)" if zeros else "")


def scale_of(fit: Fit, column: int) -> Scale:
    """That of one fixed coefficient."""
    owner = fit.model.design.fixed_predictor
    return scales(fit)[int(owner[column]) if len(owner) else 0]


def term_scale(fit: Fit, group: str, term: str) -> Scale:
    """That of one varying coefficient."""
    found = next(g for g in fit.model.design.groups if g.label == group and term in g.names)
    return scales(fit)[found.predictor]


def intercept(term: str) -> bool:
    """Whether a coefficient is the intercept of its predictor."""
    return term == "Intercept" or term.endswith("_Intercept")


def threshold(term: str) -> bool:
    """Whether it is a threshold of an ordinal response."""
    return term.startswith("Intercept[")


def axis(fit: Fit) -> str:
    """The scale of the location's coefficients, for drawings: ``log odds of P(z = yes)``."""
    from ..plots.base import on_scale

    return shown(on_scale(fit).replace(r"\$", "$"), 60)


def factor(value: float, low: float, high: float) -> tuple[float, float, float]:
    """exp of an estimate and its interval; infinite where that overflows."""
    with np.errstate(over="ignore"):
        first, second, third = np.exp([value, low, high])
    return float(first), float(second), float(third)
