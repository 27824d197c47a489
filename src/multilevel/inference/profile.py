"""Profile likelihood of every parameter: intervals, and the curves behind them.

    D(c) = min { d(all parameters) : this one = c } − min d,    ζ(c) = sign(c − ĉ) √D(c)
    interval { c : |ζ(c)| ≤ z },  z the normal quantile

d is −2 log-likelihood. By default that of maximum likelihood for every parameter, also for a REML fit: the
restricted likelihood has no fixed effects to hold (lme4 does the same). A limit where the range of the parameter ends
is that end: 0 for a standard deviation, ±1 for a correlation. ζ straight in c means that a Wald interval would do.

In generalized models d is the approximate one of the fit (Laplace, or quadrature), and constants of the family are
profiled on the scale of their link.

References: Venzon & Moolgavkar (1988), Appl. Statist. 37; Bates et al. (2015), section 5.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.likelihood import Likelihood, State
from ..data.frames import frame
from ..errors import ConvergenceWarning, SettingError, listed, nearest, printable, warn
from ..fit import numbers
from ..fit.blocks import Grid, to_text
from ..fit.html import to_html
from ..fit.mixed import MixedCertainty
from ..fit.tables import check_level
from ..glossary import SIGMA, interval_headings
from ..numerics.threads import threads_for
from .criterion import criterion, minimum, require_likelihood
from .curves import Target, Trace
from .parameters import CORRELATION, FIXED, SD, Parameter, parameters, values
from .targets import target

if TYPE_CHECKING:
    from ..fit.fit import Fit

FARTHEST = 2.8  # |ζ| to which curves are drawn, unless the intervals reach further
BETTER = 1e-3  # fall of the deviance below the fit's that is worth a warning
KINDS = (FIXED, SD, SIGMA, CORRELATION)


@dataclass(frozen=True, eq=False)
class Curve:
    """ζ of one parameter at some of its values, in order.

    Parameters
    ----------
    parameter : Parameter
    value, zeta : (m,) arrays
    """

    parameter: Parameter
    value: np.ndarray
    zeta: np.ndarray


@dataclass(frozen=True, eq=False)
class Profile(Mapping[str, Curve]):
    """Profile intervals and curves; a mapping of parameter labels to curves.

    Parameters
    ----------
    names : tuple of Parameter
    estimate, lower, upper : (parameters,) arrays
        Estimates are those that maximise the profiled likelihood.
    curves : dict
        Label (``"Days"``, ``"sd(Days | Subject)"``, ``"sigma"``, ``"cor(Intercept, Days | Subject)"``) to `Curve`.
    level : float
    reml : bool
        Whether standard deviations and correlations are profiled under the restricted likelihood.
    native : str
        Kind of data frame of `.table`.
    """

    names: tuple[Parameter, ...]
    estimate: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    curves: dict[str, Curve] = field(repr=False)
    level: float
    reml: bool
    native: str = "pandas"

    def __getitem__(self, label: str) -> Curve:
        return self.curves[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def _columns(self) -> dict[str, Any]:
        return {
            "parameter": [name.kind for name in self.names],
            "group": [name.group for name in self.names],
            "term": [name.terms for name in self.names],
            "estimate": self.estimate,
            "lower": self.lower,
            "upper": self.upper,
        }

    @property
    def table(self) -> Any:
        """Table of the intervals: parameter, group, term, estimate, lower, upper."""
        return frame(self.native, self._columns())

    def _grid(self) -> Grid:
        rows = []
        for name, row in zip(self.names, zip(self.estimate, self.lower, self.upper, strict=True), strict=True):
            width = row[2] - row[1]
            shown = numbers.measured([float(v) for v in row], width / 4.0, 4)
            rows.append((printable(name.label), *shown))
        kind = "restricted likelihood for what varies, likelihood for fixed effects" if self.reml else "likelihood"
        title = f"Profile intervals ({kind}):"
        return Grid(title, ("", "Estimate", *interval_headings(self.level)), tuple(rows))

    def summary(self) -> str:
        """The intervals as text."""
        return to_text([self._grid()])

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html([self._grid()])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: level, criterion, intervals, curves; undefined and infinite numbers are None."""
        columns = self._columns()
        rows = [{key: _plain(column[i]) for key, column in columns.items()} for i in range(len(self.names))]
        curves = {
            label: {"value": curve.value.tolist(), "zeta": curve.zeta.tolist()} for label, curve in self.curves.items()
        }
        return {"level": self.level, "reml": self.reml, "intervals": rows, "curves": curves}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def profile(fit: Fit, level: float = 0.95, *, which: str | Sequence[str] | None = None, reml: bool = False) -> Profile:
    """Profile likelihood of the parameters of a fit.

    Parameters
    ----------
    fit : Fit
        By ``"reml"``, ``"ml"``, ``"laplace"`` or ``"agq"``, or of a model without groups.
    level : float
        Coverage of the intervals.
    which : str or sequence of str, optional
        Kinds (``"fixed"``, ``"sd"``, ``"sigma"``, ``"correlation"``) or labels (``"Days"``,
        ``"sd(Days | Subject)"``); all parameters otherwise.
    reml : bool
        Profile standard deviations and correlations under the restricted likelihood. Fixed effects are always
        profiled under the ordinary one.

    Returns
    -------
    Profile
        `.table`, `.curves`, `.summary()`.

    Raises
    ------
    SettingError
        For other estimators, or unknown parameters.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.profile import profile
    >>> found = profile(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), which="sd")
    >>> found.table["term"].tolist()
    ['Intercept']
    """
    from scipy.special import ndtri

    require_likelihood(fit, "profile")
    names = _chosen(parameters(fit.model), which)
    half = float(ndtri(0.5 + check_level(level) / 2.0))
    found: dict[str, tuple[float, float, float, Curve | None]] = {}
    if not fit.model.is_linear:
        if reml:
            raise SettingError("there is no restricted likelihood of this family", hint="Leave reml out.")
        found.update(_approximate(fit, names, half))
    for restricted in (False, True):
        part = [name for name in names if (reml and name.kind != FIXED) == restricted and fit.model.is_linear]
        if part:
            found.update(_profiled(fit, restricted, part, half))
    rows = np.array([found[name.label][:3] for name in names]).reshape(-1, 3)
    curves = {name.label: curve for name in names if (curve := found[name.label][3]) is not None}
    estimate, lower, upper = rows.T
    return Profile(names, estimate, lower, upper, curves, float(level), reml, fit.model.native)


