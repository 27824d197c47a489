"""Rows and levels left out, against the dense P of every design: errors, covariances, densities, coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from core_designs import cases, covariance, external_lam, likelihood

import multilevel as ml
from multilevel.core import deletion
from multilevel.core.deletion import Deletion
from multilevel.core.internal import internal_rows
from multilevel.core.structured import Structured
from multilevel.formula.design import Design

DESIGNS = cases()
EACH = pytest.mark.parametrize("name", DESIGNS)


@dataclass
class Truth:
    """V and the rest by the textbook, σ² not 1."""

    v: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @property
    def p(self) -> np.ndarray:
        inverse = np.linalg.inv(self.v)
        return inverse - inverse @ self.x @ self.spread() @ self.x.T @ inverse

    def spread(self, rest: np.ndarray | None = None) -> np.ndarray:
        k = np.arange(len(self.y)) if rest is None else rest
        return np.linalg.inv(self.x[k].T @ np.linalg.solve(self.v[np.ix_(k, k)], self.x[k]))

    def beta(self, rest: np.ndarray | None = None) -> np.ndarray:
        k = np.arange(len(self.y)) if rest is None else rest
        return self.spread(k) @ self.x[k].T @ np.linalg.solve(self.v[np.ix_(k, k)], self.y[k])

    def out(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Error, covariance and joint log density of rows given all others, by conditioning, not by P."""
        rest = np.setdiff1d(np.arange(len(self.y)), s)
        k = np.linalg.solve(self.v[np.ix_(rest, rest)], self.v[np.ix_(rest, s)]).T
        error = self.y[s] - self.x[s] @ self.beta(rest) - k @ (self.y[rest] - self.x[rest] @ self.beta(rest))
        d = self.x[s] - k @ self.x[rest]
        c = self.v[np.ix_(s, s)] - k @ self.v[np.ix_(rest, s)] + d @ self.spread(rest) @ d.T
        return error, c, density(error, c)


def density(e: np.ndarray, c: np.ndarray) -> float:
    return -0.5 * (len(e) * np.log(2 * np.pi) + float(np.linalg.slogdet(c)[1]) + float(e @ np.linalg.solve(c, e)))


def prepared(d: Design) -> tuple[Deletion, Truth]:
    """A deletion at parameters that are nobody's optimum."""
    lik = likelihood(d, True)
    theta = lik.start() * np.random.default_rng(1).uniform(0.5, 1.5, lik.n_theta)
    sigma2 = 1.7 if d.known_se is None else 1.0
    rows = internal_rows(SimpleNamespace(design=d, products=lik.products))  # type: ignore[arg-type]
    found = Deletion.at(rows, lik.factors(theta), sigma2 / lik.products.y_shift.scale**2)
    x = np.column_stack([np.ones(d.n) if c is None else c for c in d.fixed_columns] or [np.zeros((d.n, 0))])
    y = d.response - (0.0 if d.offset is None else d.offset)
    return found, Truth(sigma2 * covariance(d, external_lam(lik, theta)), x, y)


