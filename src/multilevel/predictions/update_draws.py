"""What new rows say about the groups of a sampled fit, without refitting: its draws, weighted by how well they foretold
the rows.

    w_s ∝ p(y_new | φ_s, b_s) p(b_s | φ_s) / q(b_s),    smoothed (`numerics/psis.py`), then drawn with equal weights

φ_s are all parameters and the effects of known groups in draw s; b_s those of new groups, drawn from q, their normal
approximation given φ_s and the new rows (exact for normal responses). Unlike an update at fixed variance components,
the rows speak about these too. Pareto's k̂ says when they say too much for that: refit then.

Reference: Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..data.tables import as_table
from ..errors import SettingError, printable
from ..families.base import Observations
from ..fit.tables import check_level
from ..formula.design import Rows
from ..numerics.psis import psis, threshold
from .from_draws import KINDS, chunks, columns_of, quantiles
from .integrated import Densities
from .posterior import Posterior, posterior, roots
from .uncertain import part

if TYPE_CHECKING:
    from ..fit.fit import Fit


@dataclass(frozen=True, eq=False)
class SampledUpdate:
    """What new rows say about groups, given a sampled fit.

    Parameters
    ----------
    fit : Fit
    rows : Rows
        The new rows; codes from L on are new levels, numbered as in `labels`.
    labels : dict
        Labels of the new levels of each grouping factor.
    draws : Posterior
        Draws given old and new rows; effects of the new levels stand after those of the known ones.
    khat : float
        Pareto's k̂ of the weights; above `limit` the update is not reliable.
    """

    fit: Fit
    rows: Rows
    labels: dict[str, list[str]]
    draws: Posterior
    khat: float
    limit: float

    @property
    def table(self) -> Any:
        """Table of the updated effects: group, level, term, n, known, estimate, std_error, lower, upper."""
        return self.fit._frame(self._columns)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        out: dict[str, list[Any]] = {name: [] for name in ("group", "level", "term", "n", "known")}
        drawn = []
        for t, group in enumerate(self.rows.groups):
            count, levels = np.bincount(group.codes), len(group.levels)
            for code in np.unique(group.codes).tolist():
                name = group.levels[code] if code < levels else self.labels[group.label][code - levels]
                for j, term in enumerate(group.names):
                    drawn.append(self.draws.effects[t][:, code, j])
                    for key, value in zip(out, (group.label, name, term, int(count[code]), code < levels), strict=True):
                        out[key].append(value)
        b = np.stack(drawn, axis=1)
        low, high = quantiles(b, self.fit.level)
        return {**out, "estimate": b.mean(axis=0), "std_error": b.std(axis=0, ddof=1), "lower": low, "upper": high}

    def predict(self, new_data: Any, *, kind: str = "mean", interval: float = 0.95, offset: Any = None) -> Any:
        """Predictions for further rows of these (or other known) groups.

        Parameters
        ----------
        new_data : table
            Its groups were in the data of the fit or among the new rows.
        kind : {"mean", "linear", "response"}
        interval : float
            Coverage of the intervals.

        Returns
        -------
        table
            As `Fit.predict`.

        Raises
        ------
        UnseenLevelError
            For a group that neither the fit nor the new rows know.
        """
        from .from_draws import observations_of
        from .update import _read

        if kind not in KINDS:
            raise SettingError(f'unknown kind "{printable(kind)}"', hint='Use "mean", "linear" or "response".')
        check_level(interval)
        table = as_table(new_data)
        rows, _ = _read(self.fit, table, offset, self.labels)
        obs = observations_of(self.fit, rows, table, kind)
        rng, parts = np.random.default_rng(0), []
        for index in chunks(rows.n, max(1, self.draws.chunk() // 4)):
            eta = self.draws.eta(part(rows, index))
            parts.append(columns_of(self.fit, obs.take(index), eta, None, kind, interval, rng))
        return frame(table.native, {name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def update_draws(fit: Fit, rows: Rows, obs: Observations, labels: dict[str, list[str]]) -> SampledUpdate:
    """The update of a sampled fit by rows with their response; codes from L on are new levels."""
    from ..errors import MultilevelWarning, warn

    rng = np.random.default_rng(0)
    widened = _widened(posterior(fit), labels)
    own = {
        t: np.arange(len(g.levels), len(g.levels) + len(labels[g.label]))
        for t, g in enumerate(rows.groups) if labels[g.label]
    }  # fmt: skip
    densities = Densities(widened, rows, obs)
    if own:
        u, log_w = densities.drawn(own, rng)
        widened = _with_new(widened, own, u)
    else:
        log_w = densities.joint(np.arange(rows.n), {})
    smoothed = psis(log_w)
    khat, limit = float(smoothed.khat[0]), threshold(len(widened))
    if khat > limit:
        warn(
            MultilevelWarning(
                f"the new rows move the posterior too far for its draws: Pareto k̂ is {khat:.2f}, above {limit:.2f}",
                code="W_UPDATE",
                hint="Refit with all rows.",
            )
        )
    index = _resampled(np.exp(smoothed.log_weights), rng)
    return SampledUpdate(fit, rows, labels, widened.take(index), khat, limit)


def _widened(draws: Posterior, labels: dict[str, list[str]]) -> Posterior:
    """Room for the effects of new levels."""
    effects = []
    for b, group in zip(draws.effects, draws.fit.model.design.groups, strict=True):
        more = np.zeros((len(b), len(labels[group.label]), b.shape[2]))
        effects.append(np.concatenate([b, more], axis=1) if more.shape[1] else b)
    return replace(draws, effects=tuple(effects))


def _with_new(draws: Posterior, own: dict[int, np.ndarray], u: np.ndarray) -> Posterior:
    """Effects L u of the new levels in their place; u is in the order of terms and levels."""
    effects, at = list(draws.effects), 0
    for t, levels in own.items():
        factor, b = roots(draws.covariances[t]), effects[t].copy()
        k = b.shape[2]
        for level in levels:
            b[:, level] = np.einsum("sjk,sk->sj", factor, u[:, at : at + k])
            at += k
        effects[t] = b
    return replace(draws, effects=tuple(effects))


def _resampled(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many draws with equal weights, by systematic resampling, in random order."""
    n = len(weights)
    steps = (rng.random() + np.arange(n)) / n
    index = np.searchsorted(np.cumsum(weights / weights.sum()), steps)
    return rng.permutation(np.minimum(index, n - 1))
