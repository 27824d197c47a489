"""How much single groups, or single rows, decide: ``ml.influence(fit)``; nothing is refitted unless asked for.

    β̂ − β̂₍ⱼ₎           exact with the variance components held (`checks/deletion.py`)
    Cook's distance     (β̂ − β̂₍ⱼ₎)' Cov(β̂)⁻¹ (β̂ − β̂₍ⱼ₎) / p
    ψ̂ − ψ̂₍ⱼ₎           one Newton step of the criterion without the group's rows; refitted where that is far

The last because the restricted likelihood of all rows is that of the other rows times the predictive density of the
group given them: d₍ⱼ₎(ψ) = d(ψ) + 2 elpd_j(ψ). At the optimum its gradient is 2 ∂elpd_j/∂ψ, its Hessian that of d plus
2 ∂²elpd_j/∂ψ², both by differences of the closed-form elpd of all groups at once. The unrestricted likelihood does not
integrate β: there elpd_j is larger by ½ log(|Cov β̂₍ⱼ₎|/|Cov β̂|).

In generalized models β and ψ take one Newton step together, of the approximate likelihood without the group
(`core/levels_out.py`, `core/sets_out.py`); rows take that of their cavities (`core/cavity.py`).

References: Pregibon (1981), Annals of Statistics 9; Cook (1977), Technometrics 19; Christensen, Pearson & Johnson
(1992), Technometrics 34; Nieuwenhuis, te Grotenhuis & Pelzer (2012), The R Journal 4.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceError, MultilevelError, MultilevelWarning, SettingError
from .deletion import Deletion, whole
from .logo import observations, outermost
from .subsets import check_levels, without

if TYPE_CHECKING:
    from ..fit.fit import Fit

STEP = 0.02  # of ψ: logs of standard deviations and the like, in which elpd bends slowly
FARTHEST = 1.5  # largest move of an element of ψ that one step is believed
FAR = 0.1  # change of a log standard deviation beyond which the level is left out by a refit instead


@dataclass(frozen=True, eq=False)
class Influence:
    """What leaving each unit out changes.

    Parameters
    ----------
    fit : Fit
    unit : str
        A grouping factor, or ``"row"``.
    units : tuple of str
    sizes : (u,) rows of each unit
    beta : (u, p) change of each fixed effect when the unit is left out, in units of its standard error
    cooks : (u,) Cook's distance
    sds : (u, m) standard deviations without the unit, over those with it; empty for rows
    sd_names : tuple of (group, term)
    extra : dict of further columns (rows: leverage, studentized)
    """

    fit: Fit
    unit: str
    units: tuple[str, ...]
    sizes: np.ndarray
    beta: np.ndarray
    cooks: np.ndarray
    sds: np.ndarray
    sd_names: tuple[tuple[str, str], ...]
    extra: dict[str, np.ndarray]

    @cached_property
    def _columns(self) -> dict[str, Any]:
        out: dict[str, Any] = {"level": list(self.units), "n": self.sizes, "cooks_distance": self.cooks, **self.extra}
        for j, name in enumerate(self.fit.model.design.fixed_names):
            out[f"change {name}"] = self.beta[:, j]
        for j, (group, term) in enumerate(self.sd_names):
            out[f"sd ratio {' '.join(part for part in (group, term) if part)}"] = self.sds[:, j]
        return out

    @property
    def table(self) -> Any:
        """One row for each unit: level, n, cooks_distance; ``change <term>``: shift of β̂ in standard errors when it
        is left out; ``sd ratio <group> <term>``: the standard deviation without it over that with it."""
        return self.fit._frame(self._columns)

    @property
    def threshold(self) -> float:
        """Cook's distance worth a look: 4 / units, as is customary."""
        return 4.0 / max(len(self.units), 1)

    @property
    def worst(self) -> list[str]:
        """Units beyond the threshold, most influential first."""
        order = np.argsort(-np.nan_to_num(self.cooks))
        return [self.units[i] for i in order if self.cooks[i] > self.threshold]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        from .base import plain

        columns = self._columns
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*map(list, columns.values()), strict=True)]
        found: dict[str, Any] = plain({"unit": self.unit, "threshold": self.threshold, "units": rows})
        return found

    def __str__(self) -> str:
        from ..errors import printable

        order = np.argsort(-np.nan_to_num(self.cooks))[:5]
        most = ", ".join(f"{printable(self.units[i], 24)} ({self.cooks[i]:.2g})" for i in order)
        return f"Influence by {printable(self.unit)}: largest Cook's distances {most}; 4/units is {self.threshold:.2g}"

    __repr__ = __str__


