"""Bad responses of generalized models, by the project's list (R: responses, T: types)."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from base_data import base

import multilevel as ml
from multilevel import errors
from multilevel.errors import MultilevelWarning

POISSON, BINOMIAL, LMM = "c ~ x + (1|g)", "z ~ x + (1|g)", "y ~ x + (1|g)"


def changed(rows=slice(None), **columns) -> pd.DataFrame:
    data = base()
    for name, value in columns.items():
        new = value(data) if callable(value) else value
        if isinstance(rows, slice):
            data[name] = new
        else:
            data[name] = data[name].astype(float) if name in data else 0.5
            data.loc[rows, name] = new
    return data


ERRORS = [  # id, formula, data, family, code, words
    ("R03", BINOMIAL, lambda: changed(z=0), "binomial", "E_CONSTANT_RESPONSE", ("z", "all 0")),
    ("R03 ones", BINOMIAL, lambda: changed(z=1), "bernoulli", "E_CONSTANT_RESPONSE", ("z", "all 1")),
    ("R04", POISSON, lambda: changed(c=0), "poisson", "E_CONSTANT_RESPONSE", ("c", "all 0")),
    ("R07", POISSON, lambda: changed(c=lambda d: d.c + 0.5), "poisson", "E_RESPONSE_DOMAIN",
     ("c", "integer", "200", "gamma", "offset")),
    ("R08", POISSON, lambda: changed([0], c=-1), "poisson", "E_RESPONSE_DOMAIN", ("c", "-1", "row 0")),
    ("R10 three", BINOMIAL, lambda: changed(z=lambda d: d.c.clip(upper=2).map({0: "a", 1: "b", 2: "c"})), "binomial",
     "E_RESPONSE_DOMAIN", ("z", "3 levels")),
    ("R11", "cbind(c, n) ~ x + (1|g)", lambda: changed(n=3, c=lambda d: d.c.clip(upper=5)), "binomial",
     "E_RESPONSE_DOMAIN", ("c", "n", "trials")),
    ("R11 trials", "c | trials(n) ~ x + (1|g)", lambda: changed(n=3), "binomial", "E_RESPONSE_DOMAIN",
     ("c", "n = 3", "trials")),
    ("R12", "cbind(z, n) ~ x + (1|g)", lambda: changed(n=0), "binomial", "E_RESPONSE_DOMAIN", ("n", "0")),
    ("R12 trials", "z | trials(n) ~ x + (1|g)", lambda: changed([5], n=0, z=0).assign(n=lambda d: np.ceil(d.n)),
     "binomial", "E_RESPONSE_DOMAIN", ("n = 0", "row 5")),
    ("R13", "p ~ x + (1|g)", lambda: changed([0], p=1.0), "beta", "E_RESPONSE_DOMAIN", ("p", "(0, 1)", "row 0")),
    ("R14", LMM, lambda: changed([0], y=0), "gamma", "E_RESPONSE_DOMAIN", ("y", "> 0")),
    ("R14 lognormal", LMM, lambda: changed([0], y=0), "lognormal", "E_RESPONSE_DOMAIN", ("y", "> 0")),
    ("T03", POISSON, lambda: changed(c=lambda d: d.c.astype(str)), "poisson", "E_RESPONSE_NOT_NUMERIC",
     ("c", "str", "convert")),
]  # fmt: skip


@pytest.mark.parametrize(("case", "formula", "data", "family", "code", "words"), ERRORS, ids=[e[0] for e in ERRORS])
def test_refused(case, formula, data, family, code, words):
    with pytest.raises(errors.MultilevelError) as caught:
        ml.fit(formula, data(), family=family)
    assert caught.value.code == code
    text = str(caught.value)
    for word in words:
        assert word in text
    assert len(text) <= 400
    assert text.isprintable()


def quiet(formula, data, family):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MultilevelWarning)
        return ml.fit(formula, data, family=family)


def test_r05_a_group_of_zeros_is_fine():
    fit = quiet(POISSON, changed(range(10), c=0), "poisson")
    assert np.isfinite(fit.estimates.beta).all()
    assert fit.converged


@pytest.mark.parametrize("how", ["truth", "text"])
def test_t02_r10_yes_and_no_equal_zero_and_one(how):
    plain = quiet(BINOMIAL, base(), "binomial")
    words = {"truth": lambda d: d.z.astype(bool), "text": lambda d: d.z.map({0: "no", 1: "yes"})}[how]
    fit = quiet(BINOMIAL, changed(z=words), "binomial")
    np.testing.assert_array_equal(fit.estimates.beta, plain.estimates.beta)
    assert fit.log_likelihood == plain.log_likelihood
    said = {"truth": "P(z = True)", "text": "P(z = yes)"}[how]
    assert said in str(fit.summary())


def test_r15_a_missing_middle_category_is_named():
    data = changed(r=lambda d: pd.Categorical(d.c.clip(0, 3).replace({2: 1}) + 1, categories=[1, 2, 3, 4]))
    with pytest.warns(errors.ResponseWarning, match="3") as seen:
        ml.fit("r ~ x + (1|g)", data, family="cumulative")
    assert "W_EMPTY_CATEGORY" in [getattr(w.message, "code", "") for w in seen]


def test_t01_truth_values_as_numbers_of_another_link():
    with pytest.warns(errors.DtypeWarning, match="binomial") as seen:
        ml.Model("z ~ x; sigma ~ x", changed(z=lambda d: d.z.astype(bool)))
    assert [w.message.code for w in seen] == ["W_BOOL_RESPONSE"]
