"""Orthogonal polynomials against R."""

import numpy as np
import pytest

from multilevel.transforms.base import bind, transform

POLY = transform("poly")


def fitted(x, degree):
    x = np.asarray(x, float)
    return POLY.learn(x, "poly", **bind(POLY, "poly", (degree,), {}))


def test_poly_of_1_to_5_as_r():
    # R: poly(1:5, 2); attr(, "coefs"): alpha 3 3, norm2 1 5 10 14 (R puts a leading 1)
    memory = fitted(range(1, 6), 2)
    first, second = POLY.apply(np.arange(1.0, 6), memory, "")
    assert memory["alpha"] == [3.0, 3.0]
    assert memory["norm2"] == [5.0, 10.0, 14.0]
    np.testing.assert_allclose(first, np.array([-2, -1, 0, 1, 2]) / np.sqrt(10), atol=1e-15)
    np.testing.assert_allclose(second, np.array([2, -1, -2, -1, 2]) / np.sqrt(14), atol=1e-15)


def test_prediction_uses_the_training_polynomials():
    # R: predict(poly(1:5, 2), 6) is 3/sqrt(10), 7/sqrt(14)
    first, second = POLY.apply(np.array([6.0]), fitted(range(1, 6), 2), "")
    np.testing.assert_allclose([first[0], second[0]], [3 / np.sqrt(10), 7 / np.sqrt(14)], rtol=1e-15)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
def test_columns_are_orthonormal(shift):
    x = np.random.default_rng(3).normal(size=200) + shift
    columns = np.column_stack([np.full(200, 200**-0.5), *POLY.apply(x, fitted(x, 4), "")])
    np.testing.assert_allclose(columns.T @ columns, np.eye(5), atol=1e-8 if shift else 1e-12)


def test_raw_is_powers():
    memory = POLY.learn(np.arange(4.0), "poly", degree=3, raw=True)
    assert memory["fields"] == ["0", "1", "2"]
    assert [c[3] for c in POLY.apply(np.arange(4.0), memory, "")] == [3.0, 9.0, 27.0]