def influence(fit: Fit, group: str | None = None, rows: bool = False, refit: bool = False) -> Influence:
    """Influence of every group (or row) on coefficients and standard deviations.

    Parameters
    ----------
    fit : Fit
        By ``reml``, ``ml``, ``laplace``, ``agq``, ``moments`` or ``complete``; or sampled, then by importance weights
        on its draws, with their Pareto k̂ in the table (`psis_influence.py`).
    group : str, optional
        A grouping factor; the one with the fewest levels otherwise. Without group terms rows are left out.
    rows : bool
        Leave out single rows instead: β, Cook's distance, leverage and studentised residual.
    refit : bool
        Estimate everything anew without each group: exact, at the price of a fit for each.

    Returns
    -------
    Influence

    Raises
    ------
    SettingError
        For an unknown group, and for estimators without a model of the rows.

    Examples
    --------
    >>> import multilevel as ml
    >>> found = ml.influence(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> found.worst[0]
    'S14'
    """
    if fit.estimator.name in ("none", "within", "james_stein"):
        hint = 'Fit with "reml", "ml", "moments" or "complete".' if fit.model.is_linear else 'Fit with "laplace".'
        raise SettingError(f'influence needs a model of the rows, and "{fit.estimator.name}" has none', hint=hint)
    design = fit.model.design
    if fit.sampled:
        from .psis_influence import influence_by_weights

        return influence_by_weights(fit, None if rows or not design.groups else outermost(fit, group), refit)
    if not fit.model.is_linear:
        from .influence_steps import influence_by_steps

        return influence_by_steps(fit, None if rows or not design.groups else outermost(fit, group), refit)
    if rows or not design.groups:
        return _of_rows(fit)
    label = outermost(fit, group)
    mine = next(g for g in design.groups if g.label == label)
    deleted = Deletion(fit).groups(mine.codes, len(mine.levels))
    names = _sd_names(fit)
    if refit:
        shift, sds = _refits(fit, mine.codes, len(mine.levels), range(len(mine.levels)))
    else:
        shift, sds = deleted.shift, _sd_ratios(fit, mine.codes, len(mine.levels), len(names))
    scaled, cooks = _scaled(fit, shift)
    return Influence(fit, label, tuple(mine.levels), deleted.sizes, scaled, cooks, sds, names, {})


