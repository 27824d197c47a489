"""Members of a folder, found by file name: `scales/diagonal.py` is what ``"diagonal"`` means.

A folder's members are its modules; each module names its class or record in `MEMBER`.
Nothing is imported until it is asked for, and a typo is answered with the nearest name.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from .errors import SettingError, listed, nearest, printable

NOUNS = {"families": "family"}
# modules of a folder that are shared work, not members
HIDDEN = {
    "base",
    "maximise",
    "approximate",
    "progress",
    "support",
    "counts",
    "censoring",
    "ordinal",
    "mixtures",
    "limits",
    "bayesian",
    "propriety",
    "record",
    "terms",
    "parse",
    "covariance",
}
# the names of R's families, of brms and of the field, for the files that hold them
ALIASES = {
    "families": {
        "normal": "gaussian",
        "binary": "bernoulli",
        "nbinom": "negative_binomial",
        "nbinom2": "negative_binomial",
        "negbin": "negative_binomial",
        "negbinomial": "negative_binomial",
        "nb": "negative_binomial",
        "nb2": "negative_binomial",
        "nbinom1": "negative_binomial_1",
        "nb1": "negative_binomial_1",
        "inverse_gauss": "inverse_gaussian",
        "inversegaussian": "inverse_gaussian",
        "log_normal": "lognormal",
        "student_t": "student",
        "t": "student",
        "t_family": "student",
        "betabinomial": "beta_binomial",
        "beta_family": "beta",
        "zip": "zero_inflated_poisson",
        "zinb": "zero_inflated_negative_binomial",
        "zero_inflated_negbinomial": "zero_inflated_negative_binomial",
        "zero_inflated_nbinom2": "zero_inflated_negative_binomial",
        "hurdle_negbinomial": "hurdle_negative_binomial",
        "hurdle_nbinom2": "hurdle_negative_binomial",
        "ordinal": "cumulative",
        "clm": "cumulative",
        "clmm": "cumulative",
        "polr": "cumulative",
        "multinomial": "categorical",
    },
    "priors": {
        "gaussian": "normal",
        "t": "student_t",
        "student": "student_t",
        "exp": "exponential",
        "double_exponential": "laplace",
        "inverse_gamma": "inv_gamma",
        "invgamma": "inv_gamma",
        "log_normal": "lognormal",
    },
    "priors.covariance": {"inverse_wishart": "inv_wishart", "lkj_corr": "lkj", "lkj_corr_cholesky": "lkj"},
}


@cache
def members(folder: str) -> tuple[str, ...]:
    """Public names of a folder, sorted: ``members("scales")``."""
    package = importlib.import_module(f"multilevel.{folder}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in HIDDEN))


@cache
def member(folder: str, name: str) -> Any:
    """The member `name` of a folder: ``member("estimators", "reml")``.

    Raises
    ------
    SettingError
        If the folder has no such file; the message lists those that exist and the nearest name.
    """
    known = members(folder)
    if name not in known:
        noun = NOUNS.get(folder, folder.removesuffix("s"))
        hint = nearest(name, known) or f"Available: {listed(known, 20)}."
        raise SettingError(f'unknown {noun} "{printable(name)}"', hint=hint, known=known)
    return importlib.import_module(f"multilevel.{folder}.{name}").MEMBER


def official(folder: str, name: str) -> str:
    """The public name of a member by any of its names, in any case: ``"Gamma"``, ``"nbinom2"``."""
    plain = (
        name.strip().lower().replace("-", "_").replace(".", "_").replace(" ", "_") if isinstance(name, str) else name
    )
    known = ALIASES.get(folder, {}).get(plain, plain)
    return known if known in members(folder) else str(name)


def make_estimator(name: str, settings: dict[str, Any]) -> Any:
    """The estimator of that name with these settings; an unknown setting is answered with the nearest.

    Raises
    ------
    SettingError
        For an unknown estimator or setting.
    """
    from dataclasses import fields

    record = member("estimators", name.lower().replace("-", "_"))
    known = [f.name for f in fields(record)]
    for key in settings:
        if key not in known:
            hint = nearest(key, known) or (f"It has: {listed(known, 12)}." if known else "It has no settings.")
            raise SettingError(f'the estimator "{name}" has no setting "{printable(key)}"', hint=hint)
    return record(**settings)
