"""Effects of new groups from a few rows, without refitting.

The fit is the prior: β and the known groups' effects with their joint distribution given the variance components, and
b ~ N(0, Σ) for a group that was not in the data. New rows y = η + ε update it,

    q | y ~ N( q₀ + C V⁻¹ (y − η₀),  Q − C V⁻¹ C' ),    V = Var(η) + Var(ε),   C = Cov(q, η),

which is what fitting old and new rows together with the variance components held would give. Other families than the
normal one: the mode of η given the new rows, and the curvature there (`evidence.py`).

Reference: Gelman & Hill (2007), chapter 12; Robinson (1991) for best linear unbiased prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..data.tables import as_table
from ..errors import MissingDataError, SettingError, UnseenLevelError, listed, printable
from ..families.base import Observations
from ..fit.estimates import Combination
from ..fit.tables import check_level
from ..formula.columns import NewColumns
from ..formula.evaluate import numbers
from ..formula.groups import row_labels
from ..formula.predictors import group_terms
from ..formula.records import Rows
from ..formula.response import response_values
from ..formula.weights import modifier
from .evidence import ModeEvidence, NormalEvidence, evidence
from .linear import linear_predictors
from .new_rows import needed_for_a_response, observations, observed
from .targets import OUT, _estimate, _with_residual, matrix
from .update_draws import SampledUpdate, update_draws

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Design

MOST_ROWS = 5000


@dataclass(frozen=True, eq=False)
class GroupUpdate:
    """What new rows say about groups, given a fit.

    Parameters
    ----------
    fit : Fit
    rows : Rows
        The new rows; codes from L on are new levels, numbered as in `labels`.
    labels : dict
        Labels of the new levels of each grouping factor.
    seen : Combination
        The linear predictors of the rows.
    evidence : NormalEvidence or ModeEvidence
        What the responses say about them.
    """

    fit: Fit
    rows: Rows
    labels: dict[str, list[str]]
    seen: Combination
    evidence: NormalEvidence | ModeEvidence

    @property
    def table(self) -> Any:
        """Table of the updated effects: group, level, term, n, known, estimate, std_error, lower, upper.

        Their standard errors carry the uncertainty of β, and hold given the variance components.
        """
        return self.fit._frame(self._columns)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        from scipy.special import ndtri

        out: dict[str, list[Any]] = {name: [] for name in ("group", "level", "term", "n", "known")}
        units, first = [], []
        for t, group in enumerate(self.rows.groups):
            count = np.bincount(self.rows.groups[t].codes)
            for code in np.unique(group.codes).tolist():
                known = code < len(group.levels)
                name = group.levels[code] if known else self.labels[group.label][code - len(group.levels)]
                for j, term in enumerate(group.names):
                    units.append((t, code, j))
                    first.append(self.fit.estimates.effects[t][code, j] if known else 0.0)
                    for key, value in zip(out, (group.label, name, term, int(count[code]), known), strict=True):
                        out[key].append(value)
        mean, covariance = self._posterior(self._units(units))
        estimate, error = np.array(first) + mean, np.sqrt(np.maximum(np.diag(covariance), 0.0))
        half = float(ndtri(0.5 + self.fit.level / 2.0)) * error
        return {**out, "estimate": estimate, "std_error": error, "lower": estimate - half, "upper": estimate + half}

    def predict(self, new_data: Any, *, kind: str = "mean", interval: float = 0.95, offset: Any = None) -> Any:
        """Predictions for further rows of these (or other known) groups.

        Parameters
        ----------
        new_data : table
            Its groups were in the data of the fit or among the new rows.
        kind : {"mean", "response"}, and "linear" for generalized models
        interval : float
            Coverage of the intervals.

        Returns
        -------
        table
            ``estimate, std_error, lower, upper``; given the variance components.

        Raises
        ------
        UnseenLevelError
            For a group that neither the fit nor the new rows know.
        """
        from scipy.special import ndtri

        linear = self.fit.model.is_linear
        if kind not in ("mean", "response") and (linear or kind != "linear"):
            raise SettingError(f'unknown kind "{printable(kind)}"', hint='Use "mean" or "response".')
        check_level(interval)
        table = as_table(new_data)
        rows, _ = _read(self.fit, table, offset, self.labels)
        if not linear:
            return frame(table.native, self._generalized(table, rows, kind, interval))
        mean, covariance = self._posterior(_combination(rows))
        estimate = _prior_mean(self.fit, rows) + mean
        variance = np.maximum(np.diag(covariance), 0.0)
        if kind == "response":
            variance, _ = _with_residual(self.fit, rows, variance, np.full(len(variance), np.inf))
        half = float(ndtri(0.5 + interval / 2.0)) * np.sqrt(variance)
        columns = {"estimate": estimate, "std_error": np.sqrt(variance), "lower": estimate - half}
        return frame(table.native, {**columns, "upper": estimate + half})

    def _generalized(self, table: Any, rows: Rows, kind: str, level: float) -> dict[str, Any]:
        from .generalized import predicted_at

        obs = observations(self.fit, rows, table)
        if kind == "response":
            needed_for_a_response(self.fit, obs)
        predictors = _moving(self.fit)
        shift, covariance = self._posterior(_by_predictor(self.fit, rows, predictors))
        eta = linear_predictors(self.fit, _known(rows))
        n, d = rows.n, len(predictors)
        eta[:, predictors] += shift.reshape(d, n).T
        spread = np.zeros((n, eta.shape[1], eta.shape[1]))
        own = np.einsum("anbn->nab", covariance.reshape(d, n, d, n))
        spread[:, np.array(predictors)[:, None], predictors] = own
        return predicted_at(self.fit, obs, eta, spread, kind, level)

    def _units(self, units: list[tuple[int, int, int]]) -> Combination:
        """Single effects (term, code, coefficient) as combinations."""
        m, groups = len(units), self.rows.groups
        codes = [np.full(m, OUT, np.int32) for _ in groups]
        z = [np.zeros((m, len(g.names))) for g in groups]
        for i, (t, code, j) in enumerate(units):
            codes[t][i], z[t][i, j] = code, 1.0
        return Combination(np.zeros((m, len(self.fit.estimates.beta))), tuple(codes), tuple(z))

    def _posterior(self, wanted: Combination) -> tuple[np.ndarray, np.ndarray]:
        """Mean (less its prior mean) and covariance of combinations, given the new rows."""
        m = len(self.seen.x)
        joint = _prior_covariance(self.fit, _stacked(self.seen, wanted))
        shift, lost = self.evidence.update(joint[:m, :m], joint[m:, :m])
        return shift, joint[m:, m:] - lost


def update_groups(fit: Fit, rows: Any, *, offset: Any = None) -> GroupUpdate | SampledUpdate:
    """What a few new rows say about their groups, known or new, without refitting.

    Parameters
    ----------
    fit : Fit
        By ``reml``, ``ml`` or ``moments``; generalized models by ``laplace`` or ``agq``; or sampled: then the draws are
        weighted by how well they foretold the rows (`update_draws.py`).
    rows : table
        The columns of the formula, response and groups included; at most 5000 rows. A label that was not in the
        data is a new group of the same population.

    Returns
    -------
    GroupUpdate
        `.table` of updated effects, `.predict(new_data)`.

    Raises
    ------
    MissingDataError
        For missing values: nothing is dropped silently here.
    SettingError
        For too many rows, where refitting is the better answer, or an estimator without a joint distribution.

    Notes
    -----
    The variance components stay as they were estimated: right for a few rows, not for a tenth of the data. Draws of a
    sampled fit are updated whole.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> update = fit.update_groups({"school": ["new"] * 3, "score": [80.0, 75.0, 82.0]})
    >>> round(float(update.table["estimate"].iloc[0]), 2)
    3.59
    """
    table = as_table(rows)
    if not fit.model.design.groups:
        raise SettingError("this model has no group terms to update", hint="Add one, such as (1 | school).")
    if not 0 < table.n_rows <= MOST_ROWS:
        raise SettingError(
            f"update_groups takes 1 to {MOST_ROWS} rows, and the table has {table.n_rows}",
            hint="Refit with all rows: that costs seconds, and updates the variance components too.",
        )
    read, columns = _read(fit, table, offset, None)
    labels = _new_labels(fit, columns)
    if fit.sampled:
        return _sampled(fit, table, read, columns, labels)
    if fit.model.is_linear:
        y, _ = response_values(fit.model.design.memory.formula.response.expression, columns)  # type: ignore[arg-type]
        _refuse_missing(fit, y)
        seen = _combination(read)
        found: NormalEvidence | ModeEvidence = NormalEvidence(y - _prior_mean(fit, read), _noise(fit, read, columns))
    else:
        seen, found = _generalized_evidence(fit, table, read)
    update = GroupUpdate(fit, read, labels, seen, found)
    _ = update._columns  # what cannot be computed is said here, not when the table is looked at
    return update


def _sampled(fit: Fit, table: Any, rows: Rows, columns: NewColumns, labels: dict[str, list[str]]) -> SampledUpdate:
    """The update of a sampled fit: by weights on its draws."""
    if fit.model.is_linear:
        y, _ = response_values(fit.model.design.memory.formula.response.expression, columns)  # type: ignore[arg-type]
        _refuse_missing(fit, y)
        unit = 1.0 if fit.sigma is None else fit.sigma**2
        obs = Observations(np.asarray(y, dtype=float), precision=unit / _noise(fit, rows, columns))
    else:
        obs = observed(fit, rows, table, linear_predictors(fit, _known(rows)))
    return update_draws(fit, rows, obs, labels)


def _refuse_missing(fit: Fit, y: np.ndarray) -> None:
    missing = np.flatnonzero(~np.isfinite(y))
    if len(missing):
        raise MissingDataError(
            f'the response "{printable(fit.model.design.response_name)}" is missing in {len(missing)} rows '
            f"(first row {missing[0]})",
            hint="Give update_groups the rows whose response is known, and predict the others.",
        )


# --- generalized models ------------------------------------------------------------------------------------------
def _generalized_evidence(fit: Fit, table: Any, rows: Rows) -> tuple[Combination, ModeEvidence]:
    """The linear predictors of the rows, and what their responses say about them."""
    predictors = _moving(fit)
    if rows.n * len(predictors) > MOST_ROWS:
        raise SettingError(
            f"{rows.n} rows of {len(predictors)} linear predictors are more than update_groups takes",
            hint="Refit with all rows: that updates the variance components too.",
        )
    seen = _by_predictor(fit, rows, predictors)
    prior = _prior_covariance(fit, seen)
    eta = linear_predictors(fit, _known(rows))
    obs = observed(fit, rows, table, eta)
    return seen, evidence(fit.model.distribution, obs, eta, predictors, prior)


def _moving(fit: Fit) -> list[int]:
    """Predictors that have coefficients; constants stay as they were estimated."""
    design = fit.model.design
    return sorted({*np.unique(design.fixed_predictor).tolist(), *(g.predictor for g in design.groups)})


def _by_predictor(fit: Fit, rows: Rows, predictors: list[int]) -> Combination:
    """The combinations of each predictor, one block of rows after the other."""
    owner = fit.model.design.fixed_predictor
    whole, out = _combination(rows), None
    for d in predictors:
        z = tuple(z if g.predictor == d else np.zeros_like(z) for z, g in zip(whole.z, rows.groups, strict=True))
        mine = Combination(np.where(owner == d, whole.x, 0.0), whole.codes, z)
        out = mine if out is None else _stacked(out, mine)
    assert out is not None
    return out


def _known(rows: Rows) -> Rows:
    """Rows whose new levels have no effect."""
    groups = []
    for g in rows.groups:
        groups.append(replace(g, codes=np.where(g.codes < len(g.levels), g.codes, OUT).astype(np.int32)))
    return replace(rows, groups=tuple(groups))


# --- reading -----------------------------------------------------------------------------------------------------
def _read(fit: Fit, table: Any, offset: Any, allowed: dict[str, list[str]] | None) -> tuple[Rows, NewColumns]:
    """Columns of new rows with codes from L on for new levels: those that occur, or those `allowed`."""
    design = fit.model.design
    rows = design.rebuild(table, groups=True, unseen="mark", missing="error", offset=offset)
    columns = NewColumns(table, design.memory)
    labels = _new_labels(fit, columns) if allowed is None else allowed
    groups = []
    for group, term in zip(rows.groups, _term_levels(design), strict=True):
        codes, place = group.codes.copy(), {v: i for i, v in enumerate(labels[group.label])}
        new = np.flatnonzero(codes < 0)
        found = row_labels(term, columns) if len(new) else []
        unknown = dict.fromkeys(found[i] for i in new if found[i] not in place)
        if unknown:
            raise UnseenLevelError(
                f'group "{printable(group.label)}": {listed(list(unknown))} in neither the fit nor the new rows',
                code="E_UNSEEN_GROUP",
                hint='Give update_groups rows of this group, or predict it with target="new_group".',
                group=group.label,
            )
        codes[new] = [len(group.levels) + place[found[i]] for i in new]
        groups.append(replace(group, codes=codes))
    return replace(rows, groups=tuple(groups)), columns


def _term_levels(design: Design) -> list[tuple[str, ...]]:
    """The columns of every term's levels, of all predictors."""
    return [term.levels for _, _, term in group_terms(design.memory.formula, design.layout)]


