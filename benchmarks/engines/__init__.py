"""Engines by name: one file each, found by listing the folder; importing this loads none of them."""

from __future__ import annotations

import importlib
from pathlib import Path

from .base import Engine

_NOT_ENGINES = {"__init__", "base", "r_session"}
OURS = "multilevel"
_FILES = (file.stem for file in Path(__file__).parent.glob("*.py"))
NAMES = tuple(sorted((n for n in _FILES if n not in _NOT_ENGINES), key=lambda n: (n != OURS, n)))  # ours first


def engine(name: str) -> Engine:
    """The engine of that name; its package is imported when it is first used."""
    found: Engine = importlib.import_module(f"{__name__}.{name}").ENGINE
    return found
