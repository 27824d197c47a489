"""Links: inverses, slopes, and the tails of probabilities."""

from __future__ import annotations

import doctest
import warnings

import numpy as np
import pytest

from multilevel import links
from multilevel.errors import SettingError
from multilevel.links import LINKS, forward, inverse, link
from multilevel.numerics import jets

MEANS = {"logm1": np.array([1.5, 3.0, 9.0])}
PROBABILITIES = [name for name, record in LINKS.items() if record.log_pair is not None]


def means(name):
    return MEANS.get(name, np.array([0.05, 0.3, 0.5, 0.9]))


@pytest.mark.parametrize("name", LINKS)
def test_mean_and_predictor_are_inverse(name):
    np.testing.assert_allclose(inverse(name, forward(name, means(name))), means(name), rtol=1e-13)


@pytest.mark.parametrize("name", LINKS)
def test_slope_and_log_mean_are_those_of_the_mean(name):
    eta = forward(name, means(name))
    record, n = link(name), len(eta)
    variable = jets.variables(eta[:, None], 4)[0]
    mean = jets.derivatives(record.mean(variable), n, 1, 4)
    np.testing.assert_allclose(mean[1][:, 0], record.slope(eta), rtol=1e-12)
    logs = jets.derivatives(record.log_mean(variable), n, 1, 4)
    again = jets.derivatives(jets.compose(record.log_mean(variable), lambda a, k: [np.exp(a)] * (k + 1)), n, 1, 4)
    np.testing.assert_allclose(np.exp(logs[0]), means(name), rtol=1e-13)
    for d, e in zip(mean, again, strict=True):
        np.testing.assert_allclose(d, e, rtol=1e-9, atol=1e-10 * (1 + np.abs(d).max()))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_both_logs_belong_to_one_probability(name):
    eta = forward(name, means(name))
    log_p, log_q = link(name).log_pair(eta)
    np.testing.assert_allclose(np.exp(log_p), means(name), rtol=1e-13)
    np.testing.assert_allclose(np.exp(log_q), 1 - means(name), rtol=1e-13)


@pytest.mark.parametrize("name", ["logit", "probit", "cloglog", "cauchit"])
def test_tails_keep_their_digits(name):
    """A probability of 1e-300 is a number, and so is one minus it."""
    for eta in (-700.0, -30.0, 30.0, 700.0):
        with np.errstate(all="ignore"):
            log_p, log_q = link(name).log_pair(np.array([eta]))
        assert np.isfinite(log_p[0])
        assert np.isfinite(log_q[0])
        assert log_p[0] <= 0
        assert log_q[0] <= 0
    leading = {"logit": -30.0, "probit": -454.32124395634, "cloglog": -30.0, "cauchit": -4.54629746}
    np.testing.assert_allclose(link(name).log_pair(np.array([-30.0]))[0][0], leading[name], rtol=1e-8)


def test_latent_variances():
    """Logistic, normal and extreme-value errors (Nakagawa, Johnson & Schielzeth 2017)."""
    assert link("logit").latent == pytest.approx(np.pi**2 / 3)
    assert link("probit").latent == 1.0
    assert link("cloglog").latent == pytest.approx(np.pi**2 / 6)
    assert np.isnan(link("log").latent)


@pytest.mark.parametrize("name", LINKS)
def test_means_of_any_predictor_warn_of_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inverse(name, np.array([-800.0, -1.0, 0.0, 1.0, 800.0]))


def test_a_typing_error_is_answered_with_the_nearest():
    with pytest.raises(SettingError, match='did you mean "cloglog"') as caught:
        link("clogolog")
    assert caught.value.code == "E_SETTING"


def test_examples_run():
    assert doctest.testmod(links).failed == 0
