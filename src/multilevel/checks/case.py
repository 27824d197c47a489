"""One fit under examination: what several checks need of it, computed once.

case.fit, case.adjusted        the fit, and products with P̃ at its variances
case.studentized               residuals over their own standard deviation
case.predictors                numeric columns that enter the fixed part as they are
case.unused                    columns of the data that the formula does not mention
case.effects                   group effects over the standard deviation that shrinkage leaves them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.tables import Table, as_table
from ..errors import MultilevelError, SettingError, nearest, printable
from ..formula.formula import Term
from .adjusted import Adjusted, Sums

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Design
    from ..model.model import Model

UNPOOLED = ("none", "within")
SLOW = 2.0  # seconds of one factorisation beyond which checks that need it are left out
ROWS = 2_000_000  # beyond it residuals of replicates are left out
WORK = 3e9  # operations that leverages of crossed rows may cost
CANDIDATES = 60  # unused columns looked at


@dataclass(frozen=True, eq=False)
class Effects:
    """Standardised effects of one coefficient: z_ℓ = b̂_ℓ / sd(b̂_ℓ), Var b̂_ℓ = Σ_kk − C_ℓ,kk.

    `weight` is Var b̂_ℓ / Σ_kk: how much of the level's own effect is seen (0 all shrunk away, 1 all there).
    """

    label: str
    term: str
    levels: tuple[str, ...]
    z: np.ndarray
    weight: np.ndarray
    sd: float


@dataclass(frozen=True, eq=False)
class Look:
    """What one response of a generalized model and its fit show; of several, each with one more axis for the draws.

    Parameters
    ----------
    residuals : (n,) randomised quantile residuals
    pearson : Σ (y − μ̂)²/Var
    zeros : rows with y = 0 beyond the expected number
    effects : standardised effects of every coefficient that is seen
    """

    residuals: np.ndarray
    pearson: np.ndarray
    zeros: np.ndarray
    effects: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Unused:
    """A column of the data that the formula does not mention, for the rows used.

    `codes` are its levels (−1 where missing), or None where it cannot group; `numbers` NaN where missing, or None.
    """

    name: str
    kind: str
    codes: np.ndarray | None
    labels: int
    numbers: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Case:
    """A fit under examination.

    Parameters
    ----------
    fit : Fit
    seed : int
    data : table, optional
        The data, for columns that the formula does not mention; the model's own table if it keeps it.
    """

    fit: Fit
    seed: int = 0
    data: Any = None
    skipped: list[str] = field(default_factory=list)  # reasons, collected while checks are made

    def __post_init__(self) -> None:
        if self.fit.estimator.name in UNPOOLED:
            raise SettingError(
                f'checks need a model of the groups, and "{self.fit.estimator.name}" has none',
                hint='Fit with "reml", "ml", "moments" or "james_stein".',
            )

    @property
    def model(self) -> Model:
        return self.fit.model

    @property
    def design(self) -> Design:
        return self.fit.model.design

    @cached_property
    def adjusted(self) -> Adjusted:
        return Adjusted(self.fit, self.seed)

    @cached_property
    def solvable(self) -> bool:
        """Whether products with P̃ are affordable and exact; the reason is noted otherwise."""
        if self.fit.sigma == 0.0 or not np.all([np.isfinite(c).all() for c in self.fit.estimates.covariances]):
            return self._skip("residual checks: the fit leaves no residual variance, or has no covariances")
        if self.design.n > ROWS or self.adjusted.seconds > SLOW:
            return self._skip(f"residual checks: {self.design.n} rows would take long; check a sample of the groups")
        if not self.adjusted.exact:
            return self._skip("residual checks: the fixed columns are nearly collinear; rescale or centre them")
        return True

    @cached_property
    def by_row(self) -> bool:
        """Whether rows are observations of their own (not sums of equal ones)."""
        if self.design.weights is not None and self.design.weights_kind == "frequency":
            return self._skip("residuals row by row: with frequency weights a row stands for several observations")
        return self.solvable

    @cached_property
    def shaped(self) -> bool:
        """Whether a row's residual has a size: that of a yes or no is all chance."""
        return True

    def _skip(self, reason: str) -> bool:
        self.skipped.append(reason)
        return False

    # --- simulated and fitted again: only generalized models need it -----------------------------------------------
    @cached_property
    def look(self) -> Look | None:
        """The observed response as replicates are looked at."""
        return None

    @cached_property
    def null(self) -> Look | None:
        """Replicated responses; None where P̃ has the null distributions, or where they are too dear."""
        return None

    # --- residuals ---------------------------------------------------------------------------------------------
    @cached_property
    def reference(self) -> np.ndarray:
        """x'β̂ of the location."""
        return np.asarray(self.fit.predict(target="reference", interval=None)["estimate"], dtype=float)

    @cached_property
    def standardized(self) -> np.ndarray:
        """√w (y − Xβ̂ − Zb̂) / σ̂."""
        adjusted = self.adjusted
        return np.asarray(adjusted.residual / np.sqrt(adjusted.w * adjusted.sigma2))

    @cached_property
    def replicated(self) -> np.ndarray:
        """The same of simulated responses, (n, draws), over the root of the mean of 1 − leverage."""
        adjusted = self.adjusted
        return np.asarray(adjusted.null / np.sqrt(adjusted.w * adjusted.sigma2 * adjusted.spare)[:, None])

    @cached_property
    def studentized(self) -> np.ndarray:
        """Standardised residuals over √(1 − h_i); with crossed groups and many rows h_i only for the large ones."""
        s = self.standardized
        if self._leverages_are_cheap():
            return np.asarray(s / np.sqrt(np.maximum(1.0 - self._leverages(), 1e-10)))
        out = s / np.sqrt(self.adjusted.spare)
        rows = np.argsort(-np.abs(s))[:200]
        rows = rows[np.abs(s[rows]) > 3.0]
        if len(rows):
            unit = np.zeros((len(s), len(rows)))
            unit[rows, np.arange(len(rows))] = 1.0
            own = self.adjusted.apply(unit)[rows, np.arange(len(rows))] / self.adjusted.w[rows]
            out[rows] = s[rows] / np.sqrt(np.maximum(own, 1e-10))
        return np.asarray(out)

    def _leverages_are_cheap(self) -> bool:
        if self.fit.estimator.name not in ("reml", "ml", "complete"):
            return False
        elimination = self.adjusted.elimination
        one = len(self.adjusted.products.factors) < 2
        return one or self.design.n * (elimination.pattern.nt**2 + elimination.q) < WORK

    def _leverages(self) -> np.ndarray:
        """h_i = w_i Var(x'(β̂ − β) + z'(b̂ − b)) / σ²."""
        error = np.asarray(self.fit.predict(parameters=False)["std_error"], dtype=float)
        return np.asarray(self.adjusted.w * error**2 / self.adjusted.sigma2)

    # --- group effects -------------------------------------------------------------------------------------------
    @cached_property
    def effects(self) -> list[Effects]:
        """Standardised effects of every coefficient with a variance."""
        if self.fit.estimator.name == "complete":
            return []
        out = []
        conditional = self.fit.effect_covariances if self.design.groups else ()
        for group, covariance, effects, own in zip(
            self.design.groups, self.fit.estimates.covariances, self.fit.estimates.effects, conditional, strict=True
        ):
            for j, name in enumerate(group.names):
                variance = float(covariance[j, j])
                seen = variance - own[:, j, j]
                use = seen > 1e-6 * variance
                if variance > 0.0 and use.sum() >= 3:
                    levels = tuple(np.array(group.levels, dtype=object)[use])
                    z = effects[use, j] / np.sqrt(seen[use])
                    out.append(Effects(group.label, name, levels, z, seen[use] / variance, variance**0.5))
        return out

    # --- columns -------------------------------------------------------------------------------------------------
    @cached_property
    def sums(self) -> dict[str, Sums]:
        """Sums by level of each grouping factor."""
        return {g.label: s for g, s in zip(self.design.groups, self.adjusted.sums, strict=True)}

    @cached_property
    def predictors(self) -> dict[str, np.ndarray]:
        """Numeric columns of the data that enter the fixed part as they are, by name."""
        plain = {name for term in self.model.formula.fixed.terms for name in _column_name(term)}
        pairs = zip(self.design.fixed_names, self.design.fixed_columns, strict=True)
        return {name: column for name, column in pairs if column is not None and name in plain}

    @cached_property
    def table(self) -> Table | None:
        """The data: what was handed over, or what the model keeps."""
        source = self.data if self.data is not None else vars(self.model).get("table")
        if source is None:
            self._skip("columns that the formula does not mention: the fit does not hold its data; give data=…")
            return None
        table = as_table(source)
        if table.n_rows != self.design.n_rows_given:
            if self.data is not None:
                raise SettingError(
                    f"data has {table.n_rows} rows and the model was given {self.design.n_rows_given}",
                    hint="Give the table that the model was made of.",
                )
            self._skip("columns that the formula does not mention: the data changed since the model was made")
            return None
        return table

    @cached_property
    def unused(self) -> list[Unused]:
        """Columns that the formula does not mention and that can be read."""
        if self.table is None:
            return []
        names = [n for n in dict.fromkeys(self.table.names) if n and n not in self.design.variables]
        names = [n for n in names if self.table.names.count(n) == 1]
        if len(names) > CANDIDATES:
            self._skip(f"unused columns after the first {CANDIDATES} of {len(names)}")
        return list(self._read(self.table, names[:CANDIDATES]))

    def _read(self, table: Table, names: list[str]) -> Iterator[Unused]:
        table.fetch(names)
        for name in names:
            kind = table.kind(name)
            if kind not in ("numeric", "boolean", "text", "category"):
                continue
            try:
                numbers = self._kept(table.numbers(name)) if kind in ("numeric", "boolean") else None
            except MultilevelError:  # a mixture of numbers and text: neither one nor the other
                continue
            if numbers is not None and np.isinf(numbers).any():
                continue
            whole = kind != "numeric" or (numbers is not None and _whole(numbers))
            codes, labels = _compact(self._kept(table.factor(name).codes)) if whole else (None, 0)
            yield Unused(name, kind, codes, labels, numbers)

    def _kept(self, values: np.ndarray) -> np.ndarray:
        return values if self.design.kept is None else values[self.design.kept]

    def column(self, name: str) -> np.ndarray:
        """The numbers of a column of the data, for the rows used.

        Raises
        ------
        SettingError
            When the fit does not hold its data, or has no such column.
        """
        if name in self.predictors:
            return self.predictors[name]
        if self.table is None:
            raise SettingError(f'the fit does not hold the column "{printable(name)}"', hint="Give data=… as well.")
        if name not in self.table:
            raise SettingError(f'no column "{printable(name)}" in the data', hint=nearest(name, self.table.names))
        if self.table.kind(name) in ("numeric", "boolean"):
            return self._kept(self.table.numbers(name))
        return self._kept(self.table.factor(name).codes).astype(float)  # dates, ordered categories: their order


def _column_name(term: Term) -> list[str]:
    """The name of a term that is a column as it stands; nothing for products and functions."""
    factors = list(term.factors)
    return [name.name for name in factors[0].names()] if len(factors) == 1 and not factors[0].children() else []


def _whole(values: np.ndarray) -> bool:
    present = values[~np.isnan(values)]
    return bool(len(present) and np.all(present == np.floor(present)))


def _compact(codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes renumbered over the levels that occur."""
    present = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=1))
    number = np.full(int(codes.max(initial=0)) + 2, -1, dtype=np.int32)
    number[present] = np.arange(len(present), dtype=np.int32)
    return number[codes], len(present)  # code −1 reads the last entry, which is −1
