"""How good the approximation of the likelihood is: ``fit.adequacy()``.

    error      approximate log-likelihood less a better one, at the estimates
    shift      how far the estimates would move: one Newton step towards the better optimum (`core/adequacy.py`)

Laplace's approximation is judged by the second-order correction (`core/second_order.py`), quadrature by more nodes. The
verdict is about inference: ``"negligible"`` when no parameter moves by a tenth of its standard error, ``"noticeable"``
below half of one, ``"coarse"`` otherwise. For normal responses Laplace's approximation is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.adequacy import Shortfall, moved, remedy, shortfall
from ..errors import SettingError, printable
from ..fit.estimates import correlation_pairs
from ..variance.intervals import generalized_certainty
from .base import plain

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..fit.generalized import GeneralizedCertainty

NEGLIGIBLE, COARSE = 0.1, 0.5  # standard errors
UNCERTAIN = 0.5  # correction of one group beyond which the expansion itself is not to be trusted
SCREEN = 0.05  # log-likelihood units below which shifts are not worth computing for a summary
AFFORDABLE = 0.25  # seconds that a remark in a summary may take
COLUMNS = ("parameter", "group", "term", "estimate", "std_error", "shift", "shift_se")


@dataclass(frozen=True, eq=False)
class Adequacy:
    """What an approximation costs.

    Parameters
    ----------
    verdict : {"negligible", "noticeable", "coarse"}
    error : float
        Approximate less better log-likelihood.
    reference : str
        What the better one is.
    group, level, worst : str, str, float
        The level with the largest error, and that error; empty where it is not known by level.
    better : str
        The call that removes the error; empty where there is nothing to gain.
    columns : dict
        Parameters and their shifts: `.table` as a data frame.
    """

    verdict: str
    error: float
    reference: str
    group: str
    level: str
    worst: float
    better: str
    columns: dict[str, Any]
    fit: Fit

    @property
    def table(self) -> Any:
        """One row a parameter: parameter, group, term, estimate, std_error, shift, shift_se."""
        return self.fit._frame(self.columns)

    @property
    def largest_shift(self) -> float:
        """The largest shift in standard errors, without its sign."""
        finite = np.abs(self.columns["shift_se"])
        return float(np.max(finite[np.isfinite(finite)], initial=0.0))

    def summary(self) -> str:
        """Text for a terminal."""
        lines = [
            f"Approximation: {self.verdict} (against {self.reference})",
            f"  log-likelihood error {self.error:+.4g}",
        ]
        if self.level:
            lines[-1] += f"; largest at {printable(self.group, 30)} {printable(self.level, 30)}: {self.worst:+.3g}"
        lines += [f"  {text}" for text in self._shifts()]
        return "\n".join([*lines, f"  Better: {self.better}"] if self.better else lines)

    def _shifts(self) -> Iterator[str]:
        c = self.columns
        for i in np.argsort(-np.nan_to_num(np.abs(c["shift_se"])))[:3]:
            name = " ".join(printable(part, 30) for part in (c["parameter"][i], c["group"][i], c["term"][i]) if part)
            yield f"{name}: {c['estimate'][i]:.4g} would move by {c['shift'][i]:+.2g} ({c['shift_se'][i]:+.2g} se)"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(self.columns[c] for c in COLUMNS), strict=True)]
        names = ("verdict", "error", "reference", "group", "level", "worst", "better", "largest_shift")
        found: dict[str, Any] = plain({**{name: getattr(self, name) for name in names}, "parameters": rows})
        return found

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__


def adequacy(fit: Fit) -> Adequacy:
    """How good the approximation behind a fit is.

    Parameters
    ----------
    fit : Fit
        By ``"laplace"`` (either order) or ``"agq"``.

    Returns
    -------
    Adequacy
        Prints as text; `.verdict`, `.error`, `.table`, `.to_dict()`.

    Raises
    ------
    SettingError
        For other estimators, and for second-order Laplace with crossed factors, which nothing better can judge.

    Notes
    -----
    An estimate: the correction is itself an expansion. Where one level's correction exceeds 0.5, or a shift exceeds
    a standard error, read it as "coarse" and not as a number; no shift is carried beyond three standard errors.

    Examples
    --------
    >>> import multilevel as ml
    >>> rows = {"y": [0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1] * 5, "g": [i // 6 for i in range(60)]}
    >>> adequacy(ml.fit("y ~ 1 + (1 | g)", rows, family="bernoulli")).verdict
    'negligible'

    References
    ----------
    Shun & McCullagh (1995), JRSS B 57; Joe (2008), Comput. Statist. Data Anal. 52, on the size of these errors.
    """
    certainty = generalized_certainty(fit)
    if certainty is None:
        raise SettingError(
            f'the estimator "{fit.estimator.name}" approximates no integral',
            hint='adequacy is for "laplace" and "agq".',
        )
    with np.errstate(all="ignore"):
        found = shortfall(certainty.curvature)
        if found is None:
            raise SettingError(
                "no better approximation is at hand to judge this one by",
                hint='Fit with "laplace" (order=1) and judge that one, or compare with a simulation.',
            )
        return _record(fit, certainty, found)


def _record(fit: Fit, certainty: GeneralizedCertainty, found: Shortfall) -> Adequacy:
    columns = _columns(fit, certainty, found)
    sizes = np.abs(columns["shift_se"])
    largest = float(np.max(sizes[np.isfinite(sizes)], initial=0.0))
    group, level, worst = _worst(fit, certainty, found)
    verdict = "coarse" if largest >= COARSE or abs(worst) >= UNCERTAIN else "noticeable"
    verdict = "negligible" if largest < NEGLIGIBLE and abs(worst) < UNCERTAIN else verdict
    better = "" if verdict == "negligible" or found.factor < 0 else remedy(certainty.criterion.rows)
    if better and fit.estimator.name == "agq":
        better = f'model.fit("agq", nodes={found.reference.split()[0]})'
    return Adequacy(verdict, 0.0 - found.total, found.reference, group, level, 0.0 - worst, better, columns, fit)


def _worst(fit: Fit, certainty: GeneralizedCertainty, found: Shortfall) -> tuple[str, str, float]:
    """The level with the largest error."""
    if len(found.groups) == 0:
        return "", "", 0.0
    label = certainty.criterion.rows.factors[found.factor].label
    levels = next(g.levels for g in fit.model.design.groups if g.label == label)
    i = int(np.argmax(np.abs(found.groups)))
    return label, str(levels[i]), float(found.groups[i])


def _columns(fit: Fit, certainty: GeneralizedCertainty, found: Shortfall) -> dict[str, Any]:
    """Every parameter of the summary with its shift."""
    design, criterion = fit.model.design, certainty.criterion
    sds, errors = _flat(fit), [e for term in fit.sd_errors[0] for e in term]
    dispersion = certainty.constants(fit.level)
    correlations = certainty._correlations(certainty.state) if criterion.scales else np.zeros(0)
    names = [("fixed", "", name) for name in design.fixed_names]
    names += [("sd", g.label, name) for g in design.groups for name in g.names]
    pairs = [(g, i, j) for g in design.groups for i, j in correlation_pairs(len(g.names))] if criterion.scales else []
    names += [("correlation", g.label, f"{g.names[j]}, {g.names[i]}") for g, i, j in pairs]
    names += [(name, "", "") for name in dispersion]
    fixed = np.array([fit.coefficients[name] for name in design.fixed_names])
    estimate = np.concatenate([fixed, sds, correlations, [v[0] for v in dispersion.values()]])
    error = np.concatenate(
        [fit.std_errors, errors, _correlation_errors(certainty), [v[1] for v in dispersion.values()]]
    )  # fmt: skip
    shift = moved(certainty.curvature, found.shift, lambda state: _values(certainty, state, len(sds)))
    columns: dict[str, Any] = dict(zip(COLUMNS[:3], map(list, zip(*names, strict=True)), strict=True))
    return {**columns, "estimate": estimate, "std_error": error, "shift": shift, "shift_se": shift / error}


def _values(certainty: GeneralizedCertainty, state: Any, sds: int) -> np.ndarray:
    """Coefficients, standard deviations, correlations and constants at a state."""
    criterion = certainty.criterion
    c = state.theta[criterion.n_theta :]
    constants: dict[str, float] = {}
    for name, predictor, place in criterion.rows.constants:
        link = criterion.distribution.links[predictor]
        constants |= criterion.distribution.family.natural(name, float(c[place]), link)
    spread = [certainty._sds(state), certainty._correlations(state)] if criterion.scales else [np.zeros(sds)]
    return np.concatenate([criterion.rows.to_beta @ c, *spread, list(constants.values())])


def _flat(fit: Fit) -> np.ndarray:
    parts = [np.sqrt(np.diag(c)) for c in fit.estimates.covariances]
    return np.concatenate(parts) if parts else np.zeros(0)


def _correlation_errors(certainty: GeneralizedCertainty) -> np.ndarray:
    if not certainty.criterion.scales:
        return np.zeros(0)
    return certainty._delta(certainty._correlations)


def remark(fit: Fit) -> Adequacy | None:
    """The adequacy of a fit by Laplace where it may matter and costs little; None otherwise.

    A correction below 0.05 log-likelihood units moves no parameter by a tenth of its standard error.
    """
    from ..core.second_order import correction

    certainty = generalized_certainty(fit)
    if fit.estimator.name != "laplace" or getattr(fit.estimator, "order", 1) != 1 or certainty is None:
        return None
    if not certainty.criterion.rows.factors or certainty.criterion.seconds * 2 * certainty.curvature.n_psi > AFFORDABLE:
        return None
    with np.errstate(all="ignore"):
        if abs(correction(certainty.criterion, certainty.curvature.restore()).total) < SCREEN:
            return None
    found = adequacy(fit)
    return None if found.verdict == "negligible" else found
