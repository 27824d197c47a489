"""The printed summary: one layout for those who know lme4's and those who know brms's.

    equation, formula, data, criterion      scaled residuals      standard deviations and correlations of groups
    number of rows and levels               coefficients          what deserves attention, with remedies
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import printable
from ..glossary import RESIDUAL, SHORT, interval_headings
from ..model.describe import data_line, equation, family_text, formula_text, title, weights_line
from . import numbers, posterior_summary, tables
from .blocks import Block, Grid, Lines, to_markdown, to_text
from .remarks import DEGENERATE, LIKELIHOODS

if TYPE_CHECKING:
    from .fit import Fit

MOST_ROWS = 200_000  # residuals are summarised up to here
MOST_LABEL = 40
POOLED = {  # of generalized models
    "complete": "maximum likelihood (complete pooling)",
    "none": "maximum likelihood within groups (no pooling)",
}
METHODS = {
    "laplace": "Laplace's approximation",
    "agq": "adaptive Gauss–Hermite quadrature",
    "reml": "REML",
    "ml": "maximum likelihood",
    "complete": "least squares (complete pooling)",
    "none": "least squares within groups (no pooling)",
    "within": "the within transformation (fixed effects)",
    "james_stein": "James–Stein shrinkage",
    "moments": "the method of moments",
}


@dataclass(frozen=True)
class Summary:
    """A fit to be read; ``print`` it, show it in a notebook, or take `to_markdown`, `to_html`, `to_dict`."""

    blocks: tuple[Block, ...]
    fit: Fit

    def __str__(self) -> str:
        return to_text(self.blocks)

    def __repr__(self) -> str:
        return str(self)

    def to_markdown(self) -> str:
        return to_markdown(self.blocks)

    def to_html(self) -> str:
        from .html import to_html

        return to_html(self.blocks)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the fit."""
        return self.fit.to_dict()


def summarise(fit: Fit, level: float) -> Summary:
    """The summary with intervals of coverage `level`."""
    if fit.sampled:
        return Summary((*posterior_summary.blocks(fit, level), *_remarks(fit)), fit)
    blocks: list[Block] = [_head(fit)]
    if fit.model.n_obs <= MOST_ROWS:
        blocks.append(_residuals(fit))
    blocks.append(_groups(fit, level))
    if len(fit.estimates.beta):
        blocks += _coefficients(fit, level)
    if fit.estimates.dispersion:
        blocks.append(_dispersion(fit, level))
    blocks += _remarks(fit)
    return Summary(tuple(blocks), fit)


# --- head --------------------------------------------------------------------------------------------------------
def _head(fit: Fit) -> Lines:
    model = fit.model
    kind = title(model).removesuffix(" (no grouping term)")
    method = METHODS.get(fit.estimator.name, fit.estimator.name)
    if not model.is_linear:
        method = POOLED.get(fit.estimator.name, method) if model.design.groups else "maximum likelihood"
    method = str(fit.estimates.notes.get("approximation", method))  # where its settings say more than its name
    first, *where = equation(model)
    lines = [f"  {first}", *(f"    {line}" for line in where), f"Formula: {formula_text(model)}"]
    lines += [f" Family: {family_text(model)}", f"   Data: {data_line(model)}"]
    weights = weights_line(model)
    lines += [f"Weights: {weights}"] if weights else []
    return Lines(f"{kind} fitted by {method}", (*lines, "", *_criteria(fit)))


def _criteria(fit: Fit) -> tuple[str, ...]:
    values = [
        (fit.estimates.criterion, fit.objective),
        ("restricted logLik" if fit.estimates.criterion == "REML criterion" else "logLik", fit.log_likelihood),
        ("AIC", fit.aic),
        ("BIC", fit.bic),
    ]
    shown = [f"{name} {numbers.criterion(value)}" for name, value in values if np.isfinite(value)]
    return ("  ".join([*shown, f"parameters {fit.n_parameters}"]),)


