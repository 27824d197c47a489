"""Models of the same rows side by side: information criteria, nested tests, and how well each predicts.

    AIC, BIC            marginal: new rows of new groups            −2 log L + (2, log n) × parameters
    weight              Akaike weights, exp(−Δ/2) over their sum
    cAIC                conditional: new rows of the same groups    `conditional_aic.py`
    LOO, LOGO           expected log predictive density of rows and of groups left out, with standard errors
    LR                  against the largest of the other models that is a special case

and of sampled fits: p_loo as effective parameters, weights for averaging their predictions (`stacking.py`), and the log
evidence log p(y) where the sampler found it and every prior is proper, with Bayes factors against the best.

Families of one response compare where all give densities or all probabilities (gamma, lognormal and normal; Poisson and
negative binomial). Likelihood-ratio tests stay within a family and link.

Restricted likelihoods compare only under one fixed part: REML fits with different ones enter AIC, BIC and tests by
maximum likelihood, with a note. cAIC and leave-out scores are those of the fits as they were given.

References: Burnham & Anderson (2002), section 2.9; Vehtari, Gelman & Gabry (2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import MultilevelError, SettingError, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.html import to_html
from ..model.describe import formula_text
from .averages import AVERAGES, averages, of_few_rows, of_other_groups, of_weights
from .conditional_aic import conditional_aic
from .criterion import is_likelihood, is_reml
from .lrt import LRT, criterion_parameters, lrt, plain_deviance
from .nested import difference, same_data
from .variants import variant

if TYPE_CHECKING:
    from ..fit.fit import Fit

SIMILAR = 4.0  # differences of elpd below which models predict alike
COLUMNS = (
    "model", "estimator", "n_parameters", "log_likelihood", "aic", "delta_aic", "weight", "bic", "effective_parameters",
    "caic", "delta_caic", "loo", "loo_difference", "loo_se", "logo", "logo_difference", "logo_se",
    "against", "statistic", "df", "p_value",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models ranked, best AIC first (best leave-one-out score where AIC is not defined).

    Parameters
    ----------
    columns : dict
        The table, name to values.
    tests : tuple of (int, int, LRT)
        Nested tests: places of the smaller and larger model in the table.
    criterion : {"ML", "REML"}
    group : str
        The factor whose levels LOGO leaves out; empty without groups.
    notes : tuple of str
    """

    columns: dict[str, Any]
    tests: tuple[tuple[int, int, LRT], ...]
    criterion: str
    group: str
    notes: tuple[str, ...] = ()
    native: str = "pandas"

    @property
    def table(self) -> Any:
        """Table with one row a model; differences are to the best (`loo_se`, `logo_se` are those of differences)."""
        return frame(self.native, self.columns)

    @property
    def best(self) -> str:
        """The model with the least AIC."""
        return str(self.columns["model"][0])

    @cached_property
    def sentence(self) -> str:
        """What the comparison says."""
        return _sentence(self)

    def _blocks(self) -> list[Block]:
        fit_part = ("n_parameters", "log_likelihood", "aic", "delta_aic", "weight", "bic")
        heads: tuple[str, ...] = ("parameters", "logLik", "AIC", "Δ", "weight", "BIC")
        blocks: list[Block] = []
        if self._any("aic") or not self._any("stacking"):
            blocks.append(self._grid(f"Fit to the data ({self.criterion}):", fit_part, heads))
        unit = f"LOGO by {printable(self.group, 30)}" if self.group else "LOGO"
        scores = [f"{name}{part}" for name in ("loo", "logo") for part in ("", "_difference", "_se")]
        predicts = ("effective_parameters", "caic", *scores)
        heads = ("effective", "cAIC", "LOO", "Δ", "±", unit, "Δ", "±")
        blocks.append(self._grid("Prediction (same groups, left-out rows, left-out groups):", predicts, heads))
        shown = [name for name in AVERAGES if self._any(name)]
        if shown:
            blocks.append(self._grid("Weights for averaging predictions:", shown, [AVERAGES[name] for name in shown]))
        lines = [f"{large} against {small}: with {test.statement}" for small, large, test in self._named()]
        return [*blocks, Lines("", (self.sentence, *lines, *self.notes))]

    def _any(self, name: str) -> bool:
        return bool(np.isfinite(np.asarray(self.columns.get(name, np.nan), dtype=float)).any())

    def _named(self) -> list[tuple[str, str, LRT]]:
        names = [printable(name) for name in self.columns["model"]]
        return [(names[small], names[large], test) for small, large, test in self.tests]

    def _grid(self, title: str, keys: Sequence[str], heads: Sequence[str]) -> Grid:
        cells = [[_cell(key, self.columns[key][i]) for key in keys] for i in range(len(self.columns["model"]))]
        rows = [(printable(m, 70), *row) for m, row in zip(self.columns["model"], cells, strict=True)]
        return Grid(title, ("", *heads), tuple(rows))

    def summary(self) -> str:
        """Both tables and what follows from them, as text."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        n = len(self.columns["model"])
        rows = [{name: _plain(values[i]) for name, values in self.columns.items()} for i in range(n)]
        tests = [{"small": small, "large": large, **test.to_dict()} for small, large, test in self._named()]
        return {
            "criterion": self.criterion, "group": self.group, "best": self.best, "models": rows, "tests": tests,
            "sentence": self.sentence, "notes": list(self.notes),
        }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _cell(key: str, value: float) -> str:
    if value != value:
        return ""
    if key == "n_parameters":
        return str(int(value))
    if key == "bayes_factor":
        return f"{value:.3g}"
    if key in ("weight", "stacking", "pseudo_bma"):
        return numbers.fixed(float(value), 3)
    return numbers.criterion(float(value))


def compare(
    *fits: Fit, names: Sequence[str] | None = None, group: str | None = None, method: str = "auto", seed: int = 0
) -> Comparison:
    """Compare fits of the same rows.

    Parameters
    ----------
    fits : Fit
        Two or more, or a list of them.
    names : sequence of str, optional
        One for each fit; their formulas otherwise.
    group : str, optional
        The grouping factor that LOGO leaves out; otherwise the one with the fewest levels among the models' factors.
    method, seed :
        Of the likelihood-ratio tests, as for `lrt`; by default, several variances at once are tested against the
        chi-square that bounds their p-value (``method="bootstrap"`` refits).

    Returns
    -------
    Comparison

    Raises
    ------
    SettingError
        For fits of different rows or responses (E_NOT_COMPARABLE).

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.compare import compare
    >>> data = ml.datasets.load("classes")
    >>> found = compare(ml.fit("score ~ ses + (1 | school)", data), ml.fit("score ~ ses + (ses | school)", data))
    >>> found.best
    'score ~ ses + (ses | school)'
    """
    if len(fits) == 1 and isinstance(fits[0], list | tuple):
        fits = tuple(fits[0])
    if len(fits) < 2:
        raise SettingError("compare needs two or more fits", hint="compare(fit_1, fit_2, …).")
    same_data([fit.model for fit in fits])
    labels = _labels(fits, names)
    reml, notes = _restricted(fits)
    columns: dict[str, Any] = {"model": labels, "estimator": [fit.estimator.name for fit in fits]}
    columns.update(_marginal(fits, reml))
    columns.update(_conditional(fits))
    label = group if group is not None else _outermost(fits)
    scores, each, more = _scores(fits, label)
    columns.update(scores)
    kept: tuple[str, ...] = COLUMNS
    if any(fit.sampled for fit in fits):
        columns.update(averages(fits, each, seed))
        known = [math.nan if s is None else s.p_loo for s in each]
        columns["effective_parameters"] = np.where(np.isfinite(known), known, columns["effective_parameters"])
        more, kept = [*more, *of_few_rows(fits), *of_weights(each, labels)], (*COLUMNS, *AVERAGES)
    tests, against = _tests(fits, columns, method, seed)
    columns.update(against)
    order = _order(columns)
    place = {old: new for new, old in enumerate(order)}
    ranked = {name: _taken(columns[name], order) for name in kept}
    moved = tuple((place[small], place[large], test) for small, large, test in tests)
    return Comparison(ranked, moved, "REML" if reml else "ML", label, (*notes, *more), fits[0].model.native)


def _labels(fits: Sequence[Fit], names: Sequence[str] | None) -> list[str]:
    if names is not None:
        if len(names) != len(fits):
            raise SettingError(f"{len(names)} names for {len(fits)} fits", hint="Give one name for each fit.")
        return [str(name) for name in names]
    found = [formula_text(fit.model) for fit in fits]
    if len({fit.model.family for fit in fits}) > 1:
        found = [f"{fit.model.family}: {text}" for text, fit in zip(found, fits, strict=True)]
    if len(set(found)) < len(found):
        found = [f"{text} by {fit.estimator.name}" for text, fit in zip(found, fits, strict=True)]
    return [text if found.count(text) == 1 else f"{text} #{i + 1}" for i, text in enumerate(found)]


def _restricted(fits: Sequence[Fit]) -> tuple[bool, tuple[str, ...]]:
    """Whether the restricted likelihoods compare, and what is refitted if not."""
    restricted = [fit for fit in fits if is_reml(fit)]
    if not restricted:
        return False, ()
    others = [fit for fit in fits if not is_reml(fit) and _comparable(fit) and fit.model.design.groups]
    others += [fit for fit in fits if not fit.model.is_linear]
    mixed = any(fit.estimator.name != "complete" or not fit.model.is_linear for fit in others)
    if not mixed and all(_same_fixed(restricted[0], fit) for fit in fits):
        return True, ()
    why = "fits by maximum likelihood stand beside them" if mixed else "their fixed parts differ"
    return False, (f"REML fits enter AIC, BIC and tests by maximum likelihood: {why}.",)


def _same_fixed(a: Fit, b: Fit) -> bool:
    if not (a.model.is_linear and b.model.is_linear):
        return False
    bare = [variant(fit.model, groups=()) for fit in (a, b)]
    try:
        return difference(*bare).fixed == 0
    except SettingError:
        return False


def _comparable(fit: Fit) -> bool:
    """Whether the fit has a likelihood that information criteria are about."""
    return is_likelihood(fit) or fit.estimator.name == "complete"


def _marginal(fits: Sequence[Fit], reml: bool) -> dict[str, np.ndarray]:
    """Log-likelihood and criteria of those fits that maximise one."""
    known = [_comparable(fit) for fit in fits]
    deviance = np.array([plain_deviance(f, reml) if ok else math.nan for f, ok in zip(fits, known, strict=True)])
    k = np.array([criterion_parameters(fit) for fit in fits])
    aic = deviance + 2.0 * k
    delta = aic - np.nanmin(aic) if any(known) else aic
    weight = np.exp(-0.5 * delta)
    return {
        "n_parameters": k,
        "log_likelihood": -0.5 * deviance,
        "aic": aic,
        "delta_aic": delta,
        "weight": weight / np.nansum(weight) if any(known) else weight,
        "bic": deviance + math.log(fits[0].n_obs) * k,
    }


def _conditional(fits: Sequence[Fit]) -> dict[str, np.ndarray]:
    found = [conditional_aic(fit) if _comparable(fit) else None for fit in fits]
    effective = [math.nan if c is None else c.effective + c.correction for c in found]
    caic = np.array([math.nan if c is None else c.value for c in found])
    best = np.nanmin(caic) if np.isfinite(caic).any() else math.nan
    return {"effective_parameters": np.array(effective), "caic": caic, "delta_caic": caic - best}


# --- prediction --------------------------------------------------------------------------------------------------
def _outermost(fits: Sequence[Fit]) -> str:
    """The factor with the fewest levels; empty without groups."""
    sizes = {label: levels for fit in fits for label, levels in fit.model.groups.items()}
    return min(sizes, key=lambda label: sizes[label]) if sizes else ""


def _scores(fits: Sequence[Fit], group: str) -> tuple[dict[str, np.ndarray], list[Any], list[str]]:
    """Leave-out scores with differences to the best and the standard errors of these; the scores of rows themselves."""
    out: dict[str, np.ndarray] = {}
    notes: list[str] = []
    rows: list[Any] = []
    for name in ("loo", "logo"):
        each = [_score(name, fit, group, fits, notes) for fit in fits]
        rows = each if name == "loo" else rows
        totals = np.array([math.nan if s is None else s.elpd for s in each])
        out[name] = totals
        best = each[int(np.nanargmax(totals))] if np.isfinite(totals).any() else None
        pairs = [(math.nan, math.nan) if s is None or best is None else _against(s, best) for s in each]
        out[f"{name}_difference"] = np.array([p[0] for p in pairs])
        out[f"{name}_se"] = np.array([p[1] for p in pairs])
    return out, rows, list(dict.fromkeys(notes))


def _against(score: Any, best: Any) -> tuple[float, float]:
    if score is best:
        return 0.0, 0.0
    found = score.compare(best)
    return found["difference"], found["std_error"]


def _score(name: str, fit: Fit, group: str, fits: Sequence[Fit], notes: list[str]) -> Any:
    """A leave-out score, or None with the reason noted."""
    from ..checks.logo import logo
    from ..checks.loo import loo

    try:
        if name == "loo":
            return loo(fit)
        if not group:
            return None
        if fit.sampled and group not in fit.model.groups:
            return of_other_groups(fit, group, fits)
        found = logo(_with_factor(fit, group, fits), group)
    except (MultilevelError, np.linalg.LinAlgError) as error:
        notes.append(f"{name.upper()} of {formula_text(fit.model)}: {error}")
        return None
    if not math.isfinite(found.elpd):
        notes.append(f"LOGO of {formula_text(fit.model)}: {found.reason}")
        return None
    return found


def _with_factor(fit: Fit, group: str, fits: Sequence[Fit]) -> Fit:
    """The fit itself; a regression without groups as complete pooling of the factor that another model has."""
    if group in fit.model.groups or fit.model.design.groups:
        return fit
    term = next((g for other in fits for g in other.model.design.groups if g.label == group), None)
    if term is None:
        return fit
    intercept = replace(term, names=("Intercept",), columns=(None,), scale="diagonal", options=())
    model = variant(fit.model, groups=(intercept,))
    return type(fit)(model, fit.estimator, _complete(model), 0.0, ())


def _complete(model: Any) -> Any:
    from ..registry import make_estimator

    return make_estimator("complete", {}).estimate(model)


# --- tests -------------------------------------------------------------------------------------------------------
def _tests(
    fits: Sequence[Fit], columns: dict[str, Any], method: str, seed: int
) -> tuple[list[tuple[int, int, LRT]], dict[str, Any]]:
    """Each model against the largest of the others that is nested in it."""
    size = columns["n_parameters"]
    tests: list[tuple[int, int, LRT]] = []
    for large, fit in enumerate(fits):
        smaller = sorted((i for i in range(len(fits)) if size[i] < size[large]), key=lambda i: -size[i])
        for small in smaller:
            if not (_comparable(fit) and _comparable(fits[small])):
                continue
            try:
                chosen = _without_refits(fits[small], fit) if method == "auto" else method
                tests.append((small, large, lrt(fits[small], fit, chosen, seed=seed)))
                break
            except SettingError:
                continue
    n, nan = len(fits), math.nan
    against, rows = [""] * n, {name: np.full(n, nan) for name in ("statistic", "df", "p_value")}
    for small, large, test in tests:
        against[large] = columns["model"][small]
        rows["statistic"][large], rows["df"][large], rows["p_value"][large] = test.statistic, test.df, test.p_value
    return tests, {"against": against, **rows}


def _without_refits(small: Fit, large: Fit) -> str:
    """The default method, but a bound where it would be the bootstrap: a table should not take a thousand refits."""
    more = lrt(small, large, "chi2").difference
    return "chi2" if more.structured or more.variances > 1 else "auto"


def _order(columns: dict[str, Any]) -> list[int]:
    """Best AIC first, then by leave-one-out."""
    aic, loo = columns["aic"], columns["loo"]
    keys = [(math.isnan(a), 0.0 if math.isnan(a) else a, math.isnan(s), -s) for a, s in zip(aic, loo, strict=True)]
    return sorted(range(len(keys)), key=lambda i: keys[i])


def _taken(values: Any, order: Sequence[int]) -> Any:
    return [values[i] for i in order] if isinstance(values, list) else values[list(order)]


def _sentence(found: Comparison) -> str:
    """Which model each question prefers."""
    names = [printable(name, 70) for name in found.columns["model"]]
    parts = []
    questions = (("aic", "AIC", -1), ("caic", "cAIC", -1), ("loo", "rows left out", 1), ("logo", "groups left out", 1))
    for key, words, sign in questions:
        values = sign * np.asarray(found.columns[key], dtype=float)
        if np.isfinite(values).sum() > 1:
            best = int(np.nanargmax(values))
            close = key in ("loo", "logo") and _next(found.columns[f"{key}_difference"], best) > -SIMILAR
            parts.append(f"{words}: {names[best]}{' (others are similar)' if close else ''}")
    return "Preferred by " + "; ".join(parts) + "." if parts else "Nothing to rank the models by."


def _next(differences: np.ndarray, best: int) -> float:
    others = np.delete(np.asarray(differences, dtype=float), best)
    return float(np.nanmax(others)) if np.isfinite(others).any() else -math.inf
