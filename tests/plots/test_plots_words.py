"""Words, numbers and places of names."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.plots.base import apart, between, number, percent, reach, safe, thinned


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((61.94, 77.29), "61.9 to 77.3"),
        ((-0.31, 15.7), "−0.3 to 15.7"),
        ((-0.04, 12.0), "0.0 to 12.0"),
        ((0.0, 0.1471), "0.000 to 0.147"),
        ((216.4, 381.2), "216 to 381"),
        ((1e12, 1e12 + 5e9), "1e+12 to 1.005e+12"),
        ((5.22e-8, 7e-8), "5.22e−08 to 7e−08"),
        ((3.0, 3.0), "3 to 3"),
        ((0.5, float("inf")), "0.5 to –"),
    ],
)
def test_intervals_have_the_digits_that_tell_their_ends_apart(ends, text):
    assert between(*ends) == text


def test_numbers_and_shares():
    assert [number(v) for v in (1234.6, 0.01234, -3.2, float("nan"))] == ["1235", "0.0123", "−3.2", "–"]
    assert [percent(v) for v in (0.3412, 0.021, 0.0996, 0.0, 1e-5, float("nan"))] == [
        "34%", "2.1%", "10%", "0%", "<0.1%", "–",
    ]  # fmt: skip


def test_dollars_are_no_mathematics_and_lengths_are_limited():
    assert safe("$x$") == r"\$x\$"
    assert safe("a\nb") == r"a\nb"
    assert len(safe("x" * 100)) == 24


def test_names_keep_their_order_and_distance():
    rng = np.random.default_rng(1)
    for _ in range(50):
        places = rng.normal(0, 1, rng.integers(1, 9)).tolist()
        out = np.array(apart(places, 0.5, -4.0, 4.0))
        rank = np.argsort(places, kind="stable")
        assert np.all(np.diff(out[rank]) >= 0.5 - 1e-9)
        assert out.min() >= -4.0
        assert out.max() <= 4.0 + 1e-9
    assert apart([0.0, 10.0], 1.0) == [0.0, 10.0]
    assert apart([0.0, 0.0], 1.0) == [-0.5, 0.5]


def test_limits_hold_the_core_and_few_outliers():
    values = np.append(np.linspace(0, 1, 99), 500.0)
    low, high = reach(values, np.array([0.2, 0.8]))
    assert low == 0.0
    assert 1.0 <= high < 5.0
    assert reach(values, np.array([600.0]))[1] == 500.0


def test_thinning_keeps_what_must_be_seen():
    assert thinned(10).tolist() == list(range(10))
    chosen = thinned(100_000, np.array([77_777]))
    assert 4000 <= len(chosen) <= 4001
    assert 77_777 in chosen
