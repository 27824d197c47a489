"""The bundled schools example, end to end: ``multilevel demo``.

1500 simulated students in 30 schools, whose true means are known. Complete pooling, no pooling and partial pooling
are set beside the truth, a new school is predicted, and the numbers are compared with the textbook's way to get them
by hand (moments, with the estimates taken for true). Writes two plots and the saved fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import OutputPathError, printable

if TYPE_CHECKING:
    from .fit.fit import Fit

DATA = "schools"
FORMULA = "score ~ 1 + (1 | school)"
SHOWN = 10  # schools in the table
Z = 1.96


def run(output: str | Path) -> list[str]:
    """Fit, compare, predict, write files; returns the lines to print.

    Parameters
    ----------
    output : str or path
        Directory for ``shrinkage.png``, ``caterpillar.png`` and ``schools.fit``; made when missing, and files of
        these names in it are replaced.

    Raises
    ------
    OutputPathError
        When the directory cannot be made.
    """
    from .data import examples
    from .model.model import Model

    directory = _directory(output)
    model = Model(FORMULA, examples.load(DATA))
    fit = model.fit()
    alone, everyone = model.fit("none"), model.fit("complete")
    true_means = examples.truth(DATA)["school_means"]
    return [
        *_heading("Thirty schools, fifty students each"),
        "Simulated scores: school means from N(70, 5), students from N(school mean, 10).",
        "Which schools are better, and by how much? Here the truth is known, so the answers can be marked.",
        "",
        *_heading("The model, fitted by REML"),
        *str(fit.summary()).splitlines(),
        "",
        *_heading(f"No pooling and partial pooling beside the truth (first {SHOWN} schools)"),
        *_schools(fit, alone, everyone, true_means),
        "",
        *_heading("How much is between schools, and how much each school is shrunk"),
        *_variance(fit),
        "",
        *_heading("A school that was not in the data"),
        *_new_school(fit),
        "",
        *_heading("The same by hand, as textbooks do it"),
        *_by_hand(fit),
        "",
        *_heading("Files"),
        *_files(fit, directory),
    ]


def _directory(output: str | Path) -> Path:
    directory = Path(output)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputPathError(f'cannot make the output path "{printable(directory, 120)}": {reason}') from error
    return directory


def _heading(text: str) -> list[str]:
    return [text, "─" * len(text)]


# --- schools -----------------------------------------------------------------------------------------------------
def _schools(fit: Fit, alone: Fit, everyone: Fit, truth: dict[str, float]) -> Iterator[str]:
    """Estimates and standard errors of the first schools, and the errors over all of them."""
    levels = fit.model.design.groups[0].levels
    rows = {"school": list(levels)}
    true = np.array([truth[level] for level in levels])
    own, partial = _means(alone, rows), _means(fit, rows)
    yield f"{'school':<8}{'truth':>8}   {'no pooling':>16}   {'partial pooling':>16}"
    for i, level in enumerate(levels[:SHOWN]):
        cells = (f"{m[i]:.2f} ± {e[i]:.2f}" for m, e in (own, partial))
        yield f"{level:<8}{true[i]:>8.2f}   " + "   ".join(f"{cell:>16}" for cell in cells)
    yield f"{'':8}{'':8}   {'(± std. error)':>16}   {'(± std. error)':>16}"
    yield ""
    grand = everyone.coefficients["Intercept"]
    yield f"Root mean squared error over all {len(levels)} schools:"
    for name, estimate in (("complete pooling", grand), ("no pooling", own[0]), ("partial pooling", partial[0])):
        yield f"  {name:<18}{_rms(estimate - true):6.3f}"


def _means(fit: Fit, rows: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Estimated mean of each school and its standard error."""
    table = fit.predict(rows)
    return np.asarray(table["estimate"], dtype=float), np.asarray(table["std_error"], dtype=float)


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