def _new_labels(fit: Fit, columns: NewColumns) -> dict[str, list[str]]:
    """Labels of levels that were not in the data, by grouping factor, in order of appearance."""
    design, out = fit.model.design, {}
    for term, group in zip(_term_levels(design), design.groups, strict=True):
        known = set(group.levels)
        out[group.label] = [v for v in dict.fromkeys(row_labels(term, columns)) if v not in known]
    return out


def _combination(rows: Rows) -> Combination:
    return Combination(
        matrix(rows.fixed_columns, rows.n),
        tuple(g.codes for g in rows.groups),
        tuple(matrix(g.columns, rows.n) for g in rows.groups),
    )


def _stacked(a: Combination, b: Combination) -> Combination:
    return Combination(
        np.concatenate([a.x, b.x]),
        tuple(np.concatenate(pair) for pair in zip(a.codes, b.codes, strict=True)),
        tuple(np.concatenate(pair) for pair in zip(a.z, b.z, strict=True)),
    )


def _prior_mean(fit: Fit, rows: Rows) -> np.ndarray:
    """η at the fit: new groups are expected at zero."""
    combination = _combination(rows)
    codes = (np.where(c < len(g.levels), c, OUT) for c, g in zip(combination.codes, rows.groups, strict=True))
    return _estimate(fit, rows, Combination(combination.x, tuple(codes), combination.z))