def _residuals(fit: Fit) -> Grid:
    name, kind = "Scaled residuals:", "standardized"
    if not fit.model.is_linear:
        unordered = len(fit.model.design.layout.locations) > 1
        name, kind = ("Quantile residuals:", "quantile") if unordered else ("Pearson residuals:", "pearson")
    values = np.quantile(fit.residuals(kind), [0.0, 0.25, 0.5, 0.75, 1.0])
    cells = tuple(numbers.fixed(float(v), 4) for v in values)
    return Grid(name, ("Min", "1Q", "Median", "3Q", "Max"), (cells,), labels=0)


# --- groups ------------------------------------------------------------------------------------------------------
def _groups(fit: Fit, level: float) -> Block:
    """Standard deviations with intervals, correlations as a lower triangle beside them."""
    columns = tables.variance_components(fit, level)
    triangles = _triangles(fit)
    width = max((len(row) for row in triangles), default=0)
    header: tuple[str, ...] = (SHORT["group"], "Name", SHORT["variance"], SHORT["sd"], *interval_headings(level))
    header += ((SHORT["correlation"],) + ("",) * (width - 1)) if width else ()
    rows, before = [], None
    for i, group in enumerate(columns["group"]):
        corr = triangles[i] if group != RESIDUAL or i < len(triangles) else ()
        label = "" if group == before else printable(group, MOST_LABEL)
        rows.append((label, printable(columns["term"][i], MOST_LABEL), *_sd_cells(columns, i), *_padded(corr, width)))
        before = group
    if not rows:
        return Lines("", (_counts(fit),))
    heading = "Standard deviations within and between groups:" if fit.model.groups else "Residual standard deviation:"
    if fit.sigma is None and not fit.model.is_linear:
        heading = "Standard deviations between groups (of linear predictors):"
    return Grid(heading, header, tuple(rows), labels=2, footer=_counts(fit))


