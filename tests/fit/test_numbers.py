"""Numbers as people read them."""

from __future__ import annotations

import pytest

from multilevel.fit import numbers


@pytest.mark.parametrize(
    ("values", "error", "expected"),
    [
        ([251.405104848485, 6.824556], 6.824556, ["251.405", "6.825"]),
        ([1e-17, 0.1234], 0.1234, ["0.0000", "0.1234"]),
        ([-1e-17, 12.34], 12.34, ["0.00", "12.34"]),
        ([123456.7, 4321.0], 4321.0, ["123457", "4321"]),
        ([1.5e-12, 3.21e-13], 3.21e-13, ["1.500e-12", "3.210e-13"]),
        ([float("nan"), 1.0], float("nan"), ["NA", "1.000"]),
        ([2.5, float("inf")], 0.5, ["2.5000", "Inf"]),
    ],
)
def test_measured(values, error, expected):
    assert numbers.measured(values, error) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(612.09, "612.1"), (0.03507, "0.03507"), (0.0, "0"), (1e-30, "1.000e-30"), (7e15, "7.000e+15"), (1.0, "1.000")],
)
def test_significant(value, expected):
    assert numbers.significant(value) == expected


def test_probability():
    assert numbers.probability(1e-17) == "<0.0001"
    assert numbers.probability(0.04999) == "0.0500"
    assert numbers.probability(float("nan")) == "NA"


def test_small_ones():
    assert [numbers.degrees(d) for d in (17.0, 161.04, float("inf"), float("nan"))] == ["17.00", "161.0", "Inf", "NA"]
    assert [numbers.elapsed(s) for s in (0.00312, 1.236)] == ["3.12 ms", "1.24 s"]
    assert numbers.criterion(1743.6282) == "1743.63"
    assert numbers.count(401.0) == "401"
