"""Hierarchical (multilevel, mixed-effects) models: one formula, every estimator, one kind of fit.

    import multilevel as ml
    fit = ml.fit("Reaction ~ Days + (Days | Subject)", data)
    print(fit.summary())

Names are imported when they are first used, so that ``import multilevel`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from . import plots as plot
    from .checks.calibration import calibrate
    from .checks.check import advise, check
    from .checks.compare_estimators import compare_estimators
    from .checks.influence import influence
    from .checks.kfold import kfold
    from .checks.logo import logo
    from .checks.loo import loo
    from .checks.pooling import pooling
    from .checks.prior_predictive import prior_predictive
    from .checks.sensitivity import prior_sensitivity
    from .data import examples as datasets
    from .fit.fit import Fit
    from .fit.store import load
    from .inference.compare import compare
    from .inference.lrt import lrt
    from .model.model import Model
    from .predictions.simulation import posterior_predictive
    from .reports.report import report

    __version__: str

__all__ = [
    "Fit", "Model", "__version__", "advise", "calibrate", "check", "compare", "compare_estimators", "datasets",
    "errors", "fit", "influence", "kfold", "load", "logo", "loo", "lrt", "plot", "pooling", "posterior_predictive",
    "prior_predictive", "prior_sensitivity", "report",
]  # fmt: skip

# public name → module and the name in it; no name means the module itself
_PLACES: dict[str, tuple[str, str | None]] = {
    "Model": ("model.model", "Model"),
    "Fit": ("fit.fit", "Fit"),
    "load": ("fit.store", "load"),
    "datasets": ("data.examples", None),
    "errors": ("errors", None),
    "plot": ("plots", None),
    "pooling": ("checks.pooling", "pooling"),
    "prior_predictive": ("checks.prior_predictive", "prior_predictive"),
    "prior_sensitivity": ("checks.sensitivity", "prior_sensitivity"),
    "calibrate": ("checks.calibration", "calibrate"),
    "loo": ("checks.loo", "loo"),
    "logo": ("checks.logo", "logo"),
    "kfold": ("checks.kfold", "kfold"),
    "influence": ("checks.influence", "influence"),
    "check": ("checks.check", "check"),
    "report": ("reports.report", "report"),
    "compare": ("inference.compare", "compare"),
    "lrt": ("inference.lrt", "lrt"),
    "advise": ("checks.check", "advise"),
    "compare_estimators": ("checks.compare_estimators", "compare_estimators"),
    "posterior_predictive": ("predictions.simulation", "posterior_predictive"),
}


def fit(
    formula: str,
    data: Any,
    *,
    family: str = "gaussian",
    link: str | None = None,
    weights: Any = None,
    offset: Any = None,
    rank: str = "drop",
    separation: str = "warn",
    priors: Any = None,
    estimator: str | None = None,
    **settings: Any,
) -> Fit:
    """Describe a model and estimate it: ``Model(formula, data, …).fit(estimator, …)`` in one step.

    Parameters
    ----------
    formula, data, family, link, weights, offset, rank, separation, priors :
        As for `Model`.
    estimator : str, optional
        As for `Model.fit`: ``"reml"`` unless the formula has no group term.
    settings :
        Settings of the estimator.

    Returns
    -------
    Fit

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit.n_obs, fit.converged
    (1500, True)
    """
    from .model.model import Model

    model = Model(
        formula, data, family=family, link=link, weights=weights, offset=offset, rank=rank, separation=separation,
        priors=priors,
    )  # fmt: skip
    return model.fit(estimator, **settings)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _PLACES:
        module, attribute = _PLACES[name]
        found = importlib.import_module(f"{__name__}.{module}")
        value = found if attribute is None else getattr(found, attribute)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("multilevel")
    except PackageNotFoundError:  # run from a source tree
        return "0.1.0"


class _Package(ModuleType):
    """Importing the folder `fit/` would bind it here as ``multilevel.fit`` and hide the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "fit" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
