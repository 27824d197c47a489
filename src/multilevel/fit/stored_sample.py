"""The draws and priors of a Bayesian fit in a saved fit: arrays and text to a record and back, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .sample import Sample
from .stored_response import agree

if TYPE_CHECKING:
    from ..model.model import Model

Add = Callable[[np.ndarray | None], str | None]
PLAIN = ("beta", "sigma", "z", "log_posterior", "log_prior")


def sample_record(sample: Sample | None, add: Add, jsonable: Callable[[Any], Any]) -> dict[str, Any] | None:
    """The record of a sample; `add` stores an array and names it. None for fits without draws."""
    if sample is None:
        return None
    return {
        **{name: _added(getattr(sample, name), add) for name in PLAIN},
        "covariances": [_added(a, add) for a in sample.covariances],
        "effects": [_added(a, add) for a in sample.effects],
        "constants": {name: _added(a, add) for name, a in sample.constants.items()},
        "stats": {name: _added(a, add) for name, a in sample.stats.items()},
        "flags": [name for name, a in sample.stats.items() if np.asarray(a).dtype == bool],
        "names": list(sample.names),
        "info": jsonable(dict(sample.info)),
    }


def _added(a: np.ndarray | None, add: Add) -> str | None:
    if a is None:
        return None
    whole = np.asarray(a).dtype.kind in "biu"
    return add(np.ascontiguousarray(a, dtype=np.int64 if whole else np.float64))


def stored_sample(record: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray], model: Model) -> Sample | None:
    """A sample from its record.

    Raises
    ------
    ValueError
        Where shapes do not agree with each other or with the model.
    """
    if record is None:
        return None
    beta = arrays[record["beta"]]
    agree(beta.ndim == 3 and beta.shape[2] == len(model.design.fixed_names) and min(beta.shape[:2]) > 0, "draws")
    size = beta.shape[:2]

    def read(name: str | None, *shape: int) -> np.ndarray:
        agree(isinstance(name, str), "draws")
        found = arrays[str(name)]
        agree(found.shape == (*size, *shape), "draws")
        return found

    groups = model.design.groups
    agree(len(record["covariances"]) == len(record["effects"]) == len(groups), "draws of groups")
    covariances, effects = [], []
    for g, covariance, b in zip(groups, record["covariances"], record["effects"], strict=True):
        covariances.append(read(covariance, len(g.names), len(g.names)))
        effects.append(read(b, len(g.levels), len(g.names)))
    names = tuple(str(name) for name in record["names"])
    flags = set(record["flags"])
    stats = {str(name): read(at) for name, at in record["stats"].items()}
    return Sample(
        beta,
        tuple(covariances),
        tuple(effects),
        None if record["sigma"] is None else read(record["sigma"]),
        {str(name): read(at) for name, at in record["constants"].items()},
        read(record["z"], len(names)),
        names,
        read(record["log_posterior"]),
        read(record["log_prior"]),
        {name: a.astype(bool) if name in flags else a for name, a in stats.items()},
        dict(record["info"]),
    )


# --- priors --------------------------------------------------------------------------------------------------------
def priors_record(given: Any) -> Any:
    """What the user gave as priors, as text that `model.priors` reads again; None where nothing was."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return {str(name): priors_record(prior) for name, prior in given.items()}
    if isinstance(given, list | tuple):
        return [priors_record(part) for part in given]
    return prior_text(given)


def prior_text(prior: Any) -> str:
    """A prior with all digits of its parameters: ``normal(location=0.0, scale=2.5)``."""
    whole = getattr(prior, "whole", None)
    if whole is not None:  # cut at zero; elsewhere only positive parameters are, which cuts them again
        text = prior_text(whole)
        return f"half_{text}" if str(prior).startswith("half") else text
    if not is_dataclass(prior):
        return str(prior)
    values = [(f.name, getattr(prior, f.name)) for f in fields(prior) if f.name not in ("count", "unit")]
    if not all(isinstance(value, int | float) for _, value in values):
        return str(prior)
    arguments, name = ", ".join(f"{key}={float(value)!r}" for key, value in values), getattr(prior, "name", "")
    return f"{name}({arguments})" if arguments else str(name)