@EACH
def test_every_row(name: str) -> None:
    found, truth = prepared(DESIGNS[name])
    out, p = found.rows_out(), truth.p
    error = p @ truth.y / np.diag(p)
    np.testing.assert_allclose(out.error, error, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(out.variance, 1.0 / np.diag(p), rtol=1e-10)
    expected = -0.5 * (np.log(2 * np.pi / np.diag(p)) + error**2 * np.diag(p))
    np.testing.assert_allclose(out.log_density, expected, rtol=1e-10, atol=1e-10)
    for i in (0, 17):
        e, _, one = truth.out(np.array([i]))
        assert (out.error[i], out.log_density[i]) == (pytest.approx(e[0]), pytest.approx(one))
        shift = truth.beta(np.delete(np.arange(len(error)), i)) - truth.beta()
        np.testing.assert_allclose(out.beta[i], shift, rtol=1e-7, atol=1e-9)
        if len(shift):
            cook = shift @ np.linalg.solve(truth.spread(), shift) / len(shift)
            assert out.cooks_distance[i] == pytest.approx(cook, rel=1e-8)


@EACH
def test_every_level_of_every_factor(name: str) -> None:
    """All at once or one after the other, whatever the rows of a level meet."""
    found, truth = prepared(DESIGNS[name])
    for f, codes in enumerate(found.rows.codes):
        n_levels = int(codes.max()) + 1
        for out in (found.groups_out(f), found.sets_out(codes, n_levels)):
            for j in range(n_levels):
                s = np.flatnonzero(codes == j)
                error, c, expected = truth.out(s)
                assert out.log_density[j] == pytest.approx(expected, rel=1e-9, abs=1e-9)
                assert out.quadratic[j] == pytest.approx(error @ np.linalg.solve(c, error), rel=1e-8)
                np.testing.assert_allclose(out.error[s], error, rtol=1e-7, atol=1e-8)
                rest = np.flatnonzero(codes != j)
                shift = truth.beta(rest) - truth.beta()
                np.testing.assert_allclose(out.beta[j], shift, rtol=1e-6, atol=1e-8)
                grown = np.linalg.slogdet(truth.spread(rest))[1] - np.linalg.slogdet(truth.spread())[1]
                assert out.log_det[j] == pytest.approx(grown, abs=1e-9)


@EACH
def test_any_rows_and_parts_of_them(name: str) -> None:
    found, truth = prepared(DESIGNS[name])
    s = np.random.default_rng(3).permutation(len(truth.y))[:31]
    out = found.left_out(s)
    assert out is not None
    error, c, expected = truth.out(s)
    np.testing.assert_allclose(out.error, error, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(out.covariance(), c, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(out.variance, np.diag(c), rtol=1e-8)
    assert out.log_density == pytest.approx(expected, rel=1e-9)
    part = np.array([20, 3, 11, 4])
    assert out.log_density_of(part) == pytest.approx(density(error[part], c[np.ix_(part, part)]), rel=1e-8)
    alone = [density(error[[i]], c[[i]][:, [i]]) for i in range(31)]
    np.testing.assert_allclose(out.log_densities(), alone, rtol=1e-8)


def test_restricted_likelihood_is_the_product_of_what_is_left_out() -> None:
    """log L(all) − log L(others) = log p(left out | others) up to ½ log|X'X|, which does not depend on θ."""
    d = DESIGNS["crossed with slopes"]
    s = np.flatnonzero(d.groups[0].codes == 4)
    found, truth = prepared(d)
    p = truth.p
    out = found.left_out(s)
    assert out is not None
    rest = np.setdiff1d(np.arange(d.n), s)

    def restricted(k: np.ndarray) -> float:
        v, x, y = truth.v[np.ix_(k, k)], truth.x[k], truth.y[k]
        r = y - x @ truth.beta(k)
        inner = np.linalg.slogdet(v)[1] - np.linalg.slogdet(truth.spread(k))[1] + r @ np.linalg.solve(v, r)
        return -0.5 * float((len(k) - x.shape[1]) * np.log(2 * np.pi) + inner)

    assert out.log_density == pytest.approx(restricted(np.arange(d.n)) - restricted(rest), rel=1e-10)
    assert out.quadratic == pytest.approx(float((p @ truth.y)[s] @ np.linalg.solve(p[np.ix_(s, s)], (p @ truth.y)[s])))


@pytest.mark.parametrize("name", ["sparse crossed", "sparse crossed with slopes", "chain of three"])
@pytest.mark.parametrize("dense", [0, 10_000])
def test_pairs_outside_the_pattern(name: str, dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows from everywhere need entries that the selected inverse does not hold."""
    monkeypatch.setattr(deletion, "DENSE", dense)
    found, truth = prepared(DESIGNS[name])
    found._half(np.arange(2))
    s = np.arange(0, len(truth.y), 4)
    found.rows.elimination.solve([0.5 * v for v in found.lam])  # somebody else used the workspace
    out = found.left_out(s)
    assert out is not None
    assert out.log_density == pytest.approx(truth.out(s)[2], rel=1e-9)


def test_frequencies_are_equal_rows() -> None:
    rng = np.random.default_rng(5)
    n = 60
    table = {"x": rng.normal(size=n), "g": rng.integers(0, 8, n), "k": rng.integers(1, 5, n)}
    table["y"] = table["x"] + rng.normal(size=8)[table["g"]] + rng.normal(size=n)
    many = {name: np.repeat(values, table["k"]) for name, values in table.items()}
    few = Deletion(ml.fit("y | weights(k) ~ x + (1 | g)", table))
    all_rows = Deletion(ml.fit("y ~ x + (1 | g)", many))
    first = np.cumsum(table["k"]) - table["k"]
    np.testing.assert_allclose(few.rows_out().log_density, all_rows.rows_out().log_density[first], rtol=1e-7)
    np.testing.assert_allclose(few.rows_out().error, all_rows.rows_out().error[first], rtol=1e-6)
    np.testing.assert_allclose(few.groups_out(0).log_density, all_rows.groups_out(0).log_density, rtol=1e-7)
    np.testing.assert_allclose(few.groups_out(0).beta, all_rows.groups_out(0).beta, atol=1e-6)


def test_what_hangs_on_a_group_or_a_row() -> None:
    base = DESIGNS["crossed two"]
    codes = base.groups[0].codes
    only = (codes == 3) * 1.0
    d = replace(base, fixed_columns=(None, only), fixed_names=("f0", "f1"))
    found, _ = prepared(d)
    assert np.flatnonzero(found.groups_out(0).lost).tolist() == [3]
    assert found.left_out(np.flatnonzero(codes == 3)) is None
    one = replace(base, fixed_columns=(None, (np.arange(base.n) == 7) * 1.0), fixed_names=("f0", "f1"))
    found, _ = prepared(one)
    assert np.flatnonzero(np.isnan(found.rows_out().log_density)).tolist() == [7]
    base = DESIGNS["one factor, k=2"]
    single = replace(base, fixed_columns=(None, (base.groups[0].codes == 2) * 1.0))
    found, _ = prepared(single)
    assert np.flatnonzero(found.groups_out(0).lost).tolist() == [2]


def test_collinear_columns() -> None:
    """Powers of a year, whose cross-products are orthogonalised: the same span as centred powers."""
    rng = np.random.default_rng(6)
    n = 80
    t = np.linspace(2000.0, 2020.0, n)
    g = rng.integers(0, 10, n)
    table = {"y": rng.normal(size=n) + rng.normal(size=10)[g], "t": t, "c": t - 2010.0, "g": g}
    raw = Deletion(ml.fit("y ~ t + I(t**2) + I(t**3) + (1 | g)", table))
    centred = Deletion(ml.fit("y ~ c + I(c**2) + I(c**3) + (1 | g)", table))
    # the optimum itself is known to some 1e-8 here
    np.testing.assert_allclose(raw.rows_out().log_density, centred.rows_out().log_density, atol=1e-6)
    np.testing.assert_allclose(raw.groups_out(0).error, centred.groups_out(0).error, atol=1e-6)
    change = raw.rows_out().beta[:, 3]
    np.testing.assert_allclose(change, centred.rows_out().beta[:, 3], atol=1e-4 * np.abs(change).max())


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(("k", "c"), [(0, 2), (2, 3), (1, 40), (2, 0)])
def test_structured_matrices(sign: float, k: int, c: int) -> None:
    rng = np.random.default_rng(7)
    n = 14
    codes = np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])
    b = Structured(sign, 0.2 * rng.normal(size=(n, k)), codes, 0.3 * rng.normal(size=(n, c)) / np.sqrt(c + 1))
    dense = b.dense()
    assert np.linalg.eigvalsh(dense)[0] > 0.0
    assert b.definite
    assert b.log_det == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-10)
    right = rng.normal(size=(n, 2))
    np.testing.assert_allclose(b.solve(right), np.linalg.solve(dense, right), atol=1e-10)
    np.testing.assert_allclose(b.inverse.dense(), np.linalg.inv(dense), atol=1e-10)
    np.testing.assert_allclose(b.inverse.diagonal, np.diag(np.linalg.inv(dense)), atol=1e-10)
    part = np.array([9, 2, 3])
    np.testing.assert_allclose(b.part(part).dense(), dense[np.ix_(part, part)], atol=1e-12)


def test_structured_matrices_that_are_not_definite() -> None:
    assert not Structured(-1.0, np.zeros((3, 0)), np.zeros(3, int), np.array([[1.1], [0.0], [0.0]])).definite
