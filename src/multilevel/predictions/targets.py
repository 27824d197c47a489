"""Predictions with named targets, never confused:

    conditional   this group: x'β̂ + z'b̂, for groups that were in the data (an unseen one is an error)
    new_group     another group of the same population: mean x'β̂, variance with z'Σz
    reference     a group whose effects are zero: x'β̂
    marginal      the average over the population of groups (equal to the reference under the identity link)

`kind="mean"` (or `"linear"`, the same under the identity link) is the expected response, `kind="response"` a single
new observation, whose interval holds the residual variance too. Intervals carry the uncertainty of β and b, and by
default that of the variance components: as extra variance (Kackar & Harville 1984) and as degrees of freedom
(Satterthwaite 1946).

Other families than the normal one: `generalized.py`; sampled fits: `from_draws.py`. Under a link that bends, the mean
of another group and the average over groups are integrals over b, not the mean at b = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..data.tables import as_table
from ..errors import SettingError, WeightsError, nearest, printable
from ..fit.estimates import Combination
from ..formula.design import Column, Rows
from .linear import training_rows
from .uncertain import NEW, OUT

if TYPE_CHECKING:
    from ..fit.fit import Fit

TARGETS = ("conditional", "new_group", "reference", "marginal")
KINDS = ("mean", "linear", "response")


def predict(
    fit: Fit,
    new_data: Any = None,
    *,
    target: str | Mapping[str, str] = "conditional",
    kind: str = "mean",
    interval: float | None = 0.95,
    parameters: bool = True,
    offset: Any = None,
    seed: int | None = None,
) -> Any:
    """Predictions for the rows of a table (or the training rows).

    Parameters
    ----------
    fit : Fit
    new_data : table, optional
        Needs the columns of the formula except the response; its frame kind is that of the result.
    target : str or mapping
        One of the targets above, or one for each grouping factor:
        ``{"school": "conditional", "class": "new_group"}`` is a new class in a known school.
    kind : {"mean", "linear", "response"}
        The expected response (of trials, the proportion); the linear predictor of the location; or a new observation
        (of trials, the number of successes; of categories, the most probable one).
    interval : float or None
        Coverage of the intervals; None for point predictions alone (faster).
    parameters : bool
        Whether intervals carry the uncertainty of the variance components; those of sampled fits always do.
    seed : int, optional
        Of new groups and new observations of sampled fits (the same ones unless given); the intervals of others are
        computed, not simulated.

    Returns
    -------
    table
        ``estimate``, and with an interval ``std_error, lower, upper``; one row for each row of `new_data`.
        Probabilities of categories have columns for each, ``estimate[good]``; a new one has ``category, probability``
        (and of ordered ones the labels ``lower, upper``).

    Raises
    ------
    UnseenLevelError
        For a level that was not in the training data.
    WeightsError
        For a new observation without the trials or weights that it needs.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> round(float(fit.predict({"school": ["S01"]})["estimate"].iloc[0]), 2)
    71.46

    References
    ----------
    Zeger, Liang & Albert (1988), Biometrics 44, for marginal means; Booth & Hobert (1998), JASA 93.
    """
    targets = _targets(fit, target)
    if kind not in KINDS:
        raise SettingError(f'unknown kind "{printable(kind)}"', hint=nearest(kind, KINDS) or f"Use {', '.join(KINDS)}.")
    if interval is not None and not 0.0 < interval < 1.0:
        raise SettingError(f"interval={interval} is not a probability between 0 and 1", hint="Use 0.95.")
    table = None if new_data is None else as_table(new_data)
    rows, native = _rows(fit, table, targets, offset)
    if fit.sampled:
        from .from_draws import predicted as of_draws

        return frame(native, of_draws(fit, rows, table, targets, kind, interval, seed))
    if not fit.model.is_linear:
        from .generalized import predicted

        return frame(native, predicted(fit, rows, table, targets, kind, interval, parameters))
    combination = _combination(fit, rows, targets)
    estimate = _estimate(fit, rows, combination)
    columns = {"estimate": estimate}
    if interval is not None:
        columns.update(_interval(fit, rows, combination, estimate, kind, interval, parameters))
    return frame(native, columns)


def _targets(fit: Fit, target: str | Mapping[str, str]) -> dict[str, str]:
    """One target for each grouping factor."""
    labels = list(fit.model.groups)
    chosen = {label: target for label in labels} if isinstance(target, str) else dict(target)
    for value in [target] if isinstance(target, str) else chosen.values():
        if value not in TARGETS:
            hint = nearest(str(value), TARGETS) or f"Use {', '.join(TARGETS)}."
            raise SettingError(f'unknown target "{printable(value)}"', hint=hint)
    for label in chosen:
        if label not in labels:
            message = f'target names "{printable(label)}", which is no grouping factor'
            raise SettingError(message, hint=nearest(label, labels))
    return {label: str(chosen.get(label, "conditional")) for label in labels}


def _rows(fit: Fit, table: Any, targets: dict[str, str], offset: Any) -> tuple[Rows, str]:
    design = fit.model.design
    if table is None:
        return training_rows(fit), fit.model.native
    conditional = [label for label, t in targets.items() if t == "conditional"]
    if len(conditional) == len(targets):
        return design.rebuild(table, groups=True, unseen="error", offset=offset), table.native
    if conditional:
        rows = design.rebuild(table, groups=True, unseen="mark", offset=offset)
        for group in rows.groups:
            if group.label in conditional and np.any(group.codes < 0):
                design.rebuild(table, groups=True, unseen="error", offset=offset)  # raises, naming the level
        return rows, table.native
    return _without_levels(fit, table, targets, offset), table.native


def _without_levels(fit: Fit, table: Any, targets: dict[str, str], offset: Any) -> Rows:
    """Rows whose grouping columns are not needed: only the coefficients of the terms are."""
    rows = fit.model.design.rebuild(table, groups=False, offset=offset)
    if not any(t in ("new_group", "marginal") for t in targets.values()):
        return rows
    from ..formula.rebuild import coefficient_columns

    groups = tuple(
        replace(g, columns=c, codes=np.full(rows.n, NEW, np.int32))
        for g, c in zip(fit.model.design.groups, coefficient_columns(fit.model.design.memory, table), strict=True)
    )
    return replace(rows, groups=groups)


def matrix(columns: tuple[Column, ...], n: int) -> np.ndarray:
    """Columns as a dense (n, columns) matrix; None is the column of ones."""
    out = np.ones((n, len(columns)))
    for j, column in enumerate(columns):
        if column is not None:
            out[:, j] = column
    return out


def _combination(fit: Fit, rows: Rows, targets: dict[str, str]) -> Combination:
    codes, z = [], []
    for t, group in enumerate(fit.model.design.groups):
        target = targets[group.label]
        source = rows.groups[t] if rows.groups else None
        if target == "conditional" and source is not None:
            codes.append(source.codes)
        else:
            codes.append(np.full(rows.n, NEW if target == "new_group" else OUT, np.int32))
        z.append(np.zeros((rows.n, len(group.names))) if source is None else matrix(source.columns, rows.n))
    return Combination(matrix(rows.fixed_columns, rows.n), tuple(codes), tuple(z))


def _estimate(fit: Fit, rows: Rows, combination: Combination) -> np.ndarray:
    beta = np.nan_to_num(fit.estimates.beta)  # dropped columns add nothing
    centred = fit.estimates.notes.get("centred")
    if centred is None:
        out = np.einsum("mp,p->m", combination.x, beta)
    else:  # columns far from zero would cancel against a huge intercept
        slopes = np.where(np.array(centred["intercept"]), 0.0, beta)
        out = centred["value"] + np.einsum("mp,p->m", combination.x - np.array(centred["at"]), slopes)
    for effects, codes, z in zip(fit.estimates.effects, combination.codes, combination.z, strict=True):
        known = codes >= 0
        out[known] += np.einsum("mk,mk->m", z[known], effects[codes[known]])
    return out if rows.offset is None else out + rows.offset


def _interval(
    fit: Fit, rows: Rows, combination: Combination, estimate: np.ndarray, kind: str, level: float, parameters: bool
) -> dict[str, np.ndarray]:
    from scipy.special import stdtrit

    if rows.n == 0:
        empty = np.zeros(0)
        return {"std_error": empty, "lower": empty, "upper": empty}
    spread = fit.estimates.certainty.spread(combination, parameters)
    variance, df = spread.variance, spread.df
    if kind == "response":
        variance, df = _with_residual(fit, rows, variance, df)
    error = np.sqrt(variance)
    with np.errstate(invalid="ignore"):
        half = stdtrit(np.minimum(df, 1e9), 0.5 + level / 2.0) * error
    return {"std_error": error, "lower": estimate - half, "upper": estimate + half}


def _with_residual(fit: Fit, rows: Rows, variance: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the variance of one observation; degrees of freedom of the sum as Welch's."""
    sigma = fit.estimates.sigma
    if sigma is None:
        raise SettingError(
            'kind="response" needs a residual variance, and this model has known standard errors instead',
            hint='Use kind="mean" and add the new observation\'s own standard error.',
        )
    if fit.model.design.weights is not None and fit.model.design.weights_kind == "precision":
        if rows.weights is None:
            raise WeightsError(
                'kind="response" needs the weights of the new rows', hint="Add the weights column to the new data."
            )
        residual = sigma**2 / rows.weights
    else:
        residual = np.full(rows.n, sigma**2)
    own = fit.estimates.certainty.residual_df()
    total = variance + residual
    with np.errstate(divide="ignore", invalid="ignore"):
        joined = total**2 / (variance**2 / df + residual**2 / own)
    return total, np.where(np.isfinite(joined), joined, np.inf)
