"""Simulation-based calibration: does a sampler give the posterior of this model on this design?

    θ* ~ p(θ),   y ~ p(y | θ*),   θ_1, …, θ_L ~ p(θ | y)    ⇒    #{f(θ_l, y) < f(θ*, y)} is uniform on {0, …, L}

for every function f. Draws are thinned until they are nearly independent; ranks are judged by χ² and by a simultaneous
band of their distribution function, p-values adjusted by Holm's method over all quantities.

What it can see: 200 simulations find gross errors; 1000 find a bias of a fifth of a posterior standard deviation,
2000 a spread that is wrong by a tenth.

References: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv 1804.06788; Modrák, Moon, Kim, Bürkner, Huurre,
Faltejsková, Gelman & Vehtari (2023), Bayesian Analysis; Säilynoja, Bürkner & Vehtari (2022), Statistics & Computing 32.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import MultilevelError, MultilevelWarning, SettingError, printable
from .base import holm
from .calibration_quantities import parameters_of, quantities
from .ranks import chi_square_p, envelope_p
from .simulated import Simulator

if TYPE_CHECKING:
    from ..model.model import Model

LEVEL = 0.01
RANKS = 99  # draws that a truth is ranked among
CHUNK = 10  # simulations of one random stream: results do not depend on how many workers share them
FEWEST = 20
ALONE = {"cores": 1, "progress": False}  # simulations run side by side, not the chains of one
LONGER = 4  # times as many draws, twice at most, where too few are independent


@dataclass(frozen=True)
class Calibration:
    """Ranks of simulated truths among posterior draws.

    Parameters
    ----------
    names : quantities
    ranks : (simulations, quantities), each among 0 … `largest`
    largest : number of draws that each truth was ranked among
    estimator : what was calibrated
    failed : simulations without draws, which are left out
    short : simulations whose thinned draws were not quite independent (ESS below `largest`)
    """

    names: tuple[str, ...]
    ranks: np.ndarray = field(repr=False)
    largest: int
    estimator: str
    failed: int = 0
    short: int = 0
    seed: int = 0
    native: str = "pandas"

    @property
    def n(self) -> int:
        """Simulations."""
        return len(self.ranks)

    @property
    def p_values(self) -> np.ndarray:
        """(quantities, 2): of the band and of χ², not adjusted."""
        return np.array([[envelope_p(r, self.largest), chi_square_p(r, self.largest)] for r in self.ranks.T])

    @property
    def adjusted(self) -> np.ndarray:
        """p by quantity, both tests together, adjusted by Holm's method over the quantities."""
        return np.asarray(holm(np.minimum(2.0 * self.p_values.min(axis=1), 1.0)))

    @property
    def passed(self) -> bool:
        """No adjusted p-value below 0.01, and nine of ten simulations with draws."""
        return bool(np.all(self.adjusted > LEVEL)) and self.failed <= self.n / 9.0

    @property
    def bias(self) -> np.ndarray:
        """Mean normal score of the truths by quantity: 0 when calibrated, above 0 where posteriors are too low."""
        from scipy.special import ndtri

        return np.asarray(ndtri((self.ranks + 0.5) / (self.largest + 1.0)).mean(axis=0))

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the normal scores: 1 when calibrated, above 1 where posteriors are too narrow."""
        from scipy.special import ndtri

        return np.asarray(ndtri((self.ranks + 0.5) / (self.largest + 1.0)).std(axis=0, ddof=1))

    @property
    def table(self) -> Any:
        """Table: quantity, bias, spread, p_band, p_chi2, p (adjusted), verdict."""
        p, adjusted = self.p_values, self.adjusted
        columns = {
            "quantity": list(self.names), "bias": self.bias, "spread": self.spread, "p_band": p[:, 0],
            "p_chi2": p[:, 1], "p": adjusted, "verdict": ["ok" if v > LEVEL else "FAILS" for v in adjusted],
        }  # fmt: skip
        return frame(self.native, columns)

    def summary(self) -> str:
        """Verdict, and the quantities that fail, or the worst of those that pass."""
        verdict = "calibrated" if self.passed else "NOT calibrated"
        head = f'"{printable(self.estimator)}" is {verdict}: {self.n} simulations, ranks among {self.largest} draws'
        lines = [head, f"{'':<30}{'bias':>8}{'spread':>8}{'p':>9}"]
        for j in np.argsort(self.adjusted, kind="stable")[: max(5, int((self.adjusted <= LEVEL).sum()))]:
            name = printable(self.names[j], 28)
            lines.append(f"{name:<30}{self.bias[j]:>8.2f}{self.spread[j]:>8.2f}{self.adjusted[j]:>9.3g}")
        if self.failed:
            lines.append(f"left out, because no draws were made: {self.failed} simulations")
        if self.short:
            lines.append(f"with fewer independent draws than ranks: {self.short} simulations")
        return "\n".join(lines)

    __str__ = summary
    __repr__ = summary

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-able: estimator, n, largest, passed, failed, short, and the rows of the table."""
        rows = [
            {"quantity": name, "bias": float(b), "spread": float(s), "p": float(p)}
            for name, b, s, p in zip(self.names, self.bias, self.spread, self.adjusted, strict=True)
        ]
        return {
            "estimator": self.estimator, "n": self.n, "largest": self.largest, "passed": self.passed,
            "failed": self.failed, "short": self.short, "quantities": rows,
        }  # fmt: skip