# --- variance ----------------------------------------------------------------------------------------------------
def _variance(fit: Fit) -> list[str]:
    weight = float(np.mean(fit.shrinkage()["lambda"]))
    icc = fit.icc()["school"]
    return [
        f"ICC {icc:.3f}: {100 * icc:.1f}% of the variance of scores is between schools (truth: 20%).",
        f"Shrinkage factor {weight:.3f}: a school's own mean weighs {100 * weight:.1f}%, the overall mean the rest;",
        f"so each school is pulled {100 * (1 - weight):.1f}% of the way to the overall mean.",
    ]


def _new_school(fit: Fit) -> list[str]:
    mean, student = (_new(fit, kind) for kind in ("mean", "response"))
    half = Z * _sds(fit)[0]
    centre = mean[0]
    return [
        f"mean of a new school         {_interval(mean)}",
        f"one student of a new school  {_interval(student)}",
        "These intervals (95%) carry the uncertainty of the overall mean and of both standard deviations.",
        f"Taking the estimates for true would give {centre - half:.2f} to {centre + half:.2f}"
        " for the school: too narrow.",
    ]


def _new(fit: Fit, kind: str) -> tuple[float, float, float]:
    table = fit.predict({"school": ["new"]}, target="new_group", kind=kind)
    return tuple(float(np.asarray(table[name])[0]) for name in ("estimate", "lower", "upper"))  # type: ignore[return-value]


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:6.2f}   {values[1]:6.2f} to {values[2]:6.2f}"


def _sds(fit: Fit) -> tuple[float, float]:
    """Between schools and within."""
    assert fit.sigma is not None
    return float(np.sqrt(fit.estimates.covariances[0][0, 0])), fit.sigma


# --- by hand -----------------------------------------------------------------------------------------------------
def _by_hand(fit: Fit) -> list[str]:
    """Moments and plug-in standard errors, as scripts in textbooks compute them, beside the fit."""
    y = fit.model.design.response
    schools = y.reshape(len(fit.model.design.groups[0].levels), -1)  # the rows are sorted by school, fifty each
    n = schools.shape[1]
    within = float(np.sqrt(np.mean(np.var(schools, axis=1, ddof=1))))
    between = float(np.sqrt(max(np.var(schools.mean(axis=1), ddof=1) - within**2 / n, 0.01)))
    weight = between**2 / (between**2 + within**2 / n)
    tau, sigma = _sds(fit)
    _, errors = _means(fit, {"school": list(fit.model.design.groups[0].levels)})
    rows: list[tuple[str, Any, Any]] = [
        ("overall mean", y.mean(), fit.coefficients["Intercept"]),
        ("sd between schools", between, tau),
        ("sd within schools", within, sigma),
        ("shrinkage factor", weight, float(np.mean(fit.shrinkage()["lambda"]))),
        ("std. error of a school", np.sqrt(between**2 * (1 - weight)), errors.mean()),
    ]
    return [
        f"{'':<24}{'by hand':>10}{'REML':>10}",
        *(f"{name:<24}{hand:>10.4f}{reml:>10.4f}" for name, hand, reml in rows),
        "Every school has fifty students, so the estimates agree. By hand, though:",
        "  - the standard error takes the overall mean and both sds for known; REML's does not;",
        f'  - "pulled {100 * weight:.1f}% toward the mean" reads the factor the wrong way round:'
        f" it is {100 * (1 - weight):.1f}%;",
        "  - a negative variance is replaced by 0.01; REML reports an exact zero, and says so;",
        "  - unequal schools need other formulas; here nothing changes.",
    ]


# --- files -------------------------------------------------------------------------------------------------------
def _files(fit: Fit, directory: Path) -> list[str]:
    """Write the plots and the fit; returns their paths."""
    from . import plots
    from .fit.output import write_whole

    for name in ("shrinkage", "caterpillar"):
        write_whole(directory / f"{name}.png", _png(getattr(plots, name)(fit)), overwrite=True)
    fit.save(directory / "schools.fit", overwrite=True)
    return [
        f"{directory / 'shrinkage.png'}     each school's own mean, and where it is moved",
        f"{directory / 'caterpillar.png'}   school effects with intervals",
        f"{directory / 'schools.fit'}       ml.load reads it, and multilevel predict",
    ]


def _png(figure: Any) -> bytes:
    from io import BytesIO

    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()