def _chosen(names: tuple[Parameter, ...], which: str | Sequence[str] | None) -> tuple[Parameter, ...]:
    if which is None:
        return names
    asked = [which] if isinstance(which, str) else list(which)
    labels = [name.label for name in names]  # of constants their names, which are their kinds too
    for item in asked:
        if item not in KINDS and item not in labels:
            hint = nearest(str(item), [*KINDS, *labels]) or f"Use {', '.join(KINDS)}, or one of {listed(labels, 6)}."
            raise SettingError(f'"{printable(item)}" is no parameter of this model', hint=hint)
    return tuple(name for name in names if name.kind in asked or name.label in asked)


def _profiled(
    fit: Fit, reml: bool, names: Sequence[Parameter], half: float
) -> dict[str, tuple[float, float, float, Curve | None]]:
    """Estimate, limits and curve of parameters under one criterion."""
    likelihood = criterion(fit.model, reml)
    theta = fit.estimates.notes.get("theta")
    with threads_for(likelihood.elimination.pattern.nt):
        # a fit by this very criterion starts at its optimum; the other one is a short search away
        state, progress = minimum(likelihood, None if theta is None else np.array(theta))
        at = values(fit.model, likelihood, state, tuple(names))
        steps = _steps(MixedCertainty(likelihood, state, progress.zeros), fit, names)
        return {
            name.label: _one(likelihood, state, name, float(value), float(step), half)
            for name, value, step in zip(names, at, steps, strict=True)
        }


def _approximate(
    fit: Fit, names: Sequence[Parameter], half: float
) -> dict[str, tuple[float, float, float, Curve | None]]:
    """Estimate, limits and curve of parameters of a generalized model."""
    from .held import held

    found: dict[str, tuple[float, float, float, Curve | None]] = {}
    for name, target_of, natural in held(fit, names):
        if target_of is None:
            found[name.label] = (math.nan, math.nan, math.nan, None)
            continue
        value, lower, upper, curve = _traced(target_of, name, half)
        ends = [natural(v) for v in (value, lower, upper)]
        if curve is not None:
            curve = Curve(name, np.array([natural(v) for v in curve.value.tolist()]), curve.zeta)
        found[name.label] = (ends[0], ends[1], ends[2], curve)
    return found


def _steps(certainty: MixedCertainty, fit: Fit, names: Sequence[Parameter]) -> list[float]:
    """Standard errors, as first guesses of distances; NaN where there are none."""
    with np.errstate(all="ignore"):
        beta = np.sqrt(np.diag(certainty.beta_covariance()))
        sds, sigma = certainty.sd_errors()
        intervals = certainty.correlation_intervals(0.68)
    out = []
    for name in names:
        if name.kind == FIXED:
            out.append(float(beta[name.place[0]]))
        elif name.kind == SD:
            out.append(sds[name.place[0]][name.place[1]])
        elif name.kind == CORRELATION:
            t, i, j = name.place
            low, high = intervals[t][i * (i - 1) // 2 + j]
            out.append(0.5 * (high - low))
        else:
            out.append(float(sigma))
    return out


def _one(
    likelihood: Likelihood, state: State, name: Parameter, value: float, step: float, half: float
) -> tuple[float, float, float, Curve | None]:
    likelihood.evaluate(state.theta)
    held = target(likelihood, state, name, value, step)
    if held is None:
        return value, math.nan, math.nan, None
    return _traced(held, name, half)


def _traced(held: Target, name: Parameter, half: float) -> tuple[float, float, float, Curve | None]:
    trace, far = Trace(held), max(half + 0.2, FARTHEST)
    with np.errstate(all="ignore"):
        for side in (-1, 1):
            trace.follow(side, far)
        lower, upper = trace.crossing(-1, half), trace.crossing(1, half)
    if trace.lowest < -BETTER:
        warn(
            ConvergenceWarning(
                f"the profile of {printable(name.label)} found a deviance {-trace.lowest:.2g} below that of the fit",
                hint="The likelihood has several maxima: refit from other starts, or simplify the group terms.",
            )
        )
    value_at, zeta = trace.arrays(far)
    return held.estimate, lower, upper, Curve(name, value_at, zeta)
