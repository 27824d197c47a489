"""Plots of a fit: ``ml.plot.shrinkage(fit)``, ``ml.plot.fitted(fit)`` …; each returns a Matplotlib figure.

Every file of this folder is a plot, named as the user names it, and Matplotlib is imported when one is drawn.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..registry import member, members


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in members("plots"):
        raise AttributeError(f"module {__name__!r} has no plot {name!r}; it has {', '.join(members('plots'))}")
    globals()[name] = plot = member("plots", name)
    return plot


def __dir__() -> list[str]:
    return [*members("plots")]


class _Folder(ModuleType):
    """Importing the file `shrinkage.py` would bind it here as ``plot.shrinkage`` and hide the function in it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, ModuleType) or name not in members("plots"):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Folder
