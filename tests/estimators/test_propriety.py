"""A posterior that does not exist is refused before anything is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel import errors
from multilevel.estimators.propriety import check_propriety


def separated(at: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    return pd.DataFrame({"y": (x > x.mean() + at).astype(int), "x": x, "g": rng.integers(0, 6, 60)})


def test_separated_slopes_without_prior_are_refused() -> None:
    model = ml.Model("y ~ x + (1 | g)", separated(0.0), family="bernoulli", priors="brms")
    with pytest.raises(errors.IdentifiabilityError, match=r"improper.*x.*prior") as caught:
        check_propriety(model)
    assert caught.value.code == "E_IMPROPER"


def test_a_prior_of_the_intercept_can_be_enough() -> None:
    """Far from the mean of x the intercept there runs off with the slope, and its prior stops both."""
    check_propriety(ml.Model("y ~ x + (1 | g)", separated(1.0), family="bernoulli", priors="brms"))


def test_proper_slopes_are_always_enough() -> None:
    priors = {"set": "brms", "beta": "normal(0, 2.5)"}
    check_propriety(ml.Model("y ~ x + (1 | g)", separated(0.0), family="bernoulli", priors=priors))


def test_overlapping_rows_need_no_prior() -> None:
    table = separated(0.0)
    table.loc[table["x"].idxmax(), "y"] = 0
    check_propriety(ml.Model("y ~ x + (1 | g)", table, family="bernoulli", priors="brms"))
