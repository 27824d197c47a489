"""The diagnostics of a sampled fit for people: every parameter, the sampler, and what speaks against the draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceWarning, printable
from ..glossary import DRAWS
from ..numerics import diagnostics as numbers
from . import chains as of
from .diagnostics import diagnose, sample_of, sampler

if TYPE_CHECKING:
    from .fit import Fit

CODES = ("W_RHAT", "W_ESS", "W_DIVERGENT", "W_EBFMI", "W_TREE_DEPTH", "W_KHAT", "W_PARTIAL", "W_CHAINS_LOST")


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of a sampled fit: `.table`, `.sampler`, `.warnings`, `.healthy`; prints as text.

    Attributes
    ----------
    sampler : by name, of all chains: divergences, E-BFMI of each chain, depth and length of trajectories, k̂ …
    warnings : what deserves attention, each with `code`, `message`, `hint`
    """

    columns: Mapping[str, Any]
    sampler: Mapping[str, Any]
    warnings: tuple[Any, ...]
    fit: Fit

    @property
    def table(self) -> Any:
        """One row a parameter: estimate, std_error, mcse_mean, mcse_sd, rhat, ess_bulk, ess_tail."""
        return self.fit._frame(dict(self.columns))

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against the draws."""
        return not any(isinstance(w, ConvergenceWarning) for w in self.warnings)

    def summary(self) -> str:
        """Text for a terminal: the sampler, the worst parameters, the warnings."""
        from .blocks import to_text

        return to_text(_blocks(self))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        from .record import cells, plain

        names = list(self.columns)
        rows = zip(*(cells(self.columns[name]) for name in names), strict=True)
        return {
            "parameters": [dict(zip(names, row, strict=True)) for row in rows],
            "sampler": {k: [plain(u) for u in v] if isinstance(v, list) else plain(v) for k, v in self.sampler.items()},
            "warnings": [{"code": w.code, "message": w.message, "remedy": w.hint} for w in self.warnings],
        }

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__


def diagnostics(fit: Fit, effects: bool = True) -> Diagnostics:
    """R̂, effective draws and Monte Carlo errors of every parameter of a sampled fit, and what its sampler did.

    Parameters
    ----------
    fit : Fit
    effects : bool
        Group effects too, after the parameters.

    Returns
    -------
    Diagnostics
        Prints as text; `.table`, `.sampler`, `.warnings`, `.healthy`, `.to_dict()`.

    Raises
    ------
    SettingError
        E_NOT_SAMPLED: the fit is no sample.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> found = model.fit("collapsed", draws=500).diagnostics()
    >>> found.table["parameter"][1], found.healthy
    ('sd[school, Intercept]', True)

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16, 667–718.
    """
    sample = sample_of(fit, "diagnostics")
    chains = of.parameters(sample)
    for t in range(len(sample.effects) if effects else 0):
        chains = chains + of.effects(sample, t)
    found = diagnose(sample, chains.draws)
    flat = sample.flat(chains.draws)
    values = (flat.mean(axis=0), flat.std(axis=0, ddof=1), found.mcse_mean, numbers.mcse_sd(chains.draws))
    shown = np.array([not _constant(key, chains.draws[:, :, i]) for i, key in enumerate(chains.keys)], dtype=bool)
    names = [of.address(fit.model, key) for key, yes in zip(chains.keys, shown, strict=True) if yes]
    numeric = [v[shown] for v in (*values, found.rhat, found.ess_bulk, found.ess_tail)]
    warned = tuple(w for w in fit.warnings if w.code in CODES)
    return Diagnostics(dict(zip(DRAWS, [names, *numeric], strict=True)), sampler(sample), warned, fit)


def _constant(key: of.Key, draws: np.ndarray) -> bool:
    """Correlations that the model fixes at zero are no parameters."""
    return key[0] == "cor" and not np.any(draws)


def _blocks(d: Diagnostics) -> list[Any]:
    from .blocks import Grid, Lines

    lines = [f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in d.sampler.items() if value is not None]
    c = d.columns
    order = np.argsort(np.nan_to_num(np.fmin(c["ess_bulk"], c["ess_tail"]), nan=np.inf), kind="stable")[:8]
    header = ("", "Rhat", "Bulk_ESS", "Tail_ESS", "MCSE/sd")
    rows = []
    for i in order:
        relative = c["mcse_mean"][i] / c["std_error"][i] if c["std_error"][i] > 0.0 else math.nan
        cells = (f"{c['rhat'][i]:.3f}", f"{c['ess_bulk'][i]:.0f}", f"{c['ess_tail'][i]:.0f}", f"{relative:.3f}")
        rows.append((printable(c["parameter"][i], 50), *cells))
    found = [f"- {printable(w, 400)}" for w in d.warnings] or ["none: the draws can be used"]
    return [
        Lines("Sampler:", tuple(f"  {line}" for line in lines)),
        Grid(f"Fewest effective draws, of {len(c['parameter'])} parameters:", header, tuple(rows)),
        Lines("Warnings:", tuple(found)),
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"{v:.3g}" for v in value)
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
