"""Quadrature as an estimator, and what fits say about their approximation. R's numbers are in `tests/reference`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import ConvergenceError, ConvergenceWarning, IdentifiabilityError, SettingError


def table(groups=40, size=4, tau=1.4, seed=2, above=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 1.0, groups * size)
    g, h, c = np.repeat(np.arange(groups), size), np.arange(groups).repeat(size) // 5, np.arange(groups * size) % 9
    eta = 0.2 + 0.5 * x + tau * rng.standard_normal(groups)[g] + above * rng.normal(0.0, 1.0, groups)[h]
    eta += above * rng.normal(0.0, 1.0, 9)[c]
    return {
        "y": (rng.random(len(x)) < 1.0 / (1.0 + np.exp(-eta))).astype(float),
        "k": rng.poisson(np.exp(0.5 * eta + 0.5 * x * rng.normal(0.0, 1.0, groups)[h])).astype(float),
        "x": x,
        "g": g.astype(str),
        "h": h.astype(str),
        "c": c.astype(str),
    }


@pytest.fixture(scope="module")
def model():
    return ml.Model("y ~ x + (1 | g)", table(), family="bernoulli")


def test_one_node_is_laplace(model):
    laplace, one = model.fit(), model.fit("agq", nodes=1)
    assert one.log_likelihood == pytest.approx(laplace.log_likelihood, rel=1e-11)
    assert one.estimates.beta == pytest.approx(laplace.estimates.beta, rel=1e-7)
    assert one.std_errors == pytest.approx(laplace.std_errors, rel=1e-5)


def test_the_ladder_settles(model):
    fit = model.fit("agq")
    ladder = {int(nodes): value for nodes, value in fit.estimates.notes["ladder"].items()}
    nodes = fit.estimates.notes["nodes"]
    *_, before, last = ladder
    assert nodes == last
    assert abs(ladder[last] - ladder[before]) < 1e-4
    assert fit.log_likelihood == pytest.approx(model.fit("agq", nodes=61).log_likelihood, abs=1e-4)
    assert f"{nodes} nodes" in str(fit.summary())


def test_an_optimum_is_where_the_likelihood_is_stationary(model):
    fit = model.fit("agq", nodes=15)
    certainty = fit.estimates.certainty
    assert np.abs(certainty.curvature.here).max() < 1e-6
    assert fit.converged


def test_nested_factors():
    data = table(above=1.0)
    inner = ml.fit("y ~ x + (1 | g)", data, family="bernoulli", estimator="agq")
    nested = ml.fit("y ~ x + (1 | h) + (1 | g)", data, family="bernoulli", estimator="agq")
    assert nested.log_likelihood >= inner.log_likelihood - 1e-4  # one more variance
    assert nested.estimates.notes["nodes"] >= 5
    turned = ml.fit("y ~ x + (1 | g) + (1 | h)", data, family="bernoulli", estimator="agq")
    assert turned.log_likelihood == pytest.approx(nested.log_likelihood, abs=1e-8)


def test_slopes():
    fit = ml.fit("k ~ x + (x | h)", table(), family="poisson", estimator="agq")
    assert fit.log_likelihood == pytest.approx(
        ml.fit("k ~ x + (x | h)", table(), family="poisson", estimator="agq", nodes=21).log_likelihood, abs=1e-4
    )


def test_row_order_does_not_matter(model):
    data = table()
    order = np.random.default_rng(0).permutation(len(data["y"]))
    mixed = {name: column[order] for name, column in data.items()}
    again = ml.fit("y ~ x + (1 | g)", mixed, family="bernoulli", estimator="agq", nodes=9)
    assert again.log_likelihood == pytest.approx(model.fit("agq", nodes=9).log_likelihood, rel=1e-12)


def test_a_variance_of_zero_is_found():
    rng = np.random.default_rng(8)
    y = np.tile([0.0, 1.0, 1.0, 0.0], 30)  # every group half and half: less than chance varies
    data = {"y": y, "g": np.repeat(np.arange(30), 4).astype(str), "x": rng.normal(0.0, 1.0, 120)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("y ~ x + (1 | g)", data, family="bernoulli", estimator="agq", nodes=9)
    assert fit.estimates.covariances[0][0, 0] == 0.0
    assert fit.singular


def test_a_loaded_fit_knows_its_nodes(model, tmp_path):
    fit = model.fit("agq")
    fit.save(tmp_path / "a.fit")
    again = ml.load(tmp_path / "a.fit")
    assert again.std_errors == pytest.approx(fit.std_errors, rel=1e-5)
    assert again.estimates.notes["nodes"] == fit.estimates.notes["nodes"]


# --- refusals ------------------------------------------------------------------------------------------------
def test_crossed_factors_are_refused_with_the_remedy():
    with pytest.raises(IdentifiabilityError, match="order=2") as caught:
        ml.fit("y ~ x + (1 | g) + (1 | c)", table(), family="bernoulli", estimator="agq")
    assert caught.value.code == "E_CROSSED_QUADRATURE"


@pytest.mark.parametrize("nodes", [0, -3, 2.5, True, "many", 1000])
def test_impossible_nodes(model, nodes):
    with pytest.raises(SettingError, match="nodes="):
        model.fit("agq", nodes=nodes)


def test_too_many_points(model):
    with pytest.raises(IdentifiabilityError) as caught:
        ml.fit("k ~ x + (x | h) + (1 | g)", table(), family="poisson", estimator="agq", nodes=60)
    assert caught.value.code == "E_MANY_NODES"
    with pytest.raises(IdentifiabilityError) as caught:
        ml.fit("y ~ x", table(), family="bernoulli", estimator="agq")
    assert caught.value.code == "E_NO_GROUP"


def test_an_unknown_order(model):
    with pytest.raises(SettingError, match="order=3"):
        model.fit("laplace", order=3)


def test_a_ladder_that_does_not_settle_says_so(model, monkeypatch):
    monkeypatch.setattr("multilevel.estimators.agq.LADDER", (2, 3))
    with pytest.warns(ConvergenceWarning, match="not settled: from 2 to 3 nodes"):
        fit = model.fit("agq")
    assert [w.code for w in fit.warnings] == ["W_QUADRATURE"]


def test_the_second_order_runs_away_where_groups_tell_nothing():
    g = np.repeat(np.arange(60), 6)
    y = np.repeat(np.arange(60) % 2, 6).astype(float)  # every group all 0 or all 1, but for a few
    y[:6] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    data = {"y": y, "x": np.random.default_rng(0).standard_normal(360), "g": g.astype(str)}
    with pytest.raises(ConvergenceError, match="its expansion fails") as caught:
        ml.fit("y ~ x + (1 | g)", data, family="bernoulli", order=2)
    assert "agq" in caught.value.hint
    assert caught.value.partial is not None


# --- adequacy ------------------------------------------------------------------------------------------------
def test_adequacy_foretells_what_quadrature_finds(model):
    fit, exact = model.fit(), model.fit("agq")
    found = fit.adequacy()
    assert found.error == pytest.approx(fit.log_likelihood - exact.log_likelihood, rel=0.3)
    sd, better = (f.estimates.covariances[0][0, 0] ** 0.5 for f in (fit, exact))
    table = found.table
    row = list(table["parameter"]).index("sd")
    assert table["shift"][row] == pytest.approx(better - sd, rel=0.35)
    assert found.verdict != "negligible"
    assert found.better == 'model.fit("agq")'
    assert any(note.code == "N_APPROXIMATION" for note in fit.notes)
    assert found.to_dict()["parameters"][row]["shift_se"] == pytest.approx(table["shift_se"][row])
    assert found.verdict in str(found)


def test_adequate_fits_are_left_alone():
    data = table(groups=12, size=60, tau=0.5)
    fit = ml.fit("k ~ x + (1 | g)", data, family="poisson")
    assert fit.adequacy().verdict == "negligible"
    assert not fit.adequacy().better
    assert not any(note.code == "N_APPROXIMATION" for note in fit.notes)
    assert not [f for f in ml.advise(fit) if f.code == "N_APPROXIMATION"]


def test_adequacy_of_crossed_factors_points_at_the_second_order():
    fit = ml.fit("y ~ x + (1 | g) + (1 | c)", table(tau=2.0, above=1.0), family="bernoulli")
    assert fit.adequacy().better == 'model.fit("laplace", order=2)'
    with pytest.raises(SettingError, match="no better approximation"):
        ml.fit("y ~ x + (1 | g) + (1 | c)", table(tau=2.0, above=1.0), family="bernoulli", order=2).adequacy()


def test_adequacy_of_the_better_ones(model):
    coarse, fine = model.fit("agq", nodes=3).adequacy(), model.fit("agq", nodes=15).adequacy()
    assert abs(fine.error) < 1e-3 < abs(coarse.error)
    assert coarse.reference == "6 nodes"
    second = model.fit("laplace", order=2)
    assert second.adequacy().error == pytest.approx(
        second.log_likelihood - model.fit("agq", nodes=25).log_likelihood, rel=0.1
    )


def test_adequacy_is_for_approximations():
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    with pytest.raises(SettingError, match="approximates no integral"):
        fit.adequacy()


def test_normal_responses_need_nothing_better():
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="laplace")
    assert fit.adequacy().error == pytest.approx(0.0, abs=1e-10)
    assert fit.adequacy().verdict == "negligible"


def test_advice(model):
    finding = next(f for f in ml.advise(model.fit()) if f.code == "N_APPROXIMATION")
    assert "agq" in finding.remedy
    assert finding.values["better"] == 'model.fit("agq")'
    assert not [f for f in ml.advise(model.fit("agq")) if f.code == "N_APPROXIMATION"]