def calibrate(
    model: Model, estimator: Any = "nuts", n: int = 200, *, seed: int = 0, parallel: int = 1, ranks: int = RANKS,
    **settings: Any,
) -> Calibration:  # fmt: skip
    """Simulation-based calibration of an estimator on a model's own design and priors.

    Parameters
    ----------
    model : Model
        With proper priors; its response is only a template.
    estimator : str, or an object with ``sample(model)``
        A Bayesian estimator.
    n : int
        Simulations, at least 20. See above what they can tell.
    seed : int
        The same seed gives the same ranks for any number of workers.
    parallel : int
        Processes (needs the package joblib beyond 1; −1 for all cores).
    ranks : int
        Draws that each truth is ranked among.
    settings :
        Of the estimator: ``draws``, ``tune``, ``chains``, …

    Returns
    -------
    Calibration
        `.passed`, `.table`, `.summary()`, `.ranks`; ``ml.plot.calibration(result)``.

    Raises
    ------
    SettingError
        E_PRIOR_IMPROPER for priors that cannot be drawn from; fewer than 20 simulations; an estimator without draws;
        frequency weights.

    Examples
    --------
    >>> import numpy as np
    >>> import multilevel as ml
    >>> table = {"y": np.arange(12.0), "g": list("aaabbbcccddd")}
    >>> model = ml.Model("y ~ 1 + (1 | g)", table, priors={"Intercept": "normal(0, 1)", "sd": "half_normal(1)",
    ...                                                    "sigma": "half_normal(1)"})
    >>> found = ml.calibrate(model, "gibbs", n=20, draws=300, tune=100, chains=2)
    >>> found.n, "sigma" in found.names
    (20, True)
    """
    from ..samplers.from_prior import require_proper

    made = _estimator(estimator, settings, model)
    if n < FEWEST:
        raise SettingError(f"n={n} simulations say nothing about ranks", hint=f"Use at least {FEWEST}, better 200.")
    if model.design.weights is not None and model.design.weights_kind == "frequency":
        raise SettingError("rows with frequency weights cannot be simulated", hint="Expand the rows.")
    require_proper(model)
    model = model.with_priors(model.priors)
    seeds = np.random.SeedSequence(seed).spawn(-(-n // CHUNK))
    sizes = [min(CHUNK, n - CHUNK * i) for i in range(len(seeds))]
    if parallel == 1 or len(seeds) == 1:
        parts = [_chunk(model, made, size, s, ranks) for size, s in zip(sizes, seeds, strict=True)]
    else:
        from ..inference.bootstrap import _joblib

        joblib = _joblib()
        parts = joblib.Parallel(n_jobs=parallel)(
            joblib.delayed(_chunk)(model, made, size, s, ranks) for size, s in zip(sizes, seeds, strict=True)
        )
    found = [row for part in parts for row in part]
    good = [row for row in found if row is not None]
    if not good:
        raise SettingError(f'"{_name(estimator)}" made no draws in any simulation', hint="Fit the model once and look.")
    return Calibration(
        names=tuple(good[0][0]), ranks=np.array([row[1] for row in good]), largest=ranks, estimator=_name(estimator),
        failed=n - len(good), short=sum(row[2] for row in good), seed=seed, native=model.native,
    )  # fmt: skip


def _name(estimator: Any) -> str:
    return estimator if isinstance(estimator, str) else type(estimator).__name__


def _estimator(estimator: Any, settings: Mapping[str, Any], model: Model) -> Any:
    if isinstance(estimator, str):
        from ..registry import make_estimator, member, official

        known = getattr(member("estimators", official("estimators", estimator)), "__dataclass_fields__", {})
        alone = {name: value for name, value in ALONE.items() if name in known}
        estimator = make_estimator(estimator, {**alone, **settings})
    if not hasattr(estimator, "sample"):
        raise SettingError(
            f'"{_name(estimator)}" has no draws to rank truths among', hint='Use a Bayesian estimator, such as "nuts".'
        )
    if hasattr(estimator, "check"):
        estimator.check(model)
    return estimator


Row = tuple[tuple[str, ...], np.ndarray, bool]


def _chunk(model: Model, estimator: Any, size: int, seed: np.random.SeedSequence, ranks: int) -> list[Row | None]:
    """`size` simulations, each with a random stream of its own."""
    return [_once(model, estimator, np.random.default_rng(child), ranks) for child in seed.spawn(size)]


def _once(model: Model, estimator: Any, rng: np.random.Generator, ranks: int) -> Row | None:
    from ..core.coordinates import coordinates
    from ..core.given_coefficients import linear_coordinates
    from ..samplers.from_prior import draw_parameters

    coords = linear_coordinates(model) if model.is_linear else coordinates(model, model.priors, True)
    simulator = Simulator(model)
    truth = draw_parameters(model, coords, 1, rng)
    y = simulator.responses(truth, rng)[0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", MultilevelWarning)
        try:
            sample, index, short = _draws(simulator.with_response(y), estimator, ranks, rng)
        except SettingError:
            raise
        except (MultilevelError, np.linalg.LinAlgError, FloatingPointError):
            return None
    expected = quantities(truth, coords, simulator, y, rng)
    drawn = quantities(parameters_of(sample, coords, index), coords, simulator, y, rng)
    place = np.array([_rank(float(expected[name][0]), drawn[name], rng) for name in expected])
    return tuple(expected), place, short


def _draws(model: Model, estimator: Any, ranks: int, rng: np.random.Generator) -> tuple[Any, np.ndarray, bool]:
    """A sample with at least `ranks` nearly independent draws, and their places."""
    from dataclasses import is_dataclass, replace

    made = estimator
    if is_dataclass(made) and hasattr(made, "seed"):
        made = replace(made, seed=int(rng.integers(2**31)))  # type: ignore[type-var]
    for attempt in range(3):
        sample = made.sample(model)
        total = sample.chains * sample.draws
        enough = _ess(sample) >= ranks
        if enough or attempt == 2 or not hasattr(made, "draws"):
            break
        made = replace(made, draws=LONGER * made.draws)
    if total < ranks:
        raise SettingError(f"{total} draws cannot rank among {ranks}", hint="Use more draws.")
    index = np.floor((np.arange(ranks) + 0.5) * total / ranks).astype(int)
    return sample, index, not enough


def _ess(sample: Any) -> float:
    """The smallest effective sample size of the coordinates."""
    from ..numerics.diagnostics import ess_bulk

    if sample.info.get("independent", False):
        return float(sample.chains * sample.draws)
    found = ess_bulk(sample.z)
    return float(np.nanmin(found)) if np.isfinite(found).any() else 0.0


def _rank(truth: float, drawn: np.ndarray, rng: np.random.Generator) -> int:
    """Number of draws below the truth, ties broken at random."""
    ties = int((drawn == truth).sum())
    return int((drawn < truth).sum()) + int(rng.integers(ties + 1))
