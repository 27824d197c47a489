"""Complete, no and partial pooling of every kind of family, side by side with their scores."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy.special import expit

import multilevel as ml

# designs are small on purpose: variances at zero are part of the question
pytestmark = [pytest.mark.filterwarnings("ignore:boundary fit")]


def responses() -> dict[str, np.ndarray]:
    """One set of groups, a response for each family."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(15), 20)
    x = rng.normal(size=300)
    eta = 0.4 + 0.5 * x + rng.normal(0, 0.7, 15)[g]
    mu = np.exp(eta)
    utility = np.stack([rng.gumbel(size=300), eta + rng.gumbel(size=300), -0.5 * eta + rng.gumbel(size=300)])
    return {
        "g": g.astype(str), "x": x, "ten": np.full(300, 10),
        "poisson": rng.poisson(mu), "negative_binomial": rng.negative_binomial(2, 2 / (2 + mu)),
        "gamma": rng.gamma(3, mu / 3), "bernoulli": (rng.random(300) < expit(eta)) * 1,
        "beta": np.clip(rng.beta(5 * expit(eta), 5 * expit(-eta)), 1e-6, 1 - 1e-6),
        "zero_inflated_poisson": rng.poisson(mu) * (rng.random(300) > 0.3),
        "student": eta + rng.standard_t(4, 300), "lognormal": np.exp(eta + 0.5 * rng.normal(size=300)),
        "binomial": rng.binomial(10, expit(eta)), "cumulative": np.digitize(eta + rng.logistic(size=300), [-1, 0.5, 2]),
        "categorical": np.array(["a", "b", "c"])[np.argmax(utility, axis=0)],
    }  # fmt: skip


DATA = responses()
FAMILIES = [name for name in DATA if name not in ("g", "x", "ten")]


def fitted(family: str) -> ml.Fit:
    response = "binomial | trials(ten)" if family == "binomial" else family
    return ml.Model(f"{response} ~ x + (1 | g)", DATA, family=family).fit()


@pytest.mark.parametrize("family", FAMILIES)
def test_partial_pooling_predicts_at_least_as_well(family: str) -> None:
    fit = fitted(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        found = ml.pooling(fit)
    assert found.reasons == {}
    assert set(found.fits) == {"complete", "none", "partial"}
    partial, complete, none = (found.loo[name].elpd for name in ("partial", "complete", "none"))
    assert partial > complete + 4.0
    assert none < partial + 4.0
    assert found.best in ("partial", "none")
    assert found.logo["partial"].elpd > found.logo["complete"].elpd
    assert not np.isfinite(found.logo["none"].elpd)
    # rows of known groups are easier than groups
    assert found.loo["partial"].elpd > found.logo["partial"].elpd
    assert found.loo["partial"].rmse < found.logo["partial"].rmse
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert "partial" in text
    assert "predicts" in found.sentence
    assert str(found).count("\n") > 20


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma", "cumulative"])
def test_loo_is_what_refits_say(family: str) -> None:
    """Some rows of each family, refitted without."""
    from multilevel.checks.held_out import HeldOut
    from multilevel.checks.refits import estimates_without, internal
    from multilevel.core.sets_out import SetsOut

    fit = fitted(family)
    some = np.array([3, 77, 150, 222, 299])
    codes = np.full(300, 5)
    codes[some] = np.arange(5)
    held = HeldOut(fit)
    found = [e for e in estimates_without(fit, codes, 5) if e is not None]
    phi = np.array([internal(fit, held.rows, held.curvature.criterion, e) for e in found])
    refits = SetsOut(held.curvature, held.rows, [np.array([i]) for i in some]).groups_out(phi)
    np.testing.assert_allclose(fit.loo().elpd_each[some], refits.log_density, atol=0.03)


def test_levels_without_cases_show_as_infinite() -> None:
    data = {**DATA, "y": np.where(DATA["g"] == "4", 0, DATA["bernoulli"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        found = ml.pooling(ml.Model("y ~ 1 + (1 | g)", data, family="bernoulli"))
    table = found.table.set_index("level")
    assert table["none"]["4"] == -np.inf
    assert np.isnan(table["none_se"]["4"])
    assert np.isfinite(table["partial"]).all()
    assert "−∞" in str(found)
    assert any("1 of 15 levels have infinite estimates" in note for note in found.notes)
    levels = next(row for row in found.to_dict()["levels"] if row["level"] == "4")
    assert levels["none"] is None


def test_kfold_of_rows_and_of_groups() -> None:
    model = ml.Model("poisson ~ x + (1 | g)", DATA, family="poisson")
    rows, groups = ml.kfold(model, k=5), ml.kfold(model, k=5, by="g")
    assert len(rows.units) == 5
    assert rows.elpd > groups.elpd
    fit = model.fit()
    assert rows.elpd == pytest.approx(fit.loo().elpd, abs=6.0)
    assert groups.elpd == pytest.approx(fit.logo().elpd, abs=6.0)


def test_scores_of_a_yes_or_no_are_brier_scores() -> None:
    fit = fitted("bernoulli")
    score = fit.loo()
    assert score.brier == pytest.approx(score.rmse**2)
    assert 0.15 < score.brier < 0.25
    assert score.deviance == pytest.approx(-2.0 * score.elpd)
    categories = fitted("categorical").loo()
    assert 0.3 < categories.brier < 2.0 / 3.0  # sums over three categories; 2/3 is what guessing gets


def test_frequencies_count_as_that_many_rows() -> None:
    small = {"y": np.array([0, 1, 0, 1, 0, 1, 0, 1]), "n": np.array([9, 5, 12, 3, 6, 8, 10, 7]),
             "g": np.repeat(["a", "b", "c", "d"], 2)}  # fmt: skip
    long = {name: np.repeat(small[name], small["n"]) for name in ("y", "g")}
    short = ml.Model("y | weights(n) ~ 1 + (1 | g)", small, family="bernoulli").fit()
    full = ml.Model("y ~ 1 + (1 | g)", long, family="bernoulli").fit()
    np.testing.assert_allclose(short.logo().elpd_each, full.logo().elpd_each, atol=1e-4)
    with pytest.raises(ml.errors.SettingError, match="frequency weights"):
        short.loo()


def test_coefficients_at_infinity_have_no_scores() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    data = {"y": (x > 0) * 1, "x": x}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        fit = ml.Model("y ~ x", data, family="bernoulli").fit()
    with pytest.raises(ml.errors.SettingError, match="infinity"):
        fit.loo()
