"""B-splines and natural cubic splines: identities, boundaries, and formulaic's values."""

import warnings

import numpy as np
import pytest

from multilevel.errors import DataError
from multilevel.transforms.base import bind, transform

X = np.random.default_rng(5).normal(size=80)


def columns(name, given, x=X, new=None):
    chosen = transform(name)
    memory = chosen.learn(x, name, **bind(chosen, name, (), given))
    return np.column_stack(chosen.apply(x if new is None else np.asarray(new, float), memory, f"{name}(x)"))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("bs", {"df": 5}),
        ("bs", {"df": 7, "degree": 2, "include_intercept": True}),
        ("bs", {"knots": [-0.5, 0.5], "degree": 1}),
        ("bs", {"df": 4, "lower_bound": -10, "upper_bound": 10.5}),
        ("cr", {"df": 6}),
        ("cr", {"df": 3, "constraints": "center"}),
        ("cr", {"knots": [-0.5, 0.0, 0.5]}),
    ],
)
def test_formulaic_gives_the_same(name, given):
    from formulaic.transforms import TRANSFORMS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = TRANSFORMS[name](X, **given, _state={})
    theirs = np.column_stack([theirs.__wrapped__[k] for k in theirs.__wrapped__])
    np.testing.assert_allclose(columns(name, given), theirs, atol=1e-12)


def test_b_splines_with_an_intercept_add_up_to_one():
    np.testing.assert_allclose(columns("bs", {"df": 8, "include_intercept": True}).sum(axis=1), 1, rtol=1e-14)


def test_a_cubic_is_in_the_span_of_b_splines():
    basis = columns("bs", {"df": 8, "include_intercept": True})
    beta = np.linalg.lstsq(basis, X**3, rcond=None)[0]
    np.testing.assert_allclose(basis @ beta, X**3, atol=1e-12)


def test_outside_the_boundary_knots_b_splines_are_refused():
    with pytest.raises(DataError, match=r"bs\(x\): 1 values lie outside .* in row 1") as caught:
        columns("bs", {"df": 5}, new=[0.0, 99.0])
    assert caught.value.code == "E_EXTRAPOLATION"


def test_extension_continues_the_outermost_polynomial():
    given = {"degree": 2, "include_intercept": True, "extrapolate": "extend"}
    beta = np.linalg.lstsq(columns("bs", given), X**2, rcond=None)[0]
    np.testing.assert_allclose(columns("bs", given, new=[5.0, -4.0]) @ beta, [25.0, 16.0], rtol=1e-12)


def test_cubic_regression_splines_interpolate_and_go_on_straight():
    knots = [float(X.min()), -0.5, 0.5, float(X.max())]
    np.testing.assert_allclose(columns("cr", {"knots": [-0.5, 0.5]}, new=knots), np.eye(4), atol=1e-12)
    beyond = columns("cr", {"knots": [-0.5, 0.5]}, new=knots[-1] + np.arange(3.0))
    np.testing.assert_allclose(beyond[2] - beyond[1], beyond[1] - beyond[0], atol=1e-9)


def test_centred_curves_average_zero():
    np.testing.assert_allclose(columns("cr", {"df": 5, "constraints": "center"}).mean(axis=0), 0, atol=1e-14)


def test_two_knots_make_a_straight_line():
    low, high = X.min(), X.max()
    np.testing.assert_allclose(columns("cr", {"df": 2})[:, 1], (X - low) / (high - low), atol=1e-14)
