"""Models of every shape, fitted once, and data made to be noticed."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import MultilevelWarning

HOSTILE = (
    "$\\foo$", "a$b", "<b>bold</b>", "\x1b[31mred", "x" * 5000, "{}%s", "line\nbreak", "_a^b", "$x_1$", "\u202eabc",
)  # fmt: skip


def many(levels: int, names=str, seed: int = 1, slope: float = 0.0) -> pd.DataFrame:
    """`levels` groups of two to eight rows, with a predictor."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(levels), rng.integers(2, 9, levels))
    x = rng.normal(0, 1, len(code))
    y = rng.normal(0, 1, levels)[code] + (1 + slope * rng.normal(0, 1, levels)[code]) * x + rng.normal(0, 1, len(code))
    return pd.DataFrame({"g": [names(c) for c in code], "x": x, "y": y})


def hostile() -> pd.DataFrame:
    """Names of columns and levels that are markup, control characters, or too long."""
    data = many(len(HOSTILE), lambda c: HOSTILE[c], seed=5, slope=0.5)
    data = pd.concat([data] * 2, ignore_index=True)
    data["y"] += np.random.default_rng(1).normal(0, 0.5, len(data))
    return data.rename(columns={"g": "g $\\bar{g}$", "x": "x_{1}$ & <i>", "y": "y $^2$\n"})


def singular() -> pd.DataFrame:
    """Four groups that are exactly alike."""
    y = [1.0, 2.0, 3.0, 4.0, 5.5, 6.5]
    return pd.DataFrame({"y": y * 4, "x": [0.0, 1.0, 2.0, 3.0, 4.0, 6.0] * 4, "g": np.repeat(list("abcd"), 6)})


def made() -> dict:
    load = ml.datasets.load
    return {
        "schools": ("score ~ 1 + (1 | school)", load("schools")),
        "eight": ("y | se(sigma) ~ 1 + (1 | school)", load("eight_schools")),
        "classes": ("score ~ ses + funding + (ses | school) + (1 | classroom)", load("classes")),
        "ratings": ("rating ~ familiarity + (1 | rater) + (1 | item)", load("ratings")),
        "hostile": ("`y $^2$\n` ~ `x_{1}$ & <i>` + (1 + `x_{1}$ & <i>` | `g $\\bar{g}$`)", hostile()),
        "singular": ("y ~ x + (x | g)", singular()),
        "many": ("y ~ x + (x | g)", many(150, lambda c: f"clinic {c:03d}", slope=0.5)),
    }


@pytest.fixture
def words():
    """The heading and the note of a figure, on one line."""
    return lambda figure: " ".join(" ".join(t.get_text() for t in figure.texts).split())


@pytest.fixture
def groups_of_any_size():
    """`many`, for tests."""
    return many


@pytest.fixture(scope="session")
def fits() -> dict:
    """Name → fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        return {name: ml.fit(formula, data) for name, (formula, data) in made().items()}


@pytest.fixture(scope="session")
def schools(fits):
    return fits["schools"]


@pytest.fixture(scope="session")
def classes(fits):
    return fits["classes"]
