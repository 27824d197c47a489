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

HIDDEN = {"base"}


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
        noun = folder.removesuffix("s")
        hint = nearest(name, known) or f"Available: {listed(known, 20)}."
        raise SettingError(f'unknown {noun} "{printable(name)}"', hint=hint, known=known)
    return importlib.import_module(f"multilevel.{folder}.{name}").MEMBER