def _scaled(fit: Fit, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """β̂ − β̂₍ⱼ₎ as the change of leaving out, in standard errors; and Cook's distances."""
    kept = ~np.isnan(fit.estimates.beta)
    cooks = np.full(len(shift), np.nan)
    if kept.any():
        inverse = np.linalg.pinv(fit.vcov[np.ix_(kept, kept)], hermitian=True, rcond=1e-14)
        cooks = np.einsum("up,pq,uq->u", shift[:, kept], inverse, shift[:, kept]) / kept.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return -shift / fit.std_errors, np.asarray(cooks)


# --- rows ---------------------------------------------
def _of_rows(fit: Fit) -> Influence:
    design = fit.model.design
    deletion = Deletion(fit)
    scaled, cooks = _scaled(fit, deletion.row_shift)
    a, spare = deletion.adjusted, np.maximum(deletion.spare, 1e-300)
    extra = {"leverage": 1.0 - deletion.spare, "studentized": deletion.residual * np.sqrt(a.w / (a.sigma2 * spare))}
    units = tuple(map(str, range(design.n) if design.kept is None else design.kept.tolist()))
    return Influence(fit, "row", units, whole(observations(design)), scaled, cooks, np.zeros((design.n, 0)), (), extra)


# --- variance components ---------------------------------------------
def _sd_names(fit: Fit) -> tuple[tuple[str, str], ...]:
    from ..glossary import RESIDUAL

    own = [(g.label, name) for g in fit.model.design.groups for name in g.names]
    return (*own, *([(RESIDUAL, "")] if fit.sigma is not None else []))


def _sds(fit: Fit) -> np.ndarray:
    """All standard deviations of the terms, the residual one last."""
    parts = [np.sqrt(np.diag(c)) for c in fit.estimates.covariances]
    return np.concatenate([*parts, np.array([] if fit.sigma is None else [fit.sigma])])


def _sd_ratios(fit: Fit, codes: np.ndarray, levels: int, m: int) -> np.ndarray:
    """Standard deviations without each level over those with it, by one Newton step; NaN where not available."""
    out = np.full((levels, m), np.nan)
    certainty: Any = fit.estimates.certainty
    certainty = getattr(certainty, "_certainty", certainty)  # of a loaded fit
    if fit.estimator.name not in ("reml", "ml"):
        return out
    info, reml = certainty.information, fit.estimator.name == "reml"
    n = info.n_psi
    if n == 0:
        return out

    def at(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """elpd of each level and log sds at ψ̂ + step."""
        near = _moved(fit, certainty, step)
        deleted = Deletion(near).groups(codes, levels)
        # the unrestricted likelihood does not integrate β: it loses less than the predictive density holds
        return deleted.elpd + (0.0 if reml else 0.5 * deleted.log_det), _sds(near)

    width = STEP * np.ones(n)
    for i, j in enumerate(info.free):
        if info.objective.kinds[j] == "free":
            width[i] *= max(info.objective.reach[j], abs(info.state.theta[j]))
    centre, base = at(np.zeros(n))
    up, down = ([at(s * width[i] * np.eye(n)[i]) for i in range(n)] for s in (1.0, -1.0))
    slope = np.stack([(u[0] - d[0]) / (2 * w) for u, d, w in zip(up, down, width, strict=True)], axis=1)
    bend = np.zeros((levels, n, n))
    for i in range(n):
        bend[:, i, i] = (up[i][0] + down[i][0] - 2.0 * centre) / width[i] ** 2
        for j in range(i):
            both = at(width[i] * np.eye(n)[i] + width[j] * np.eye(n)[j])[0]
            mixed = both - up[i][0] - up[j][0] + centre
            bend[:, i, j] = bend[:, j, i] = mixed / (width[i] * width[j])
    info.restore()
    steps = _newton(np.asarray(info.hessian), 2.0 * slope, 2.0 * bend)
    for level in range(levels):
        if np.isfinite(steps[level]).all():
            moved = _sds(_moved(fit, certainty, steps[level]))
            with np.errstate(invalid="ignore", divide="ignore"):
                out[level] = np.where(base > 0.0, moved / base, np.nan)
    info.restore()
    return _corrected(fit, codes, out)


def _corrected(fit: Fit, codes: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """One step is a few per cent off where it is short, and can be far off for the few levels that matter most."""
    with np.errstate(divide="ignore"):
        far = np.flatnonzero((np.abs(np.log(ratios)) > FAR).any(axis=1))
    _, exact = _refits(fit, codes, len(ratios), far)
    return np.where(np.isfinite(exact), exact, ratios)


def _newton(hessian: np.ndarray, slope: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """−(H + B_j)⁻¹ g_j for each level, limited; H alone where the sum is not positive definite."""
    out = np.full(slope.shape, np.nan)
    for level in range(len(slope)):
        if not np.isfinite(slope[level]).all():
            continue
        h = hessian + bend[level]
        try:
            np.linalg.cholesky(h)
        except np.linalg.LinAlgError:
            h = hessian
        step = -np.linalg.lstsq(h, slope[level], rcond=None)[0]
        out[level] = step / max(1.0, float(np.abs(step).max()) / FARTHEST)
    return out


def _moved(fit: Fit, certainty: Any, step: np.ndarray) -> Fit:
    """The fit with its variance parameters moved by a step of ψ."""
    from ..fit.fit import Fit

    info, products = certainty.information, certainty.products
    free = len(info.free)
    state = info.near(step[:free])
    factor = float(np.exp(step[-1])) if info.with_sigma else 1.0
    scale = info.state.sigma2 * factor**2 * products.y_shift.scale**2
    covariances = [np.zeros(0)] * len(fit.model.scales)
    for t, (f, a, b) in certainty._places.items():
        lam = products.to_effects[t] @ state.lam[f][a:b, a:b]
        covariances[t] = scale * (lam @ lam.T)
    sigma = None if fit.sigma is None else fit.sigma * factor
    return Fit(fit.model, fit.estimator, replace(fit.estimates, sigma=sigma, covariances=tuple(covariances)))


# --- refits ---------------------------------------------
def _refits(fit: Fit, codes: np.ndarray, levels: int, which: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """β̂ − β̂₍ⱼ₎ and ratios of standard deviations by fitting without each of some levels; NaN for the others."""
    from ..fit.fit import Fit

    base = _sds(fit)
    shift, ratios = np.full((levels, len(fit.estimates.beta)), np.nan), np.full((levels, len(base)), np.nan)
    for level in which:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            try:
                model = without(fit.model, codes == level)
                check_levels(model)
                found = Fit(model, fit.estimator, fit.estimator.estimate(model))
            except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
                continue
        shift[level] = fit.estimates.beta - found.estimates.beta
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios[level] = np.where(base > 0.0, _sds(found) / base, np.nan)
    return shift, ratios
