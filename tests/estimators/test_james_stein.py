"""James–Stein against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
from multilevel.core.shrunken import james_stein
from multilevel.errors import IdentifiabilityError
from multilevel.fit.estimates import Combination
from multilevel.model.model import Model

# batting averages of Efron & Morris (1977), Scientific American 236: 18 players, 45 at bats each
BATTING = np.array([400, 378, 356, 333, 311, 311, 289, 267, 244, 244, 222, 222, 222, 222, 222, 200, 178, 156]) / 1000.0


def known(y, s, **more):
    return Model("y | se(s) ~ 1 + (1 | g)", {"y": y, "s": s, "g": [f"g{i:02d}" for i in range(len(y))], **more})


def test_known_equal_variances_is_the_closed_form():
    sd = np.sqrt(0.265 * 0.735 / 45)
    fit = known(BATTING, np.full(18, sd)).fit("james_stein")
    shrink = 1 - 15 * sd**2 / np.sum((BATTING - BATTING.mean()) ** 2)
    np.testing.assert_allclose(fit.fitted_values, BATTING.mean() + shrink * (BATTING - BATTING.mean()), rtol=1e-12)
    assert shrink == pytest.approx(0.212, abs=0.01)  # the article's c
    between = fit.estimates.covariances[0][0, 0]
    np.testing.assert_allclose(between / (between + sd**2), shrink, rtol=1e-12)
    assert fit.sigma is None
    assert np.isnan(fit.log_likelihood)


def test_eight_schools():
    with pytest.warns(UserWarning, match="exactly 0"):
        fit = Model("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools")).fit("james_stein")
    data = ml.datasets.load("eight_schools")
    y, w = data["y"].to_numpy(float), data["sigma"].to_numpy(float) ** -2
    mean = w @ y / w.sum()
    statistic = w @ (y - mean) ** 2
    assert statistic < 5  # the positive part: every school at the mean
    np.testing.assert_allclose(fit.estimates.notes["statistic"], statistic, rtol=1e-12)
    np.testing.assert_allclose(fit.fitted_values, np.full(8, mean), rtol=1e-12)
    assert fit.boundary == ["school"]
    np.testing.assert_allclose(fit.std_errors[0], w.sum() ** -0.5, rtol=1e-12)


def test_eight_schools_spread_out():
    data = ml.datasets.load("eight_schools")
    y, s = 3.0 * data["y"].to_numpy(float), data["sigma"].to_numpy(float)
    w = s**-2
    mean = w @ y / w.sum()
    keep = 1 - 5 / (w @ (y - mean) ** 2)
    fit = known(y, s).fit("james_stein")
    np.testing.assert_allclose(fit.fitted_values, mean + keep * (y - mean), rtol=1e-12)
    np.testing.assert_allclose(fit.estimates.notes["fraction"], 1 - keep, rtol=1e-12)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(9), [3, 4, 5, 6, 7, 8, 9, 10, 11])
    return {
        "y": 5 + rng.normal(size=9)[g] + rng.normal(size=len(g)),
        "g": g,
        "k": rng.integers(1, 4, len(g)),
        "x": np.arange(len(g)) % 2,
    }


def test_estimated_variance(rows):
    fit = Model("y ~ 1 + (1 | g)", rows).fit("james_stein")
    n = np.bincount(rows["g"])
    means = np.bincount(rows["g"], rows["y"]) / n
    df = n.sum() - 9
    sigma2 = np.sum((rows["y"] - means[rows["g"]]) ** 2) / df
    grand = rows["y"].mean()
    fraction = 6 * sigma2 * df / (df + 2) / (n @ (means - grand) ** 2)
    np.testing.assert_allclose(fit.sigma**2, sigma2, rtol=1e-12)
    np.testing.assert_allclose(fit.estimates.beta, grand, rtol=1e-13)
    np.testing.assert_allclose(fit.estimates.effects[0][:, 0], (1 - fraction) * (means - grand), rtol=1e-11)
    between_group_and_grand = (fit.fitted_values - grand) / (means - grand)[rows["g"]]
    assert np.all((between_group_and_grand > 0) & (between_group_and_grand < 1))


def test_beats_the_means():
    """Total squared error below that of the means, whatever the true values."""
    rng = np.random.default_rng(0)
    for spread in (0.0, 1.0, 5.0):
        theta = spread * rng.normal(size=10)
        own, shrunk = 0.0, 0.0
        for _ in range(200):
            y = theta + rng.normal(size=10)
            s = james_stein(y, np.ones(10), 1.0, np.inf)
            own += np.sum((y - theta) ** 2)
            shrunk += np.sum((s.mean + (1 - s.fraction) * s.deviations - theta) ** 2)
        assert shrunk < own


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("y ~ 1", "E_NO_GROUP"),
        ("y ~ x + (1 | g)", "E_FIXED_PART"),
        ("y ~ 1 + (x | g)", "E_GROUP_SLOPES"),
        ("y ~ 1 + (1 | g) + (1 | x)", "E_ONE_FACTOR"),
    ],
)
def test_refusals(rows, formula, code):
    with pytest.raises(IdentifiabilityError) as error:
        Model(formula, rows).fit("james_stein")
    assert error.value.code == code


def test_needs_four_groups():
    with pytest.raises(IdentifiabilityError) as error:
        known(np.array([1.0, 5.0, 9.0]), np.ones(3)).fit("james_stein")
    assert error.value.code == "E_FEW_GROUPS"
    assert "4 groups" in str(error.value)
    known(np.array([1.0, 50.0, 9.0, 20.0]), np.ones(4)).fit("james_stein")


def test_morris_variance():
    sd = np.sqrt(0.265 * 0.735 / 45)
    fit = known(BATTING, np.full(18, sd)).fit("james_stein")
    b = fit.estimates.notes["fraction"]
    expected = sd**2 * (1 - 17 / 18 * b) + 2 / 15 * b**2 * (BATTING - BATTING.mean()) ** 2
    np.testing.assert_allclose(fit.predict()["std_error"], np.sqrt(expected), rtol=1e-11)
    certainty = fit.estimates.certainty
    new = certainty.spread(Combination(np.ones((1, 1)), (np.array([-2]),), (np.ones((1, 1)),)))
    between = fit.estimates.covariances[0][0, 0]
    np.testing.assert_allclose(new.variance, between + (between + sd**2) / 18, rtol=1e-11)
    assert new.df[0] == 17


def test_frequencies_order_labels_and_units(rows):
    k = rows["k"]
    repeated = {name: np.repeat(column, k) for name, column in rows.items()}
    order = np.random.default_rng(1).permutation(k.sum())
    moved = {name: column[order] for name, column in repeated.items()}
    moved["g"], moved["y"] = 20 - moved["g"], 1e6 * (moved["y"] + 100)
    a = Model("y | weights(k) ~ 1 + (1 | g)", rows).fit("james_stein")
    b = Model("y ~ 1 + (1 | g)", moved).fit("james_stein")
    np.testing.assert_allclose(b.estimates.effects[0][::-1], 1e6 * a.estimates.effects[0], rtol=1e-9)
    np.testing.assert_allclose(b.sigma, 1e6 * a.sigma, rtol=1e-9)
    np.testing.assert_allclose(b.std_errors, 1e6 * a.std_errors, rtol=1e-9)


def test_shapes_of_what_is_unknown(rows):
    fit = Model("y ~ 1 + (1 | g)", rows).fit("james_stein")
    certainty = fit.estimates.certainty
    terms, (low, high) = certainty.sd_intervals(0.95)
    assert np.isnan(terms[0][0]).all()
    assert low < fit.sigma < high
    assert certainty.correlation_intervals(0.95) == [[]]
    assert np.isnan(certainty.sd_errors()[0][0][0])
    drawn = certainty.draw(2000, np.random.default_rng(0))
    assert drawn["effects"][0].shape == (2000, 9, 1)
    value = drawn["beta"][:, 0] + drawn["effects"][0][:, 2, 0]
    rows_ = Combination(np.ones((1, 1)), (np.array([2]),), (np.ones((1, 1)),))
    np.testing.assert_allclose(value.std(), np.sqrt(certainty.spread(rows_).variance[0]), rtol=0.1)
    fit.summary()
    fit.to_json()
