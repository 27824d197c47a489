"""What the profile of a generalized model holds fixed: coefficients, constants, standard deviations, correlations.

Everything is in `core/pinned_phi.py`; here stands which parameter is which combination, and how far to step first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pinned_phi import HeldCoefficient, HeldCorrelation, HeldSd
from ..errors import SettingError
from ..links import inverse
from .curves import Target
from .parameters import FIXED, SD, Parameter

if TYPE_CHECKING:
    from ..fit.fit import Fit

Natural = Callable[[float], float]


def held(fit: Fit, names: Sequence[Parameter]) -> Iterator[tuple[Parameter, Target | None, Natural]]:
    """Each parameter, what to hold of it (None where it has no value), and the way to its natural scale.

    Raises
    ------
    SettingError
        For coefficients at infinity.
    """
    certainty: Any = fit.estimates.certainty
    certainty = getattr(certainty, "_certainty", certainty)
    if np.isinf(fit.estimates.beta).any():
        raise SettingError("coefficients at infinity have no profile", hint="Drop or pool what separates the rows.")
    criterion, state = certainty.criterion, certainty.state
    sds = fit.sd_errors[0] if fit.model.design.groups else []
    for name in names:
        if name.constant:
            own = [(d, p) for n, d, p in criterion.rows.constants if n == name.kind]
            if not own:  # at its limit
                yield name, None, _same
                continue
            predictor, place = own[0]
            a = np.eye(criterion.n_coefficients)[place]
            link = criterion.distribution.links[predictor]
            yield name, HeldCoefficient(criterion, state, a, _error(certainty, a)), _natural(link)
        elif name.kind == FIXED:
            a = criterion.rows.to_beta[name.place[0]]
            known = not math.isnan(fit.estimates.beta[name.place[0]])
            yield name, HeldCoefficient(criterion, state, a, _error(certainty, a)) if known else None, _same
        elif not criterion.scales:
            yield name, None, _same
        elif name.kind == SD:
            t, i = name.place
            value = math.sqrt(max(float(fit.estimates.covariances[t][i, i]), 0.0))
            step = sds[t][i] if math.isfinite(sds[t][i]) and sds[t][i] > 0.0 else _first(certainty, t)
            yield name, HeldSd(criterion, state, t, (i,), value, step), _same
        else:
            t, i, j = name.place
            covariance = fit.estimates.covariances[t]
            size = math.sqrt(max(float(covariance[i, i] * covariance[j, j]), 0.0))
            value = float(covariance[i, j]) / size if size > 0.0 else math.nan
            inside = min(max(value, -1.0), 1.0)
            yield name, None if size == 0.0 else HeldCorrelation(criterion, state, t, (i, j), inside, 0.2), _same


def _same(value: float) -> float:
    return value


def _natural(link: str) -> Natural:
    def natural(value: float) -> float:
        return float(inverse(link, np.array([value]))[0]) if not math.isnan(value) else value

    return natural


def _error(certainty: Any, a: np.ndarray) -> float:
    """Standard error of a'c."""
    return math.sqrt(max(float(a @ certainty.curvature.coefficient_covariance @ a), 1e-300))


def _first(certainty: Any, t: int) -> float:
    """A first step from a standard deviation of zero: where a level's data weigh as much as the prior."""
    part = certainty.criterion.slices[t]
    return 1.0 / math.sqrt(float(np.max(certainty.curvature.objective.weight[part])))
