"""Which levels partial pooling moved most, and why.

    own_ℓ = b̂_ℓ + (Z_ℓ'WZ_ℓ)⁻¹ Z_ℓ'W ê        the level by itself, all other terms held at their estimates
    moved = b̂_ℓ − own_ℓ                        what pooling did to it

A level moves far when its own estimate is far from the others (`distance`, in standard deviations between levels) and
poorly known (`noise`, its standard error over that standard deviation; few rows make it large). The standard errors
beside each other say how much precision was borrowed.

In generalized models `own` is the level's own maximum-likelihood estimate, all other terms held; −∞ or ∞ where its rows
are all alike, and then without a standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, nearest, printable

if TYPE_CHECKING:
    from ..fit.fit import Fit


def moved(fit: Fit, group: str | None = None) -> dict[str, Any]:
    """Columns ``level, term, n, own, own_se, estimate, std_error, moved, distance, noise, borrowed``, most moved first.

    Parameters
    ----------
    fit : Fit
        Of an estimator that pools.
    group : str, optional
        A grouping factor; the one with the most levels otherwise.

    Returns
    -------
    dict
        Effects as deviations from the fixed part. `own` is NaN where a level's rows do not determine it. `borrowed`
        is 1 − (std_error / own_se)², the share of the precision that comes from the other levels.

    Raises
    ------
    SettingError
        For an unknown group, and for estimators that do not pool.
    """
    if fit.estimator.name in ("none", "within"):
        message = f'"{fit.estimator.name}" moves nothing: its estimates are the levels\' own'
        raise SettingError(message, hint=f'Use "{"reml" if fit.model.is_linear else "laplace"}".')
    label = _label(fit, group)
    out: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for t, g in enumerate(fit.model.design.groups):
        if g.label == label:
            for name, values in zip(COLUMNS, _of_term(fit, t), strict=True):
                out[name].append(values)
    columns = {name: np.concatenate(parts) for name, parts in out.items()}
    far = np.abs(columns["moved"]) / _scale(fit, label, columns["term"])
    order = np.argsort(-np.where(np.isnan(far), 0.0, far), kind="stable")
    found = {name: values[order] for name, values in columns.items()}
    return {name: values.tolist() if name in ("level", "term") else values for name, values in found.items()}


COLUMNS = (
    "level", "term", "n", "own", "own_se", "estimate", "std_error", "moved", "distance", "noise", "borrowed",
)  # fmt: skip


def _label(fit: Fit, group: str | None) -> str:
    sizes = fit.model.groups
    if not sizes:
        raise SettingError("the model has no grouping factor", hint="Add one: (1 | group).")
    if group is not None and group not in sizes:
        hint = nearest(str(group), list(sizes)) or f"Use one of {', '.join(sizes)}."
        raise SettingError(f'no grouping factor "{printable(group)}"', hint=hint)
    return group if group is not None else max(sizes, key=lambda name: sizes[name])


def _scale(fit: Fit, label: str, terms: np.ndarray) -> np.ndarray:
    """Standard deviation between levels of each row's coefficient."""
    sd = {
        name: float(np.sqrt(c[j, j]))
        for g, c in zip(fit.model.design.groups, fit.estimates.covariances, strict=True) if g.label == label
        for j, name in enumerate(g.names)
    }  # fmt: skip
    return np.array([sd[term] or 1.0 for term in terms])


def _of_term(fit: Fit, t: int) -> tuple[np.ndarray, ...]:
    """The columns of one term."""
    group, effects = fit.model.design.groups[t], fit.estimates.effects[t]
    levels, k = len(group.levels), len(group.names)
    with np.errstate(invalid="ignore", divide="ignore"):
        own, own_se = _own(fit, t) if fit.model.is_linear else _own_likelihood(fit, t)
        error = np.sqrt(np.diagonal(fit.effect_covariances[t], axis1=1, axis2=2))
        sd = np.sqrt(np.diag(fit.estimates.covariances[t]))
        distance, noise, borrowed = own / sd, own_se / sd, 1.0 - (error / own_se) ** 2
    names = np.repeat(np.array(group.levels, dtype=object), k)
    terms = np.tile(np.array(group.names, dtype=object), levels)
    n = np.repeat(np.bincount(group.codes, minlength=levels), k)
    rest = (own, own_se, effects, error, effects - own, distance, noise, borrowed)
    return names, terms, n, *(part.reshape(-1) for part in rest)


def _own_likelihood(fit: Fit, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Each level's own coefficients by maximum likelihood, the rest of η held, and their standard errors."""
    from ..core.own_groups import own_groups
    from ..core.panels import Panels
    from ..predictions.linear import linear_predictors

    design, effects = fit.model.design, list(fit.estimates.effects)
    group = design.groups[t]
    z = np.stack([np.ones(design.n) if c is None else c for c in group.columns], axis=1)
    owner = np.full(z.shape[1], group.predictor, dtype=np.int64)
    effects[t] = np.zeros_like(effects[t])
    fixed = linear_predictors(fit, effects=effects)
    codes = group.codes.astype(np.int64)
    panels = Panels(fit.model.distribution, fit.model.observations, z, owner, codes, len(group.levels), prior=False)
    with np.errstate(all="ignore"):
        found = own_groups(panels, fixed, fit.estimates.effects[t])
    error = np.sqrt(np.diagonal(found.inverse, axis1=1, axis2=2))
    return found.estimates, np.where(np.isfinite(found.estimates), error, np.nan)


def _own(fit: Fit, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Each level's own least-squares coefficients, the rest held, and their standard errors."""
    design = fit.model.design
    group = design.groups[t]
    levels, k = len(group.levels), len(group.names)
    w = np.ones(design.n) if design.weights is None else design.weights
    w = w if design.known_se is None else w / design.known_se**2
    sigma2 = 1.0 if fit.sigma is None else fit.sigma**2
    residual = design.response - fit.fitted_values
    columns = [np.ones(design.n) if c is None else c for c in group.columns]
    gram, score = np.empty((levels, k, k)), np.empty((levels, k))
    for i, a in enumerate(columns):
        score[:, i] = np.bincount(group.codes, w * a * residual, minlength=levels)
        for j in range(i + 1):
            gram[:, i, j] = gram[:, j, i] = np.bincount(group.codes, w * a * columns[j], minlength=levels)
    inverse = _inverse(gram)
    own = fit.estimates.effects[t] + np.einsum("lij,lj->li", inverse, score)
    return own, np.sqrt(sigma2 * np.diagonal(inverse, axis1=1, axis2=2))


def _inverse(gram: np.ndarray) -> np.ndarray:
    """Inverse of each block; NaN where it is singular."""
    out = np.full(gram.shape, np.nan)
    scale = np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), 1e-300))
    scaled = gram / scale[:, :, None] / scale[:, None, :]
    regular = np.linalg.eigvalsh(scaled)[:, 0] > 1e-10
    out[regular] = np.linalg.inv(scaled[regular]) / scale[regular, :, None] / scale[regular, None, :]
    return out
