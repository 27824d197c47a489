"""Parametric bootstrap: data simulated from the fit, the model refitted to each.

    y* = Xβ̂ + Zb* + ε*,   b* ~ N(0, Σ̂),   ε* ~ N(0, σ̂²/w)        θ̂* = estimates from y*

    percentile interval  [q_lower, q_upper] of θ̂*            basic interval  [2θ̂ − q_upper, 2θ̂ − q_lower]
    bias  mean(θ̂*) − θ̂                                        std_error  sd(θ̂*)

The percentile interval of a standard deviation near zero holds zero as often as refits do; the basic one is cut at
the end of the range. With fewer than a thousand refits the ends of 95 % intervals are themselves uncertain by several
hundredths of their distance. In generalized models y* ~ family(η*), and trials, exposures and weights stay as they
are.

Reference: Davison & Hinkley (1997), Bootstrap Methods and their Application, chapters 2 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.html import to_html
from ..fit.tables import check_level
from ..glossary import SIGMA, interval_headings
from .counter import counter
from .criterion import is_reml, require_likelihood
from .generalized_responses import GeneralizedResponses
from .parameters import CORRELATION, SD, Parameter, estimated, parameters
from .responses import Responses

if TYPE_CHECKING:
    from ..fit.fit import Fit

CHUNK = 50  # draws of one random stream: results do not depend on how many workers share them
FEWEST = 20


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits to simulated data.

    Parameters
    ----------
    names : tuple of Parameter
    estimate : (parameters,) array
        Of the fit itself.
    values : (refits, parameters) array
        Of the refits that converged.
    level : float
    n, failed : int
        Refits asked for, and those without an optimum, which are left out.
    seed : int
    native : str
    """

    names: tuple[Parameter, ...]
    estimate: np.ndarray
    values: np.ndarray = field(repr=False)
    level: float
    n: int
    failed: int
    seed: int
    native: str = "pandas"

    @property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Values of the refits by parameter label."""
        return {name.label: self.values[:, i] for i, name in enumerate(self.names)}

    def _quantiles(self) -> tuple[np.ndarray, np.ndarray]:
        tail = 0.5 - self.level / 2.0
        with np.errstate(invalid="ignore"):
            found = [_finite_quantiles(column, (tail, 1.0 - tail)) for column in self.values.T]
        ends = np.array(found).reshape(-1, 2)
        return ends[:, 0], ends[:, 1]

    def _columns(self) -> dict[str, Any]:
        low, high = self._quantiles()
        basic = np.array([_inside(name, v) for name, v in zip(self.names, 2.0 * self.estimate - high, strict=True)])
        basic_high = np.array([_inside(name, v) for name, v in zip(self.names, 2.0 * self.estimate - low, strict=True)])
        moments = np.array([_moments(column) for column in self.values.T]).reshape(-1, 2)
        return {
            "parameter": [name.kind for name in self.names],
            "group": [name.group for name in self.names],
            "term": [name.terms for name in self.names],
            "estimate": self.estimate,
            "bias": moments[:, 0] - self.estimate,
            "std_error": moments[:, 1],
            "lower": low,
            "upper": high,
            "basic_lower": basic,
            "basic_upper": basic_high,
        }

    @property
    def table(self) -> Any:
        """Table: parameter, group, term, estimate, bias, std_error, lower, upper, basic_lower, basic_upper.

        `lower` and `upper` are the percentile interval.
        """
        return frame(self.native, self._columns())

    @property
    def _failures(self) -> str:
        return f"Left out, because no optimum was found: {self.failed} of {self.n} refits" if self.failed else ""

    def _blocks(self) -> list[Block]:
        columns = self._columns()
        rows = []
        for i, name in enumerate(self.names):
            error = float(columns["std_error"][i])
            keys = ("estimate", "bias", "std_error", "lower", "upper", "basic_lower", "basic_upper")
            rows.append((printable(name.label), *numbers.measured([float(columns[k][i]) for k in keys], error, 3)))
        low, high = interval_headings(self.level)
        header = ("", "Estimate", "Bias", "Std.Error", low, high, "basic " + low, "basic " + high)
        title = f"Parametric bootstrap ({self.n} refits, seed {self.seed}), percentile and basic intervals:"
        blocks: list[Block] = [Grid(title, header, tuple(rows))]
        return [*blocks, Lines("", (self._failures,))] if self.failed else blocks

    def summary(self) -> str:
        """The table as text, with the failures."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: n, failed, seed, level, and the rows of the table; undefined numbers are None."""
        columns = self._columns()
        rows = [{key: _plain(column[i]) for key, column in columns.items()} for i in range(len(self.names))]
        return {"n": self.n, "failed": self.failed, "seed": self.seed, "level": self.level, "parameters": rows}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def _finite_quantiles(column: np.ndarray, at: tuple[float, float]) -> tuple[float, float]:
    known = column[np.isfinite(column)]  # a correlation beside a zero variance is undefined
    return tuple(np.quantile(known, at).tolist()) if len(known) else (math.nan, math.nan)