def _prior_covariance(fit: Fit, combination: Combination) -> np.ndarray:
    """What the fit does not know of β and known effects, and Σ for rows of the same new level."""
    sizes = [len(g.levels) for g in fit.model.design.groups]
    known = tuple(np.where(c < size, c, OUT).astype(np.int32) for c, size in zip(combination.codes, sizes, strict=True))
    out = fit.estimates.certainty.covariance(Combination(combination.x, known, combination.z))
    for code, size, z, covariance in zip(
        combination.codes, sizes, combination.z, fit.estimates.covariances, strict=True
    ):
        new = np.flatnonzero(code >= size)
        same = code[new, None] == code[None, new]
        out[np.ix_(new, new)] += np.where(same, z[new] @ covariance @ z[new].T, 0.0)
    return out


def _noise(fit: Fit, rows: Rows, columns: NewColumns) -> np.ndarray:
    """Var ε of the new rows."""
    if fit.sigma is None:
        call = modifier(fit.model.design.memory.formula, "se")
        assert call is not None
        return np.asarray(numbers(call.arguments[0], columns)) ** 2
    weights = np.ones(rows.n) if rows.weights is None else rows.weights
    if fit.model.design.weights is not None and rows.weights is None:
        raise SettingError("the model has weights, and the new rows have none", hint="Add the weights column.")
    return np.asarray(fit.sigma**2 / weights)
