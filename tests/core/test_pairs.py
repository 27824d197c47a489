"""The written-out 2 × 2 kernels against the loops over k; `test_fused.py` compares the whole search."""

import numpy as np
import pytest

from multilevel.numerics import elimination, fused, pairs


@pytest.fixture
def blocks():
    """A, B, λ, the corner X'X and the empty arrays of a model without a border."""
    rng = np.random.default_rng(5)
    levels, k, m, rows = 7, 2, 4, 6
    z, x = rng.normal(size=(levels, rows, k)), rng.normal(size=(levels, rows, m))
    a = np.einsum("jra,jrb->jab", z, z)
    b = np.einsum("jra,jrx->jax", z, x)
    a[3], b[3] = 0.0, 0.0  # a level without information
    lam = np.array([[0.8, 0.0], [-0.3, 0.5]])
    corner = np.einsum("jrx,jrz->xz", x, x)
    return np.ascontiguousarray(a), np.ascontiguousarray(b), lam, corner


def arrays():
    i8, i4 = np.zeros(8, dtype=np.int64), np.zeros(0, dtype=np.int32)
    return i8, i4, np.zeros(0), np.zeros((0, 2))


def test_factor_and_sums(blocks):
    a, b, lam, corner = blocks
    levels, m = len(a), b.shape[2]
    i8, i4, none, border = arrays()
    plain_l, plain_w, plain_x = np.zeros((levels, 2, 2)), np.zeros((levels, 2, m)), corner.copy()
    empty8 = np.zeros(0, dtype=np.int64)
    expected = elimination.eliminate_leading(
        a, b, border, i8, i4, i4, i4, none, lam, empty8, 0, 0, 0, plain_l, border, plain_w, none,
        np.zeros((0, m)), plain_x,
    )  # fmt: skip
    factor, w, xx = np.zeros((levels, 2, 2)), np.zeros((levels, 2, m)), corner.copy()
    assert pairs.eliminate(a, b, lam, factor, w, xx) == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(factor, plain_l, rtol=1e-14)
    np.testing.assert_allclose(w, plain_w, rtol=1e-13)
    np.testing.assert_allclose(np.tril(xx), np.tril(plain_x), rtol=1e-12)

    for p in (0, m - 1):  # maximum likelihood, REML
        inverse = np.linalg.inv(np.tril(plain_x)[:p, :p] + np.tril(plain_x, -1)[:p, :p].T) if p else np.zeros((0, 0))
        inverse = np.ascontiguousarray(inverse)
        expected_sum, found_sum = np.zeros((2, 2)), np.zeros((2, 2))
        blank = np.zeros((0, 2, 2))
        elimination.invert_leading(
            a, b, border, i8, i4, i4, i4, i4, none, lam, empty8, 0, 0, 0, plain_l, border, plain_w, none,
            np.zeros((0, p)), inverse, p, expected_sum, none, blank, blank, np.zeros((0, 2)),
        )  # fmt: skip
        pairs.trace_sums(a, b, lam, factor, w, inverse, p, found_sum)
        np.testing.assert_allclose(found_sum, expected_sum, rtol=1e-12)


def test_directions(blocks):
    a, b, lam, corner = blocks
    levels, m = len(a), b.shape[2]
    p = m - 1
    factor, w, xx = np.zeros((levels, 2, 2)), np.zeros((levels, 2, m)), corner.copy()
    pairs.eliminate(a, b, lam, factor, w, xx)
    rng = np.random.default_rng(6)
    u, ze = rng.normal(size=2 * levels), rng.normal(size=2 * levels)
    rows, cols = np.array([0, 1, 1]), np.array([0, 0, 1])
    out, rx, cross = np.empty((3, 3)), np.empty((p, 3)), np.empty(3)
    pairs.directions(a, b, lam, factor, w, rows, cols, u, ze, p, out, rx, cross)

    c = np.zeros((2 * levels, 3))
    first, of = np.arange(0, 2 * levels, 2), np.zeros(levels, dtype=np.int64)
    k, zero = np.array([2]), np.array([0])
    flat = lam.ravel().copy()
    fused.fill_directions(first, of, k, zero, np.zeros(3, dtype=np.int64), rows, cols, flat, u, ze, c)
    zz = np.einsum("jab,jbe->jae", a, c.reshape(levels, 2, 3)).reshape(-1, 3)
    r = np.empty_like(c)
    fused.fill_right_sides(first, of, k, zero, flat, zz, r)
    r = np.stack([np.linalg.solve(f, v) for f, v in zip(factor, r.reshape(levels, 2, 3), strict=True)]).reshape(-1, 3)
    np.testing.assert_allclose(np.tril(out), np.tril(c.T @ zz - r.T @ r), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(cross, c.T @ ze, rtol=1e-12)
    expected = np.einsum("jax,jae->xe", b, c.reshape(levels, 2, 3))
    expected = expected - np.einsum("jax,jae->xe", w, r.reshape(levels, 2, 3))
    np.testing.assert_allclose(rx, expected[:p], rtol=1e-11, atol=1e-12)


def test_not_positive_definite(blocks):
    a, b, lam, corner = blocks
    a[2] = -100.0 * np.eye(2)
    levels, m = len(a), b.shape[2]
    assert np.isnan(pairs.eliminate(a, b, lam, np.zeros((levels, 2, 2)), np.zeros((levels, 2, m)), corner))