def _moments(column: np.ndarray) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    return (float(known.mean()), float(known.std(ddof=1))) if len(known) > 1 else (math.nan, math.nan)


def _inside(name: Parameter, value: float) -> float:
    """The value, or the end of the parameter's range."""
    if name.kind in (SD, SIGMA) or name.constant:  # constants are positive, or shares
        return max(value, 0.0) if value == value else value
    if name.kind == CORRELATION:
        return min(max(value, -1.0), 1.0) if value == value else value
    return value


def bootstrap(fit: Fit, n: int = 500, *, seed: int = 0, parallel: int = 1, level: float = 0.95) -> Bootstrap:
    """Parametric bootstrap of every parameter.

    Parameters
    ----------
    fit : Fit
        By ``"reml"``, ``"ml"``, ``"laplace"`` or ``"agq"``, or of a model without groups; refits use the same
        criterion.
    n : int
        Number of simulated data sets.
    seed : int
        The same seed gives the same draws for any number of workers.
    parallel : int
        Processes (needs the package joblib beyond 1; −1 for all cores).
    level : float
        Coverage of the intervals.

    Returns
    -------
    Bootstrap
        `.table`, `.draws`, `.summary()`, `.failed`.

    Raises
    ------
    SettingError
        For other estimators, fewer than 20 refits, or `parallel` without joblib.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.bootstrap import bootstrap
    >>> found = bootstrap(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), n=50, seed=1)
    >>> found.values.shape, found.failed
    ((50, 3), 0)
    """
    require_likelihood(fit, "bootstrap")
    refuse_counts(fit)
    if n < FEWEST:
        raise SettingError(f"n={n} refits say nothing about the tails", hint=f"Use at least {FEWEST}, better 500.")
    names = parameters(fit.model)
    refits = in_chunks(fit, [fit], names, n, seed, parallel)
    good = np.array([r.converged for (r,) in refits])
    found = np.array([r.values for (r,) in refits])[good].reshape(-1, len(names))
    failed = int(n - good.sum())
    estimate = estimated(fit.estimates, names)
    return Bootstrap(names, estimate, found, check_level(level), n, failed, seed, fit.model.native)


def refuse_counts(fit: Fit) -> None:
    """Rows that stand for several observations cannot be simulated as one.

    Raises
    ------
    SettingError
    """
    if fit.model.design.weights is not None and fit.model.design.weights_kind == "frequency":
        raise SettingError(
            "data cannot be simulated where rows stand for several observations (frequency weights)",
            hint="Expand the rows, one for each observation.",
        )


def in_chunks(
    source: Fit, targets: Sequence[Fit], names: tuple[Parameter, ...], n: int, seed: int, parallel: int,
    reml: bool | None = None,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Data simulated from `source`, each of the targets' models refitted to each: n tuples of `Refit`."""
    seeds = np.random.SeedSequence(seed).generate_state(-(-n // CHUNK)).tolist()
    sizes = [min(CHUNK, n - CHUNK * i) for i in range(len(seeds))]
    last = targets[-1]  # a regression's σ is that over n − p, which is its restricted likelihood's
    restricted = (is_reml(last) or not last.model.design.groups) if reml is None else reml
    work = [_Work(target, restricted, names if target is targets[-1] else ()) for target in targets]
    if parallel == 1 or len(seeds) == 1:
        parts = []
        with counter("bootstrap", n) as count:
            for size, s in zip(sizes, seeds, strict=True):
                parts.append(_chunk(source, work, size, s))
                count(CHUNK * len(parts))
    else:
        joblib = _joblib()
        parts = joblib.Parallel(n_jobs=parallel)(
            joblib.delayed(_chunk)(source, work, size, s) for size, s in zip(sizes, seeds, strict=True)
        )
    return [row for part in parts for row in part]


class _Work:
    """One model to refit; what it needs of the rows is prepared once in each process."""

    def __init__(self, fit: Fit, reml: bool, names: tuple[Parameter, ...]) -> None:
        self.model, self.reml, self.names, self.estimator = fit.model, reml, names, fit.estimator
        theta = fit.estimates.notes.get("theta")
        self.start = None if theta is None else np.array(theta)
        self.ready: Responses | GeneralizedResponses | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ready": None}

    def responses(self) -> Responses | GeneralizedResponses:
        if self.ready is None and not self.model.is_linear:
            self.ready = GeneralizedResponses(self.model, self.estimator, self.names)
        elif self.ready is None:
            self.ready = Responses(self.model, self.reml, self.names, self.start)
        return self.ready


def _chunk(source: Fit, work: Sequence[_Work], size: int, seed: int) -> list[tuple[Any, ...]]:
    simulated = source.simulate(size, seed=seed)
    return list(zip(*(list(w.responses().refits(simulated)) for w in work), strict=True))


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise SettingError(
            "parallel refits need the package joblib", hint="pip install joblib, or use parallel=1."
        ) from None
    return joblib
