"""Functions of one variable against 60-digit arithmetic, and the algebra of jets against derivatives known in full."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multilevel.numerics import functions, jets

TABLE = json.loads((Path(__file__).parent / "functions.json").read_text(encoding="utf-8"))
DIGITS = {"log_ndtr": 1e-11, "stirling_error": 1e-12}  # beyond the second derivative, where its parts cancel


@pytest.mark.parametrize("name", TABLE)
def test_values_and_derivatives(name):
    x = np.array([point for point, _ in TABLE[name]])
    exact = np.array([numbers for _, numbers in TABLE[name]])
    with np.errstate(all="ignore"):
        found = jets.derivatives(getattr(functions, name)(jets.variables(x[:, None], 4)[0]), len(x), 1, 4)
        plain = getattr(functions, name)(x)
    for k in range(5):
        tolerance = DIGITS.get(name, 2e-14) if k > 1 else 2e-14
        error = np.abs(found[k].ravel() - exact[:, k]) / (1.0 + np.abs(exact[:, k]))
        assert error.max() < tolerance, (k, x[error.argmax()])
    np.testing.assert_array_equal(plain, found[0])


@pytest.mark.parametrize("name", ["log1pexp", "log_loglog", "log_log1pexp", "log_ndtr", "ndtr", "stirling_error"])
def test_the_whole_range_of_a_predictor_is_finite(name):
    x = np.array([-700.0, -300.0, -50.0, 50.0, 300.0, 700.0])
    with np.errstate(all="ignore"):
        found = jets.derivatives(getattr(functions, name)(jets.variables(x[:, None], 4)[0]), len(x), 1, 4)
    assert all(np.isfinite(d).all() for d in found)


def test_small_tails_keep_their_digits():
    """Relative, not absolute: Mills' ratio minus its leading part, at 30 standard deviations."""
    x = np.array([-30.0])
    found = jets.derivatives(functions.log_ndtr(jets.variables(x[:, None], 3)[0]), 1, 1, 3)
    exact = next(numbers for point, numbers in TABLE["log_ndtr"] if point == -30)
    for k in range(4):
        np.testing.assert_allclose(found[k].ravel()[0], exact[k], rtol=1e-8)


def polynomial(rng: np.random.Generator, m: int, degree: int):
    """A random polynomial as a function of jets, arrays or numbers."""
    powers = rng.integers(0, degree + 1, size=(4, m))
    weights = rng.normal(size=4)

    def f(v):
        total = 0.0
        for w, row in zip(weights, powers, strict=True):
            term = w
            for x, p in zip(v, row, strict=True):
                for _ in range(p):
                    term = x * term
            total = term + total
        return total

    def derivative(v, index):
        total = 0.0
        for w, row in zip(weights, powers, strict=True):
            term = w
            for variable, (x, p) in enumerate(zip(v, row, strict=True)):
                d = index.count(variable)
                term = term * (np.prod(np.arange(p, p - d, -1.0)) * x ** max(p - d, 0) if d <= p else 0.0)
            total = total + term
        return total

    return f, derivative


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_polynomials_are_exact(m):
    rng = np.random.default_rng(m)
    eta = rng.normal(size=(5, m))
    f, derivative = polynomial(rng, m, 3)
    found = jets.derivatives(f(jets.variables(eta, 4)), 5, m, 4)
    for degree in range(5):
        for index in np.ndindex(*[m] * degree):
            exact = derivative(eta.T, index) * np.ones(5)
            np.testing.assert_allclose(found[degree][(slice(None), *index)], exact, rtol=1e-12, atol=1e-12)


def test_quotients_powers_and_choices():
    eta = np.array([[0.4, 1.3], [2.0, 0.7], [1.1, 2.5]])
    a, b = jets.variables(eta, 4)
    left = jets.derivatives(a / b - 1.0 / (b / a), 3, 2, 4)
    for d in left:
        np.testing.assert_allclose(d, 0.0, atol=1e-12)
    same = jets.derivatives(functions.exp(1.7 * functions.log(a)) - jets.power(a, 1.7), 3, 2, 4)
    for d in same:
        np.testing.assert_allclose(d, 0.0, atol=1e-11)
    mask = np.array([True, False, True])
    chosen = jets.derivatives(jets.where(mask, a * b, functions.log(a)), 3, 2, 4)
    either = [jets.derivatives(x, 3, 2, 4) for x in (a * b, functions.log(a))]
    for d, first, second in zip(chosen, *either, strict=True):
        np.testing.assert_array_equal(d, np.where(mask.reshape(-1, *[1] * (d.ndim - 1)), first, second))


def test_what_was_not_chosen_may_be_nan():
    x = jets.variables(np.array([[-1.0], [2.0]]), 2)[0]
    with np.errstate(all="ignore"):
        found = jets.derivatives(jets.where(np.array([False, True]), functions.log(x), x), 2, 1, 2)
    assert all(np.isfinite(d).all() for d in found)


def test_a_constant_column_gives_the_same_derivatives():
    rng = np.random.default_rng(2)
    eta = np.column_stack([rng.normal(size=6), np.full(6, 0.3)])

    def f(a, b):
        return functions.log1pexp(a * b) * functions.exp(b) + functions.stirling_error(b)

    together = jets.derivatives(f(*jets.variables(eta, 4)), 6, 2, 4)
    for i in range(6):
        alone = jets.derivatives(f(*jets.variables(eta[i : i + 1], 4)), 1, 2, 4)
        for d, e in zip(together, alone, strict=True):
            np.testing.assert_allclose(d[i], e[0], rtol=1e-13, atol=1e-14)
