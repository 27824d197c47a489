"""The comparison of poolings: numbers of the fits it is made of, and a verdict that follows from its scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

import multilevel as ml

SCHOOLS = "score ~ 1 + (1 | school)"


def test_columns_are_those_of_the_fits() -> None:
    model = ml.Model(SCHOOLS, ml.datasets.load("schools"))
    found = ml.pooling(model)
    table = found.table
    means = ml.datasets.load("schools").groupby("school")["score"].mean()
    np.testing.assert_allclose(table["none"], means.loc[table["level"]], rtol=1e-10)
    for name, estimator in (("partial", "reml"), ("moments", "moments"), ("james_stein", "james_stein")):
        expected = model.fit(estimator).predict({"school": table["level"].tolist()})
        np.testing.assert_allclose(table[name], expected["estimate"], rtol=1e-10)
        np.testing.assert_allclose(table[f"{name}_se"], expected["std_error"], rtol=1e-6)
    np.testing.assert_allclose(table["complete"], ml.datasets.load("schools")["score"].mean())
    np.testing.assert_allclose(table["lambda"], model.fit().shrinkage()["lambda"])


def test_scores_and_verdict() -> None:
    model = ml.Model(SCHOOLS, ml.datasets.load("schools"))
    found = ml.pooling(model)
    scores = found.scores.set_index("estimator")
    assert scores.loc["partial", "loo_elpd"] == pytest.approx(ml.loo(model.fit()).elpd)
    assert scores.loc["complete", "logo_elpd"] == pytest.approx(ml.logo(model.fit("complete")).elpd)
    assert np.isnan(scores.loc["none", "logo_elpd"])
    against = ml.loo(model.fit("complete")).compare(ml.loo(model.fit()))
    assert scores.loc["complete", "loo_difference"] == pytest.approx(against["difference"])
    assert scores.loc["complete", "loo_std_error"] == pytest.approx(against["std_error"])
    assert (found.best, found.best_new) == ("partial", "partial")
    assert "complete pooling is 126.3 ± 14.8 behind" in found.sentence
    assert "Partial pooling predicts new groups best" in found.sentence
    json.dumps(found.to_dict(), allow_nan=False)


def test_few_rows_and_no_differences_favour_complete_pooling() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(25), 4)
    noise = rng.normal(size=100)
    noise -= 0.6 * (np.bincount(g, noise) / 4)[g]  # less variation between the groups than chance would give
    with pytest.warns(ml.errors.SingularFitWarning):
        fit = ml.fit("y ~ 1 + (1 | g)", {"y": noise, "g": g})
    found = ml.pooling(fit)
    scores = found.scores.set_index("estimator")
    assert scores.loc["none", "loo_elpd"] < scores.loc["complete", "loo_elpd"]
    assert found.fits["partial"] is fit


def test_slopes_nesting_and_reasons() -> None:
    model = ml.Model("score ~ ses + funding + (ses | school) + (1 | classroom)", ml.datasets.load("classes"))
    found = ml.pooling(model)
    assert set(found.reasons) == {"james_stein", "moments"}
    assert any("classroom" in note for note in found.notes)
    table = found.table
    assert set(table["term"]) == {"Intercept", "ses"}
    # a level's intercept includes its funding, so that no pooling and partial pooling speak of the same thing
    assert np.corrcoef(table["none"], table["partial"])[0, 1] > 0.98
    assert ml.pooling(model, group="classroom").table["level"].nunique() == 59
    text = str(found)
    assert "8 more rows in .table" in text
    assert "<table" in found._repr_html_()
    with pytest.raises(ml.errors.SettingError, match="did you mean"):
        ml.pooling(model, group="schol")


def test_a_class_within_its_school() -> None:
    """Partial pooling of a class includes its school, as the class's own mean does."""
    model = ml.Model("score ~ 1 + (1 | school) + (1 | classroom)", ml.datasets.load("classes"))
    table = ml.pooling(model, group="classroom").table
    fit, pupils = model.fit(), ml.datasets.load("classes").drop_duplicates("classroom").set_index("classroom")
    rows = {"classroom": table["level"].tolist(), "school": pupils.loc[table["level"], "school"].tolist()}
    expected = fit.predict(rows)
    np.testing.assert_allclose(table["partial"], expected["estimate"], rtol=1e-10)
    np.testing.assert_allclose(table["partial_se"], expected["std_error"], rtol=1e-6)
    assert np.corrcoef(table["none"], table["partial"])[0, 1] > 0.95


def test_native_frames() -> None:
    polars = pytest.importorskip("polars")
    found = ml.pooling(ml.Model(SCHOOLS, polars.DataFrame(ml.datasets.load("schools"))))
    assert isinstance(found.scores, polars.DataFrame)
