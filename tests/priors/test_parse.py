"""Priors as text: what is read, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.errors import SettingError
from multilevel.priors.base import Cut, quantile
from multilevel.priors.normal import Normal
from multilevel.priors.parse import parse_prior
from multilevel.priors.student_t import StudentT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("normal(0, 5)", "normal(0, 5)"),
        (" Normal ( mean = 1 , sd = 2e-1 ) ", "normal(1, 0.2)"),
        ("normal(sd=2)", "normal(0, 2)"),
        ("half_normal(1)", "half_normal(0, 1)"),
        ("half_normal(0, 1)", "half_normal(0, 1)"),
        ("half_normal(sd = 3)", "half_normal(0, 3)"),
        ("half_student_t(3, 2.5)", "half_student_t(3, 0, 2.5)"),
        ("half student-t(3, 0, 2.5)", "half_student_t(3, 0, 2.5)"),
        ("half_cauchy(5)", "half_cauchy(0, 5)"),
        ("exponential(1/20)", "exponential(0.05)"),
        ("student(3, -1, 2)", "student_t(3, -1, 2)"),
        ("inverse_gamma(0.4, 0.3)", "inv_gamma(0.4, 0.3)"),
        ("double_exponential(0, 1)", "laplace(0, 1)"),
        ("flat", "flat"),
        ("flat()", "flat"),
        ("R2D2(0.5, 2)", "r2d2(0.5, 2)"),
        ("LKJ(2)", "lkj(2)"),
        ("inv_wishart(4, 25, 1)", "inv_wishart(4, 25, 1)"),
    ],
)
def test_read(text: str, shown: str) -> None:
    assert str(parse_prior(text)) == shown


def test_half_is_cut_at_zero() -> None:
    assert parse_prior("half_student_t(3, 2.5)") == Cut(StudentT(3.0, 0.0, 2.5))
    assert parse_prior(Normal(0.0, 2.0)) == Normal(0.0, 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nromal(0, 1)", 'did you mean "normal"'),
        ("half_gamma(1, 1)", 'unknown prior "half_gamma"'),
        ("half_normal(1, 2)", "not around zero"),
        ("normal(0, -1)", "sd = -1.0 is not above zero"),
        ("exponential(0)", "rate"),
        ("normal(0, 1, 2)", "too many parameters"),
        ("normal(0, mean=1)", "too many parameters"),
        ("normal(sdd=1)", 'did you mean "sd"'),
        ("normal(mean=1, 2)", "is no prior"),
        ("normal(0, 1/0)", "is no prior"),
        ("normal(0", "is no prior"),
        ("normal(0, 1) + 3", "is no prior"),
        ("normal(nan, 1)", "is no prior"),
        ("normal(1e999, 1)", "finite"),
        ("uniform(3, 1)", "upper"),
        ("pc(1, 2)", "alpha"),
        ("r2d2(1.5, 2)", "mean"),
        ("__import__('os')", "is no prior"),
        ("", "is no prior"),
        (3, "is no prior"),
    ],
)
def test_refused(text: object, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_prior(text)
    assert caught.value.code == "E_PRIOR"
    assert words in str(caught.value)


def test_pc_says_what_it_means() -> None:
    """P(sd > 2) = 0.01."""
    assert parse_prior("pc(2, 0.01)").below(2.0) == pytest.approx(0.99, abs=1e-12)


def test_quantiles() -> None:
    assert quantile(parse_prior("normal(0, 1)"), 0.975) == pytest.approx(1.959964, abs=1e-5)
    assert quantile(parse_prior("half_cauchy(1)"), 0.5) == pytest.approx(np.tan(np.pi / 4.0), abs=1e-6)
