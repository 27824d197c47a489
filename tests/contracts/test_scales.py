"""Every member of `scales/` against the contract in `scales/base.py`. A new file is tested on arrival."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.registry import member, members
from multilevel.scales.base import Scale

OPTIONS: dict[str, list[dict]] = {"compound_symmetry": [{}, {"hom": True}]}
CASES = [(name, k, options) for name in members("scales") for options in OPTIONS.get(name, [{}]) for k in (1, 2, 3, 5)]


@pytest.fixture(params=CASES, ids=[f"{n}-{k}{'-hom' if o else ''}" for n, k, o in CASES])
def scale(request: pytest.FixtureRequest) -> Scale:
    name, k, options = request.param
    return member("scales", name)(k, **options)


def thetas(scale: Scale, count: int, seed: int = 0) -> list[np.ndarray]:
    """Random interior parameters."""
    rng = np.random.default_rng(seed)
    low, high = scale.bounds() if scale.k > 1 else (-1.0, 1.0)
    draw = {
        "positive": lambda: float(np.exp(rng.normal(0, 1))),
        "free": lambda: float(rng.normal(0, 1)),
        "bounded": lambda: float(low + (high - low) * rng.uniform(0.05, 0.95)),
    }
    return [np.array([draw[kind]() for kind in scale.kinds()]) for _ in range(count)]


def covariance(scale: Scale, theta: np.ndarray) -> np.ndarray:
    lam = scale.factor(theta)
    return lam @ lam.T


def test_kinds_start_and_shapes_agree(scale: Scale) -> None:
    kinds, start = scale.kinds(), scale.start()
    assert set(kinds) <= {"positive", "free", "bounded"}
    assert start.shape == (len(kinds),)
    assert np.isfinite(start).all()
    assert all(v > 0 for v, kind in zip(start, kinds, strict=True) if kind == "positive")
    assert scale.factor(start).shape == (scale.k, scale.k)
    assert scale.derivative(start).shape == (len(kinds), scale.k, scale.k)
    values = np.linalg.eigvalsh(covariance(scale, start))
    assert values[0] > 0.1  # far from every boundary
    assert kinds.count("bounded") <= 1


def test_bounded_parameters_start_inside(scale: Scale) -> None:
    if "bounded" in scale.kinds():
        low, high = scale.bounds()
        assert low < scale.start()[scale.kinds().index("bounded")] < high


def test_covariance_is_symmetric_and_semidefinite(scale: Scale) -> None:
    for theta in thetas(scale, 50):
        v = covariance(scale, theta)
        assert np.isfinite(v).all()
        assert np.array_equal(v, v.T)
        assert np.linalg.eigvalsh(v)[0] >= -1e-12 * np.trace(v)


def test_derivative_against_differences(scale: Scale) -> None:
    for theta in thetas(scale, 10, seed=1):
        exact = scale.derivative(theta)
        for j in range(len(theta)):
            h = 1e-6 * max(abs(theta[j]), 0.1)
            up, down = theta.copy(), theta.copy()
            up[j] += h
            down[j] -= h
            near = (scale.factor(up) - scale.factor(down)) / (2 * h)
            np.testing.assert_allclose(exact[j], near, rtol=1e-6, atol=1e-8)


def test_from_covariance_inverts(scale: Scale) -> None:
    for theta in thetas(scale, 20, seed=2):
        v = covariance(scale, theta)
        back = scale.from_covariance(v)
        assert back.shape == theta.shape
        np.testing.assert_allclose(covariance(scale, back), v, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(back, theta, rtol=1e-6, atol=1e-9)


def test_from_covariance_of_nothing(scale: Scale) -> None:
    theta = scale.from_covariance(np.zeros((scale.k, scale.k)))
    assert np.isfinite(theta).all()
    np.testing.assert_array_equal(covariance(scale, theta), np.zeros((scale.k, scale.k)))


def test_entries_name_the_places_in_a_triangle(scale: Scale) -> None:
    if not scale.triangular:
        with pytest.raises(TypeError):
            scale.entries()
        return
    rows, cols = scale.entries()
    assert len(rows) == len(scale.kinds())
    assert (rows >= cols).all()
    (theta,) = thetas(scale, 1, seed=3)
    lam = scale.factor(theta)
    np.testing.assert_array_equal(lam[rows, cols], theta)
    assert np.count_nonzero(lam) == len(theta)
    for (row, col), kind in zip(zip(rows, cols, strict=True), scale.kinds(), strict=True):
        assert kind == ("positive" if row == col else "free")
    slopes = np.zeros((len(theta), scale.k, scale.k))
    slopes[np.arange(len(theta)), rows, cols] = 1.0
    np.testing.assert_array_equal(scale.derivative(theta), slopes)


def positives(scale: Scale) -> list[int]:
    return [j for j, kind in enumerate(scale.kinds()) if kind == "positive"]


def test_zeroed_reaches_the_boundary_and_stays_close(scale: Scale) -> None:
    for theta in thetas(scale, 10, seed=4):
        before = covariance(scale, theta)
        for j in positives(scale):
            out = scale.zeroed(theta, j)
            assert out is not theta
            assert out[j] == 0.0
            assert all(out[e] == 0.0 for e in scale.tied(j))
            after = covariance(scale, out)
            assert np.isfinite(after).all()
            # a rank is lost (k − 1 for the second eigenvalue of homogeneous compound symmetry)
            assert np.linalg.matrix_rank(after, tol=1e-10 * np.trace(before)) < scale.k
            # what is not on the boundary keeps its own variance where the family allows it
            small = theta.copy()
            small[j] = 1e-9
            small[list(scale.tied(j))] *= 1e-9
            near = scale.zeroed(small, j)
            np.testing.assert_allclose(covariance(scale, near), covariance(scale, small), atol=1e-8 * np.trace(before))


def test_positive_parameters_of_a_triangle_are_even(scale: Scale) -> None:
    """−θ_j (with what is tied to it) is the same covariance: zero is stationary, and the driver relies on it."""
    if not scale.triangular:
        return
    for theta in thetas(scale, 5, seed=5):
        for j in positives(scale):
            mirrored = theta.copy()
            mirrored[[j, *scale.tied(j)]] *= -1.0
            np.testing.assert_allclose(covariance(scale, mirrored), covariance(scale, theta), rtol=1e-12, atol=1e-14)


def test_tied_parameters_are_other_parameters(scale: Scale) -> None:
    for j in positives(scale):
        tied = scale.tied(j)
        assert j not in tied
        assert all(0 <= e < len(scale.kinds()) for e in tied)
        assert all(scale.kinds()[e] == "free" for e in tied)


def test_release_only_downhill(scale: Scale) -> None:
    n = len(scale.kinds())
    zeros = positives(scale)
    flat = np.zeros(n)
    weight = np.full(n, 10.0)
    assert scale.release(flat, np.zeros(n), weight, zeros) is None
    uphill = np.zeros(n)
    uphill[zeros] = 1.0
    assert scale.release(flat, uphill, weight, zeros) is None
    downhill = uphill.copy()
    downhill[zeros[-1]] = -1.0
    direction = scale.release(flat, downhill, weight, zeros)
    assert direction is not None
    assert np.isfinite(direction).all()
    assert direction[zeros[-1]] > 0.0
    assert all(direction[j] >= 0.0 for j in zeros)


def test_unstructured_releases_along_a_correlation() -> None:
    """Both variances rise alone, together they fall: the score matrix is indefinite with a positive diagonal."""
    scale = member("scales", "unstructured")(2)
    rows, cols = scale.entries()
    score = np.where(rows == cols, 0.5, -1.0)
    direction = scale.release(np.zeros(3), score, np.ones(3), [0, 2])
    assert direction is not None
    lam = scale.factor(direction)
    matrix = np.array([[0.5, -1.0], [-1.0, 0.5]])
    assert np.trace(matrix @ lam @ lam.T) < 0.0
    assert scale.release(np.zeros(3), np.where(rows == cols, 0.5, -0.4), np.ones(3), [0, 2]) is None


def test_unstructured_semidefinite_covariances() -> None:
    scale = member("scales", "unstructured")(3)
    rng = np.random.default_rng(6)
    for rank in (0, 1, 2, 3):
        a = rng.standard_normal((3, rank))
        v = a @ a.T
        theta = scale.from_covariance(v)
        np.testing.assert_allclose(covariance(scale, theta), v, atol=1e-12)
        diagonal = theta[[j for j, kind in enumerate(scale.kinds()) if kind == "positive"]]
        assert (diagonal >= 0.0).all()
        assert np.count_nonzero(diagonal) == rank


@pytest.mark.parametrize("k", [2, 3, 5])
def test_compound_symmetry_at_the_ends_of_its_interval(k: int) -> None:
    scale = member("scales", "compound_symmetry")(k)
    low, high = scale.bounds()
    assert (low, high) == (-1.0 / (k - 1), 1.0)
    for rho, rank in ((high, 1), (low, k - 1)):
        v = covariance(scale, np.append(np.ones(k), rho))
        np.testing.assert_allclose(v, (1 - rho) * np.eye(k) + rho, atol=1e-12)
        assert np.linalg.matrix_rank(v, tol=1e-7) == rank


def test_compound_symmetry_is_what_it_says() -> None:
    scale = member("scales", "compound_symmetry")(4)
    sd, rho = np.array([0.5, 1.0, 2.0, 3.0]), 0.3
    correlation = (1 - rho) * np.eye(4) + rho
    np.testing.assert_allclose(covariance(scale, np.append(sd, rho)), np.outer(sd, sd) * correlation, rtol=1e-13)
    equal = member("scales", "compound_symmetry")(4, hom=True)
    theta = equal.from_covariance(2.0 * correlation)
    np.testing.assert_allclose(covariance(equal, theta), 2.0 * correlation, rtol=1e-13)
