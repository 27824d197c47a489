"""The contract, for every transform in the folder."""

import json

import numpy as np
import pytest

from multilevel.errors import FormulaError, IdentifiabilityError, NonFiniteError
from multilevel.transforms.base import bind, functions, transform

SETTINGS = {
    "poly": [{"degree": 3}, {"degree": 3, "raw": True}],
    "bs": [{"df": 5}, {"knots": [1.0, 2.0], "degree": 2}, {"df": 6, "include_intercept": True}],
    "cr": [{"df": 4}, {"df": 3, "constraints": "center"}, {"knots": [1.0, 1.7]}],
    "scale": [{}, {"center": False}, {"scale": False}, {"center": 1, "scale": 0}],
}
CASES = [(name, given) for name in functions() for given in SETTINGS.get(name, [{}])]
X = np.random.default_rng(1).permutation(np.linspace(0.25, 3.0, 67))


def taught(name, given, x=X):
    chosen = transform(name)
    return chosen, chosen.learn(x, name, **bind(chosen, name, (), given))


@pytest.fixture(params=CASES, ids=str)
def learned(request):
    return taught(*request.param)


def test_the_memory_survives_json(learned):
    chosen, memory = learned
    again = json.loads(json.dumps(memory, allow_nan=False))
    for a, b in zip(chosen.apply(X, memory, ""), chosen.apply(X, again, ""), strict=True):
        assert a.tobytes() == b.tobytes()


def test_each_row_depends_on_that_row_only_bit_for_bit(learned):
    chosen, memory = learned
    whole = chosen.apply(X, memory, "")
    for rows in (slice(0, 1), slice(3, 20), slice(None, None, 3), np.array([60, 2, 2])):
        for column, part in zip(whole, chosen.apply(X[rows], memory, ""), strict=True):
            assert column[rows].tobytes() == part.tobytes()


def test_one_array_of_the_right_length_for_each_field(learned):
    chosen, memory = learned
    assert len(chosen.apply(X, memory, "")) == max(1, len(memory["fields"]))
    assert all(c.shape == (67,) and c.dtype == np.float64 for c in chosen.apply(X, memory, ""))
    assert all(c.shape == (0,) for c in chosen.apply(X[:0], memory, ""))


def test_missing_values_pass_through(learned):
    chosen, memory = learned
    holed = X.copy()
    holed[4] = np.nan
    for column, whole in zip(chosen.apply(holed, memory, ""), chosen.apply(X, memory, ""), strict=True):
        assert np.flatnonzero(np.isnan(column)).tolist() == [4]
        assert np.delete(column, 4).tobytes() == np.delete(whole, 4).tobytes()


def test_the_input_is_left_alone():
    frozen = X.copy()
    frozen.flags.writeable = False
    for name, given in CASES:
        chosen, memory = taught(name, given, frozen)
        chosen.apply(frozen, memory, "")


def test_scale_uses_the_divisor_n_minus_1():
    chosen, memory = taught("scale", {}, np.array([1.0, 2.0, 3.0, 4.0]))
    assert memory["scale"] == np.std([1, 2, 3, 4], ddof=1)
    assert chosen.apply(np.array([2.5]), memory, "")[0][0] == 0


def test_aliases_are_the_same_object():
    assert transform("centre") is transform("center")
    assert transform("standardize") is transform("scale")


def test_a_constant_cannot_be_scaled():
    with pytest.raises(NonFiniteError, match="standard deviation is 0"):
        taught("scale", {}, np.ones(5))


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("poly", {"degree": 0}, "whole number of at least 1"),
        ("poly", {"degree": 1.5}, "whole number"),
        ("poly", {"degrees": 2}, '"degrees" is no setting; known: degree, raw'),
        ("bs", {"df": 5, "knots": [1.0]}, "not both"),
        ("bs", {"df": 2}, "at least 3"),
        ("bs", {"knots": [9.0]}, "between 0.25 and 3"),
        ("bs", {"lower_bound": 1.0}, "must contain the data"),
        ("bs", {"extrapolate": "yes"}, "extrapolate"),
        ("cr", {}, 'give "df" or "knots"'),
        ("cr", {"df": 4, "constraints": "sum"}, "constraints"),
        ("scale", {"center": "mean"}, '"center" must be True or False'),
        ("scale", {"scale": 2.5}, '"scale" must be True or False'),
        ("log", {"base": 2}, '"base" is no setting; known: none'),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, given, says):
    with pytest.raises(FormulaError, match=says) as caught:
        taught(name, given)
    assert caught.value.code == "E_FORMULA_FUNCTION"


@pytest.mark.parametrize(("name", "given"), [("poly", {"degree": 3}), ("cr", {"df": 5}), ("bs", {"df": 3})])
def test_too_few_distinct_values(name, given):
    few = np.ones(8) if name == "bs" else np.repeat([1.0, 2.0, 3.0], 4)
    with pytest.raises(IdentifiabilityError, match="distinct"):
        taught(name, given, few)


def test_an_unknown_function_is_answered_with_the_nearest():
    with pytest.raises(FormulaError, match='did you mean "sqrt"') as caught:
        transform("sqr")
    assert caught.value.code == "E_FORMULA_FUNCTION"


def test_too_many_settings():
    with pytest.raises(FormulaError, match="at most 2"):
        bind(transform("poly"), "poly(x, 1, 2, 3)", (1, 2, 3), {})