def _padded(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    return cells + ("",) * (width - len(cells))


def _sd_cells(columns: tables.Columns, i: int) -> tuple[str, str, str, str]:
    """Variance, sd and its interval, to the digits that the standard error of the sd supports."""
    sd, low, high = (float(columns[name][i]) for name in ("sd", "lower", "upper"))
    error = float(columns["std_error"][i])
    if sd == 0.0:
        return "0", "0", numbers.significant(low), numbers.significant(high)
    # a standard deviation that is known very precisely is still shown to five digits only
    shown = numbers.measured([sd, low, high], max(error, 1e-3 * sd) if np.isfinite(error) else error, 3)
    return numbers.significant(sd * sd), shown[0], shown[1], shown[2]


def _triangles(fit: Fit) -> list[tuple[str, ...]]:
    """For each row of the table of standard deviations, its correlations with the rows of its term above."""
    out: list[tuple[str, ...]] = []
    for terms in tables.terms_by_group(fit).values():
        for t in terms:
            k = len(fit.model.design.groups[t].names)
            matrix = tables.correlation_matrix(fit, t) if tables.has_correlations(fit, t) else None
            out += [() if matrix is None else tuple(_correlation(matrix[i, j]) for j in range(i)) for i in range(k)]
    return out


def _correlation(value: float) -> str:
    # 0.998 is not 1.00: only a degenerate correlation is shown as one
    return numbers.fixed(float(value), 2 if not 0.995 <= abs(value) < 1.0 - DEGENERATE else 4)


def _counts(fit: Fit) -> str:
    groups = ", ".join(f"{printable(label, MOST_LABEL)} {levels}" for label, levels in fit.model.groups.items())
    n = f"Number of obs: {numbers.count(fit.n_obs)}"
    return f"{n}, groups: {groups}" if groups else f"{n}; the formula has no grouping term"


# --- coefficients ------------------------------------------------------------------------------------------------
def _coefficients(fit: Fit, level: float) -> list[Block]:
    """One block for the locations, one for thresholds, one for each further linear predictor."""
    columns = tables.fixed_effects(fit, level)
    linear = fit.model.is_linear
    test = ("df", SHORT["statistic"]) if linear else (SHORT["z"],)
    header = ("", SHORT["estimate"], SHORT["std_error"], *test, SHORT["p_value"], *interval_headings(level))
    found: dict[str, list[tuple[str, ...]]] = {}
    for i in range(len(columns["term"])):
        found.setdefault(heading(fit, i), []).append(_coefficient(columns, i, linear))
    return [Grid(name, header, tuple(rows)) for name, rows in sorted(found.items(), key=thresholds_last)]


def heading(fit: Fit, i: int) -> str:
    """The block of a coefficient."""
    design = fit.model.design
    d = int(design.fixed_predictor[i]) if len(design.fixed_predictor) else 0
    layout = design.layout
    if design.fixed_names[i] in layout.thresholds:
        return THRESHOLDS
    if d < len(layout.locations):
        return "Regression coefficients (fixed effects):"
    name = layout.names[d]
    meaning = {p.name: p.meaning for p in fit.model.distribution.family.further}[name]
    return f"Coefficients of {name}, {meaning} ({fit.model.distribution.links[d]} link):"


THRESHOLDS = "Thresholds:"


def thresholds_last(block: tuple[str, list[tuple[str, ...]]]) -> bool:
    """Sorts blocks of coefficients."""
    return block[0] == THRESHOLDS


def _coefficient(columns: tables.Columns, i: int, with_df: bool) -> tuple[str, ...]:
    name = printable(columns["term"][i], MOST_LABEL)
    estimate, error, low, high = (float(columns[c][i]) for c in ("estimate", "std_error", "lower", "upper"))
    if np.isnan(estimate):
        return (name, numbers.MISSING, *[""] * (6 if with_df else 5))
    shown = numbers.measured([estimate, error, low, high], error)
    df, statistic = float(columns["df"][i]), float(columns["statistic"][i])
    test = (numbers.fixed(statistic, 3), numbers.probability(float(columns["p_value"][i])))
    return (name, *shown[:2], *((numbers.degrees(df),) if with_df else ()), *test, *shown[2:])


def _dispersion(fit: Fit, level: float) -> Grid:
    """The family's constants on their natural scale."""
    columns = tables.dispersion(fit, level)
    rows = []
    for i, name in enumerate(columns["parameter"]):
        values = [float(columns[c][i]) for c in ("estimate", "std_error", "lower", "upper")]
        rows.append((printable(name, MOST_LABEL), *numbers.measured(values, values[1])))
    header = ("", SHORT["estimate"], SHORT["std_error"], *interval_headings(level))
    family = fit.model.distribution.family
    parts = [f"{p.name}: {p.meaning}" for p in family.further if p.name in columns["parameter"]]
    return Grid("Further parameters of the family:", header, tuple(rows), footer="; ".join(parts))


# --- remarks -----------------------------------------------------------------------------------------------------
def _remarks(fit: Fit) -> list[Block]:
    """Warnings, notes, and how the fit came about."""
    blocks: list[Block] = []
    if fit.warnings:
        blocks.append(Lines("Warnings:", tuple(f"- {printable(w, 400)}" for w in fit.warnings)))
    if fit.notes:
        blocks.append(Lines("Notes:", tuple(f"- {note}" for note in fit.notes)))
    return [*blocks, Lines("", _how(fit))]


def _how(fit: Fit) -> tuple[str, ...]:
    if fit.sampled:
        return posterior_summary.how(fit)
    e = fit.estimates
    state = "converged" if e.converged else "NOT CONVERGED"
    if e.iterations:
        state += f" in {e.iterations} iterations (scaled gradient {e.scaled_gradient:.1e})"
    lines = (f"{state}; {numbers.elapsed(fit.seconds)}",)
    if not fit.model.is_linear:
        return (*lines, *_how_generalized(fit))
    if not fit.model.groups or e.criterion not in LIKELIHOODS:
        return lines
    sds = "profile likelihood" if e.certainty.profiles else "Wald on the log scale"
    return (*lines, f"Intervals: t with Satterthwaite's df; {sds} for Std.Dev.")


def _how_generalized(fit: Fit) -> tuple[str, ...]:
    """What the intervals rest on, and the nodes of a quadrature."""
    e = fit.estimates
    parts = ["Intervals: normal"]
    if fit.model.groups and e.criterion in LIKELIHOODS:
        parts.append(f"{'profile likelihood' if e.certainty.profiles else 'Wald on the log scale'} for Std.Dev.")
    parts += ["further parameters on their links' scales"] if e.dispersion else []
    nodes = e.notes.get("nodes")
    return ("; ".join(parts), *((f"Quadrature: {nodes} nodes for each group effect",) if nodes else ()))
