"""A model in words before it is fitted: equation, data, groups and sizes, advice.

print(model)            the whole description
equation(model)         y = Xβ + Zb + ε with the columns' names
advice(model)           what is doubtful about the design, as notes (never as Python warnings)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import listed, printable
from .equation import equation

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Note", "Sizes", "advice", "describe", "equation", "sizes"]

VERY_FEW, FEW = 5, 10  # levels of a group
ALMOST_ROWS = 0.8  # levels per row above which most levels hold a single one
UNEQUAL = 50.0  # largest level over the median one


@dataclass(frozen=True)
class Note:
    """A remark with its remedy; unlike a warning it is printed, not issued."""

    code: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}"


@dataclass(frozen=True)
class Sizes:
    """Number of levels of a group and the least, median and greatest number of rows in one."""

    label: str
    levels: int
    least: int
    median: float
    most: int


def describe(model: Model) -> str:
    """The description that ``print(model)`` shows.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools")))  # doctest: +ELLIPSIS
    Linear mixed model
      score = b0 + u0[school] + e
    ...
    """
    lines = [title(model), *(f"  {line}" for line in equation(model)), ""]
    lines += [f"Formula:   {formula_text(model)}", f"Family:    {family_text(model)}"]
    lines += [f"Data:      {data_line(model)}", *_group_lines(model)]
    lines += [f"Estimator: {default_estimator(model)} unless another is named", *_prior_lines(model)]
    notes = advice(model)
    if notes or model.warnings:
        lines += ["", "Before fitting:"]
        lines += [f"  - {printable(w, 400)}" for w in model.warnings]
        lines += [f"  - {note}" for note in notes]
    return "\n".join(lines)


def title(model: Model) -> str:
    """What kind of model it is."""
    kind = "Linear" if model.is_linear else "Generalized linear"
    return f"{kind} mixed model" if model.design.groups else f"{kind} model (no grouping term)"


def family_text(model: Model) -> str:
    """The family and its links, and what is modelled where the response has no numbers: ``P(z = yes)``."""
    text = f"{model.family} ({model.link} link)"
    if model.is_linear:
        return text
    layout, links = model.design.layout, model.distribution.links
    for part in model.formula.further:
        text += f", {printable(part.name)} ({links[layout.names.index(part.name)]} link)"
    words = model.distribution.family.words(model.observations)
    return text + (f", {printable(words)}" if words else "")


def formula_text(model: Model) -> str:
    """The formula as typed, on one line."""
    return printable(" ".join((model.formula.text or str(model.formula)).split()), 400)


def default_estimator(model: Model) -> str:
    """The estimator that ``model.fit()`` uses."""
    if not model.design.groups:
        return "complete"
    return "reml" if model.is_linear else "laplace"


def data_line(model: Model) -> str:
    """Rows used, their trials, and rows dropped."""
    design, trials = model.design, None if model.is_linear else model.observations.trials
    rows = f"{design.n} rows" + ("" if trials is None else f", {trials.sum():.0f} trials")
    dropped = design.n_rows_given - design.n
    if dropped <= 0:
        return rows
    missing = listed((f"{name}: {count}" for name, count in design.missing), 4)
    why = f"missing values in {missing}" if design.missing else "weight zero"
    return f"{rows} ({dropped} of {design.n_rows_given} dropped: {why})"


def weights_line(model: Model) -> str:
    """What the weights mean, or nothing."""
    design = model.design
    if design.known_se is not None:
        return "the standard error of each row is known: Var(e) = se²"
    if design.weights is None:
        return ""
    if design.weights_kind == "frequency":
        return "frequencies: a row of weight w stands for w equal rows"
    divided = "Var(e) = sigma² / weight" if model.is_linear else "they divide the variance of a row"
    return f"precisions: {divided}"


# --- groups ------------------------------------------------------------------------------------------------------
def sizes(model: Model) -> list[Sizes]:
    """Levels and rows of each grouping factor."""
    out: dict[str, Sizes] = {}
    for group in model.design.groups:
        if group.label not in out:
            n = np.bincount(group.codes, minlength=len(group.levels))
            out[group.label] = Sizes(group.label, len(n), int(np.min(n)), float(np.median(n)), int(np.max(n)))
    return list(out.values())


def _group_lines(model: Model) -> list[str]:
    found = sizes(model)
    if not found:
        return ["Groups:    none: the formula has no grouping term"]
    width = max(len(printable(s.label, 40)) for s in found)
    return [
        f"{'Groups:' if i == 0 else '':<11}{printable(s.label, 40):<{width}}  {s.levels} levels, {_rows(s)}"
        for i, s in enumerate(found)
    ]


def _rows(s: Sizes) -> str:
    return f"{s.least} rows each" if s.least == s.most else f"{s.least} to {s.most} rows (median {s.median:g})"


def _prior_lines(model: Model) -> list[str]:
    """The priors where some were given; otherwise where to see them, without working them out."""
    if not model.priors_given:
        return ["Priors:    weakly informative, for Bayesian estimators only; model.priors lists them"]
    first, *table = str(model.priors).splitlines()
    return [f"Priors:    {first.removeprefix('Priors: ')}", *(f"  {line}" for line in table)]


def advice(model: Model) -> tuple[Note, ...]:
    """What about the groups makes their variance hard to estimate."""
    notes: list[Note] = []
    for s in sizes(model):
        label = printable(s.label, 40)
        if s.levels < FEW:
            notes.append(_few(label, s.levels))
        if model.design.known_se is None and s.levels > ALMOST_ROWS * model.n_obs:
            message = f'"{label}" has {s.levels} levels for {model.n_obs} rows: most hold a single row'
            hint = "Its variance is told from the residual by few levels only; look at the interval."
            if not model.is_linear:
                hint = "Such effects stand for overdispersion of the rows; with yes or no in each they cannot be told."
            notes.append(Note("N_LEVELS_NEAR_ROWS", message, hint))
        if s.most > UNEQUAL * s.median:
            message = f'"{label}" is strongly unbalanced: {_rows(s)}'
            notes.append(Note("N_UNBALANCED", message, "Small levels are pulled to the mean; see fit.shrinkage()."))
    return tuple(notes)


def _few(label: str, levels: int) -> Note:
    message = f'"{label}" has {levels} levels: its standard deviation is '
    if levels < VERY_FEW:
        hint = "Read the interval, not the estimate; a fixed factor may serve as well."
        return Note("N_FEW_GROUPS", message + "hardly identifiable", hint)
    return Note("N_FEW_GROUPS", message + "uncertain", "Report its interval; a prior would matter here.")
