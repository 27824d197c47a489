"""No pooling, complete pooling and what lies between, side by side: ``ml.pooling(model)``.

Every level's coefficients by every estimator that applies, with standard errors and the weight of the level's own
data; and what each estimator predicts for rows (leave-one-out) and for whole groups (leave-one-group-out) that it has
not seen: in linear models in closed form at its variance components (`checks/deletion.py`), in generalized ones by
cavities and one Newton step (`checks/held_out.py`). There the estimators are complete pooling, no pooling and the
fit's approximate likelihood; a level whose rows are all alike has infinite estimates without pooling, which stay
infinite in the table, and rows that such a level declares impossible give a score of −∞.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import ConvergenceError, MultilevelError, MultilevelWarning, printable
from .logo import logo, outermost
from .loo import loo
from .score import SIMILAR, Score

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model

SINGLE = ("none", "james_stein")  # estimators for one grouping factor
WORK = 3e9  # operations that leverages of rows may cost
SHOWN = 20
EQUAL = 0.5  # elpd within which estimators count as one
PREFERRED = ("partial", "moments", "james_stein", "complete", "none")
NAMES = {
    "partial": "partial pooling", "complete": "complete pooling", "none": "no pooling", "moments": "moments",
    "james_stein": "James–Stein",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pooling:
    """Estimators of one model, compared.

    Parameters
    ----------
    group : str
        The grouping factor whose levels are compared.
    fits : dict
        Estimator → fit; ``"partial"`` is REML (Laplace in generalized models), or what was given.
    loo, logo : dict
        Estimator → score.
    reasons : dict
        Estimators that do not apply, with the reason.
    notes : tuple of str
        What has to be known to read the comparison.
    """

    group: str
    fits: dict[str, Fit]
    loo: dict[str, Score]
    logo: dict[str, Score]
    reasons: dict[str, str]
    notes: tuple[str, ...]

    @property
    def native(self) -> str:
        return self.fits["partial"].model.native

    @cached_property
    def _columns(self) -> dict[str, Any]:
        from ..variance.shrinkage import shrinkage

        partial = self.fits["partial"]
        levels, terms, n = _layout(partial, self.group)
        out: dict[str, Any] = {"level": [v for v in levels for _ in terms], "term": terms * len(levels)}
        out["n"] = np.repeat(n, len(terms))
        for name, fit in self.fits.items():
            estimate, error = _level_estimates(fit, self.group, terms)
            out[name], out[f"{name}_se"] = estimate.ravel(), error.ravel()
        weights = shrinkage(partial)
        mine = [i for i, label in enumerate(weights["group"]) if label == self.group]
        out["lambda"] = np.repeat(np.asarray(weights["lambda"], dtype=float)[mine], len(terms))
        return out

    @property
    def table(self) -> Any:
        """One row for each level and coefficient: level, term, n, then estimate and standard error by estimator."""
        return frame(self.native, self._columns)

    @property
    def scores(self) -> Any:
        """One row for each estimator, best first: elpd, difference to the best with its standard error, rmse.

        ``loo_`` columns are of new rows in known groups, ``logo_`` columns of new groups.
        """
        return frame(self.native, self._scores)

    @cached_property
    def _scores(self) -> dict[str, Any]:
        names = self._ranked
        out: dict[str, Any] = {"estimator": names}
        for kind, scores, best in (("loo", self.loo, self.best), ("logo", self.logo, self.best_new)):
            found = np.array([_against(scores.get(name), scores.get(best)) for name in names])
            for column, values in zip(("elpd", "difference", "std_error", "rmse"), found.T, strict=True):
                out[f"{kind}_{column}"] = values
        return out

    @property
    def _ranked(self) -> list[str]:
        def key(name: str) -> float:
            value = self.loo[name].elpd if name in self.loo else np.nan
            return -value if np.isfinite(value) else np.inf

        return sorted(self.fits, key=lambda name: (name != (self.best or self.best_new), key(name)))

    @property
    def best(self) -> str:
        """The estimator that predicts new rows of the known groups best (by leave-one-out)."""
        return _best(self.loo) or self.best_new

    @property
    def best_new(self) -> str:
        """The estimator that predicts new groups best (leave-one-group-out)."""
        return _best(self.logo)

    @property
    def sentence(self) -> str:
        """Which pooling predicts best, and by how much."""
        rows = _verdict("new rows of known groups", self.loo, _best(self.loo))
        groups = _verdict("new groups", self.logo, self.best_new)
        return " ".join(part for part in (rows, groups) if part)

    def summary(self) -> str:
        """Text for a terminal."""
        from ..fit.blocks import to_text

        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        from ..fit.html import to_html

        return to_html(self._blocks())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        from .base import plain

        tables = {"levels": self._columns, "scores": self._scores}
        out = {name: [dict(zip(t, row, strict=True)) for row in zip(*map(list, t.values()), strict=True)]
               for name, t in tables.items()}  # fmt: skip
        head = {"schema": "multilevel.pooling/1", "group": self.group, "best": self.best, "best_new": self.best_new}
        found: dict[str, Any] = plain({**head, **out, "not_available": self.reasons, "notes": list(self.notes)})
        return found

    def _blocks(self) -> list[Any]:
        from ..fit.blocks import Grid, Lines

        scores = Grid("Prediction of what was left out (elpd: higher is better):", SCORES, self._score_rows(), 1)
        lines = [self.sentence, *(f"Not available: {NAMES[n]} ({r})" for n, r in self.reasons.items())]
        return [self._level_grid(), scores, Lines("", (*lines, *self.notes))]

    def _level_grid(self) -> Any:
        """Estimates of the levels; of many, those that partial pooling moved most."""
        from ..fit.blocks import Grid

        c, names = self._columns, list(self.fits)
        spread, several = float(np.nanmedian(c["partial_se"])), len(set(c["term"])) > 1
        hidden = max(len(c["n"]) - SHOWN, 0)
        moved = np.abs(c["partial"] - c["none" if "none" in c else "complete"])
        order = np.sort(np.argsort(-np.where(np.isnan(moved), 0.0, moved), kind="stable")[:SHOWN])
        rows = []
        for i in order:
            term = [printable(c["term"][i], 20)] if several else []
            label = [printable(c["level"][i], 24), *term, f"{c['n'][i]:.0f}"]
            numbers = [_number(c[name][i], spread) for name in (*names, "partial_se")]
            rows.append((*label, *numbers, f"{c['lambda'][i]:.3f}"))
        shown = [name.replace("_", "-") for name in names]
        head = (printable(self.group), *(("Term",) if several else ()), "n", *shown, "SE", "own weight")
        footer = f"{hidden} more rows in .table: these moved most" if hidden else "SE: of partial pooling"
        title = f"Estimates of each {printable(self.group)}:"
        return Grid(title, head, tuple(rows), 2 if several else 1, footer)

    def _score_rows(self) -> tuple[tuple[str, ...], ...]:
        s = self._scores
        rows = []
        for i, name in enumerate(s["estimator"]):
            cells = []
            for kind in ("loo", "logo"):
                cells += [_score(s[f"{kind}_elpd"][i], 1), _difference(s, kind, i), _score(s[f"{kind}_rmse"][i], 3)]
            rows.append((NAMES[name], *cells))
        return tuple(rows)


SCORES = ("Estimator", "LOO elpd", "to best (SE)", "rmse", "LOGO elpd", "to best (SE)", "rmse")


def pooling(subject: Model | Fit, group: str | None = None, seed: int = 0) -> Pooling:
    """Complete, no and partial pooling of a model, side by side with their out-of-sample scores.

    Parameters
    ----------
    subject : Model or Fit
        A fit by ``reml``, ``ml``, ``laplace`` or ``agq`` serves as partial pooling; otherwise the model's default does.
    group : str, optional
        The grouping factor whose levels are compared; the one with the fewest levels otherwise.
    seed : int
        Without effect: everything is computed in closed form.

    Returns
    -------
    Pooling
        `.table`, `.scores`, `.best`, `.best_new`, `.sentence`; prints as text, HTML in notebooks.

    Raises
    ------
    SettingError
        For a model without group terms, or an unknown group.

    Notes
    -----
    No pooling and James–Stein know one grouping factor: with several, the others are left out of them, and a note
    says so. Scores hold each estimator's variance components where they are, and carry the uncertainty of β.

    Examples
    --------
    >>> import multilevel as ml
    >>> found = ml.pooling(ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> found.best
    'partial'
    """
    given = "estimates" in vars(subject)
    model: Model = subject.model if given else subject  # type: ignore[union-attr, assignment]
    usable = given and subject.estimator.name in ("reml", "ml", "laplace", "agq")  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        pooled = "reml" if model.is_linear and model.design.groups else None
        partial: Fit = subject if usable else model.fit(pooled)  # type: ignore[assignment]
        label = outermost(partial, group)
        fits, reasons = _others(model, label)
    fits["partial"] = partial  # after complete, none, james_stein and moments
    logos = {name: logo(fit, label) for name, fit in fits.items() if not np.isinf(fit.estimates.beta).any()}
    loos, notes = _loo_scores(fits), []
    if not loos:
        notes.append("Leave-one-out is left out: with frequency weights, or this many crossed rows, use ml.logo.")
    if len(model.groups) > 1 and any(name in fits for name in SINGLE):
        others = ", ".join(f'"{printable(g)}"' for g in model.groups if g != label)
        single = "No pooling and James–Stein take" if model.is_linear else "No pooling takes"
        notes.append(f"{single} one grouping factor: they leave out {others}." if model.is_linear
                     else f"{single} one grouping factor: it leaves out {others}.")  # fmt: skip
    if "none" in fits and (infinite := fits["none"].estimates.notes.get("infinite")):
        notes.append(f"Without pooling {len(infinite)} of {model.groups[label]} levels have infinite estimates.")
    return Pooling(label, fits, loos, logos, reasons, tuple(notes))


def _others(model: Model, label: str) -> tuple[dict[str, Fit], dict[str, str]]:
    """The other estimators' fits, and why some are not available."""
    from dataclasses import replace

    single = model
    if len(model.groups) > 1:
        kept = tuple(g for g in model.design.groups if g.label == label)
        single = model.with_design(replace(model.design, groups=kept))
    fits: dict[str, Fit] = {}
    reasons: dict[str, str] = {}
    for name in ("complete", "none", "james_stein", "moments") if model.is_linear else ("complete", "none"):
        try:
            fits[name] = (single if name in SINGLE else model).fit(name)
        except (ConvergenceError, MultilevelError, np.linalg.LinAlgError) as error:
            reasons[name] = str(error)
    return fits, reasons


def _loo_scores(fits: dict[str, Fit]) -> dict[str, Score]:
    """Leave-one-out scores where rows are observations and leverages affordable."""
    partial = fits["partial"]
    design = partial.model.design
    if design.weights is not None and design.weights_kind == "frequency":
        return {}
    factors = partial.model.products.factors if partial.model.is_linear else ()
    if len(factors) > 1:
        from ..core.pattern import pattern

        plan = pattern(partial.model.products)
        label = factors[plan.lead].label
        rows = np.bincount(next(g.codes for g in design.groups if g.label == label))
        if float(rows @ np.diff(plan.at).astype(float) ** 2) > WORK:
            return {}
    return {name: loo(fit) for name, fit in fits.items() if not np.isinf(fit.estimates.beta).any()}


def _layout(fit: Fit, group: str) -> tuple[tuple[str, ...], list[str], np.ndarray]:
    """Levels, coefficients and rows of a grouping factor."""
    mine = [g for g in fit.model.design.groups if g.label == group]
    terms = list(dict.fromkeys(name for g in mine for name in g.names))
    return mine[0].levels, terms, np.bincount(mine[0].codes, minlength=len(mine[0].levels))


def _level_estimates(fit: Fit, group: str, terms: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """β_j + b_ℓj of every level and coefficient with standard errors, (L, terms).

    A level's intercept includes what group-level predictors and the levels that contain it (the school of a class) say
    about it: no pooling cannot tell them apart.
    """
    from ..fit.estimates import Combination

    design, estimates = fit.model.design, fit.estimates
    levels = next(g.levels for g in design.groups if g.label == group)
    m = len(levels) * len(terms)
    x = np.zeros((m, len(estimates.beta)))
    codes = [np.full(m, -1, np.int32) for _ in design.groups]
    z = [np.zeros((m, len(g.names))) for g in design.groups]
    value = np.zeros(m)
    for j, term in enumerate(terms):
        rows = np.arange(len(levels)) * len(terms) + j
        if term in design.fixed_names:
            x[rows, design.fixed_names.index(term)] = 1.0
            place = design.fixed_names.index(term)
            if design.fixed_columns[place] is None:
                for j_fixed, of_level in _group_level(fit, group).items():
                    if (
                        not len(design.fixed_predictor)
                        or design.fixed_predictor[j_fixed] == design.fixed_predictor[place]
                    ):
                        x[rows, j_fixed] = of_level
            value[rows] += x[rows] @ np.nan_to_num(estimates.beta)
        for t, g in enumerate(design.groups):
            if g.label == group and term in g.names:
                codes[t][rows] = np.arange(len(levels))
                z[t][rows, g.names.index(term)] = 1.0
                value[rows] += estimates.effects[t][:, g.names.index(term)]
            elif term in g.names and (parent := _parents(fit, group, t)) is not None:
                codes[t][rows] = parent
                z[t][rows, g.names.index(term)] = 1.0
                value[rows] += estimates.effects[t][parent, g.names.index(term)]
    error = np.sqrt(estimates.certainty.spread(Combination(x, tuple(codes), tuple(z))).variance)
    return value.reshape(len(levels), -1), error.reshape(len(levels), -1)


def _parents(fit: Fit, group: str, t: int) -> np.ndarray | None:
    """The level of term t that contains each level of the grouping factor; None where they are not nested."""
    mine, other = next(g for g in fit.model.design.groups if g.label == group), fit.model.design.groups[t]
    parent = np.zeros(len(mine.levels), dtype=np.int32)
    parent[mine.codes] = other.codes
    return parent if np.array_equal(parent[mine.codes], other.codes) else None


def _group_level(fit: Fit, group: str) -> dict[int, np.ndarray]:
    """Fixed columns without variation within the levels: position → value of each level."""
    design = fit.model.design
    mine = next(g for g in design.groups if g.label == group)
    out = {}
    for j, column in enumerate(design.fixed_columns):
        if column is None:
            continue
        of_level = np.zeros(len(mine.levels))
        of_level[mine.codes] = column
        if np.array_equal(of_level[mine.codes], column):
            out[j] = of_level
    return out


# --- scores and words ------------------------------------------------------------------------------------------------
def _best(scores: dict[str, Score]) -> str:
    """The highest elpd; of equals, the first of `PREFERRED`."""
    known = {name: score.elpd for name, score in scores.items() if np.isfinite(score.elpd)}
    equal = [name for name in PREFERRED if name in known and known[name] > max(known.values()) - EQUAL]
    return equal[0] if equal else ""


def _against(score: Score | None, best: Score | None) -> tuple[float, float, float, float]:
    """elpd, difference to the best, its standard error, rmse."""
    if score is None or best is None or not np.isfinite(score.elpd):
        never = score is not None and score.elpd == -np.inf
        return (
            -np.inf if never else np.nan,
            -np.inf if never else np.nan,
            np.nan,
            score.rmse if never and score else np.nan,
        )
    if score is best:
        return score.elpd, 0.0, 0.0, score.rmse
    found = score.compare(best)
    return score.elpd, found["difference"], found["std_error"], score.rmse


def _verdict(what: str, scores: dict[str, Score], best: str) -> str:
    """One sentence: who predicts best, and the next different one."""
    known = {name: s for name, s in scores.items() if np.isfinite(s.elpd)}
    if len(known) < 2:
        return ""
    found = {name: known[best].compare(score) for name, score in known.items() if name != best}
    alike = [NAMES[n] for n, d in found.items() if d["difference"] < SIMILAR]
    apart = sorted((d["difference"], d["std_error"], n) for n, d in found.items() if d["difference"] >= SIMILAR)
    first = NAMES[best]
    text = f"{first[0].upper()}{first[1:]} predicts {what} best"
    text += f", with {' and '.join(alike)} within {SIMILAR:.0f}" if alike else ""
    return text + "".join(f"; {NAMES[n]} is {d:.1f} ± {e:.1f} behind" for d, e, n in apart) + "."


def _number(value: float, spread: float) -> str:
    from ..fit.numbers import MISSING, fixed

    places = max(0, 1 - int(np.floor(np.log10(spread)))) if spread > 0.0 and np.isfinite(spread) else 3
    if np.isinf(value):
        return "∞" if value > 0.0 else "−∞"
    return MISSING if not np.isfinite(value) else fixed(float(value), min(places, 9))


def _score(value: float, places: int) -> str:
    if value == -np.inf:
        return "−∞"
    return "–" if not np.isfinite(value) else f"{value:.{places}f}"


def _difference(scores: dict[str, Any], kind: str, i: int) -> str:
    value, error = scores[f"{kind}_difference"][i], scores[f"{kind}_std_error"][i]
    if not np.isfinite(value):
        return "–"
    return "best" if value == 0.0 else f"{value:.1f} ({error:.1f})"
