"""A fit as JSON: schema ``multilevel.fit/1``.

Numbers that are undefined are null, never NaN. Keys are added freely and changed only with a new schema.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..glossary import DIAGNOSTICS
from . import tables
from .remarks import known_icc

if TYPE_CHECKING:
    from .fit import Fit

SCHEMA = "multilevel.fit/1"


def record(fit: Fit) -> dict[str, Any]:
    """The fit as dictionaries, lists, text, numbers and None."""
    model, level = fit.model, fit.level
    return {
        "schema": SCHEMA,
        "version": _version(),
        "formula": model.formula.text or str(model.formula),
        "family": model.family,
        "link": model.link,
        "links": links(fit),
        "estimator": fit.estimator.name,
        "n_obs": fit.n_obs,
        "n_rows_dropped": max(model.design.n_rows_given - model.design.n, 0),
        "groups": model.groups,
        "criterion": fit.estimates.criterion,
        "log_likelihood": plain(fit.log_likelihood),
        "objective": plain(fit.objective),
        "aic": plain(fit.aic),
        "bic": plain(fit.bic),
        "n_parameters": fit.n_parameters,
        "df_residual": None if fit.sampled else fit.df_residual,
        "sigma": plain(fit.sigma),
        "level": level,
        "fixed_effects": _rows(tables.fixed_effects(fit, level), diagnosed=True),
        "variance_components": _rows(tables.variance_components(fit, level), diagnosed=True),
        "correlations": _rows(tables.correlations(fit, level), diagnosed=True),
        "dispersion": _rows(tables.dispersion(fit, level), diagnosed=True),
        "group_effects": _group_effects(fit),
        "icc": _icc(fit),
        "converged": fit.converged,
        "singular": fit.singular,
        "boundary": fit.boundary,
        "sampled": fit.sampled,
        **_sampling(fit),
        "seconds": plain(fit.seconds),
        "warnings": [{"code": w.code, "message": w.message, "remedy": w.hint} for w in fit.warnings],
        "notes": [{"code": n.code, "message": n.message, "remedy": n.hint} for n in fit.notes],
    }


def _sampling(fit: Fit) -> dict[str, Any]:
    """What the sampler did, the worst of its diagnostics, and the priors; null for other fits."""
    certainty = fit.estimates.certainty
    if certainty.sample is None:
        return {"draws": None}
    from .diagnostics import sampler

    found, done = certainty.diagnosis, sampler(certainty.sample)  # type: ignore[attr-defined]
    told = {name: [plain(u) for u in v] if isinstance(v, list) else plain(v) for name, v in done.items()}
    with np.errstate(all="ignore"):
        worst = {
            "rhat": plain(float(np.fmax.reduce(found.rhat, initial=-np.inf))),
            "ess_bulk": plain(float(np.fmin.reduce(found.ess_bulk, initial=np.inf))),
            "ess_tail": plain(float(np.fmin.reduce(found.ess_tail, initial=np.inf))),
        }
    chosen = [
        {"parameter": c.parameter, "prior": c.prior, "why": c.why, "given": c.given} for c in fit.model.priors.chosen
    ]
    total = certainty.sample.chains * certainty.sample.draws
    return {"draws": total, "sampler": told, "diagnostics": worst, "priors": chosen}


def _group_effects(fit: Fit) -> dict[str, list[dict[str, Any]]]:
    kept = ("level", "term", "estimate", "std_error")
    out = {}
    for label in fit.model.groups:
        columns = tables.group_effects(fit, [label], fit.level)
        out[label] = _rows({name: columns[name] for name in kept})
    return out


def links(fit: Fit) -> dict[str, str]:
    """The link of every linear predictor that is estimated; thresholds stand on that of the location."""
    model = fit.model
    if model.is_linear:
        return {"mu": model.link}
    layout = model.design.layout
    pairs = zip(layout.names, model.distribution.links, strict=True)
    return {name: link for name, link in pairs if name not in layout.thresholds}


def _icc(fit: Fit) -> dict[str, float | None]:
    """Intraclass correlations, where the family has them."""
    return {group: plain(value) for group, value in known_icc(fit).items()}


def _rows(columns: tables.Columns, diagnosed: bool = False) -> list[dict[str, Any]]:
    """Columns as one dictionary a row; with the diagnostics of samplers, which likelihood fits have not."""
    names = list(columns)
    values = zip(*(cells(columns[name]) for name in names), strict=True)
    extra: dict[str, Any] = {name: None for name in DIAGNOSTICS if diagnosed and name not in columns}
    return [{**dict(zip(names, row, strict=True)), **extra} for row in values]


def cells(column: Any) -> list[Any]:
    """A column as JSON-able values."""
    return [plain(v) for v in (column.tolist() if isinstance(column, np.ndarray) else column)]


def plain(value: Any) -> Any:
    """A number that JSON has, or None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version() -> str:
    from .. import __version__

    return str(__version__)
