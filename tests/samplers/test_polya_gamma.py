"""Pólya–Gamma numbers against their cumulants, their Laplace transform, and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from multilevel.numerics.polya_gamma import TERMS, WHOLE, moments
from multilevel.samplers.polya_gamma import draw


def cumulant(order: int, b: float, c: float, first: int, last: int = 2_000_000) -> float:
    """κ of Σ_{k ≥ first} w_k Gamma(b, 1): (order − 1)! b Σ w^order."""
    k = np.arange(first, last)
    w = 0.5 / (math.pi**2 * ((k - 0.5) ** 2 + (c / (2.0 * math.pi)) ** 2))
    return float(math.factorial(order - 1) * b * (w**order).sum())


@pytest.mark.parametrize(("b", "c"), [(1.0, 0.0), (1.0, 0.01), (2.5, 0.05), (1.0, 1.0), (3.0, -7.0), (0.3, 40.0)])
def test_moments(b, c):
    mean, variance = moments(b, c)
    assert mean == pytest.approx(cumulant(1, b, c, 1), rel=1e-5)  # the sum is cut at 2e6 terms
    assert variance == pytest.approx(cumulant(2, b, c, 1), rel=1e-9)


@pytest.mark.parametrize(("c", "share"), [(0.0, 1e-8), (2.0, 1e-8), (10.0, 2e-6)])
def test_what_the_last_gamma_stands_for(c, share):
    """Its third cumulant 2 v²/m misses that of the terms it replaces by a trifle of the whole."""
    mean, variance = cumulant(1, 1.0, c, TERMS + 1), cumulant(2, 1.0, c, TERMS + 1)
    missed = abs(2.0 * variance**2 / mean - cumulant(3, 1.0, c, TERMS + 1))
    assert missed < share * cumulant(3, 1.0, c, 1)


PAIRS = [(1, 0.0), (1, 2.5), (1, 30.0), (1, 90.0), (4, 1.0), (20, 3.0), (0.4, 1.0), (7.3, 0.2)]


@pytest.mark.parametrize(("b", "c"), PAIRS)
def test_laplace_transform(b, c):
    """E exp(−tω) = cosh^b(c/2) / cosh^b((c²/4 + t/2)^½)."""
    n = 40_000
    w = draw(np.full(n, float(b)), np.full(n, c), np.random.default_rng(7))
    mean = moments(float(b), c)[0]
    for t in (0.5 / mean, 2.0 / mean):
        inner = math.sqrt(0.25 * c * c + 0.5 * t)
        log_cosh = [v + math.log1p(math.exp(-2.0 * v)) for v in (0.5 * c, inner)]
        exact = math.exp(b * (log_cosh[0] - log_cosh[1]))
        found = np.exp(-t * w)
        assert abs(found.mean() - exact) < 4.5 * found.std() / math.sqrt(n)


@pytest.mark.parametrize("c", [0.3, 4.0])
def test_both_ways_to_draw_agree(c):
    """Sums of exact numbers against the series, at a whole b where either could be used."""
    n, b = 20_000, WHOLE
    exact = draw(np.full(n, b), np.full(n, c), np.random.default_rng(1))
    series = draw(np.full(n, b + 1e-9), np.full(n, c), np.random.default_rng(2))
    assert stats.ks_2samp(exact, series).pvalue > 1e-3


def test_rows_without_trials_and_seeds():
    b, c = np.array([0.0, 1.0, 2.5]), np.array([1.0, -1.0, 0.0])
    first = draw(b, c, np.random.default_rng(3))
    assert first[0] == 0.0
    assert np.all(first[1:] > 0.0)
    assert np.array_equal(first, draw(b, c, np.random.default_rng(3)))
