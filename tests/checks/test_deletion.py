"""Leaving rows and groups out in closed form, against conditioning the dense normal distribution."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.checks.deletion import Deletion
from multilevel.checks.subsets import without

N = 120
CASES = {
    "slopes": ("y ~ x + (x | g)", {}),
    "weights": ("y ~ x + (1 | g)", {"weights": "w"}),
    "nested": ("y ~ x + (1 | h/g)", {}),
    "crossed": ("y ~ x + (x | g) + (1 | c)", {}),
    "diagonal and offset": ("y ~ x + (x || g) + offset(w)", {}),
    "known errors": ("y | se(w) ~ x + (1 | g)", {"estimator": "ml"}),
    "moments": ("y ~ x + (1 | g)", {"estimator": "moments"}),
    "complete": ("y ~ x + (1 | g)", {"estimator": "complete"}),
    "singular": ("noise ~ x + (1 | c)", {}),
}
EACH = pytest.mark.parametrize("name", CASES)


def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    d = pd.DataFrame({"x": rng.normal(size=N) + 5, "g": rng.integers(0, 12, N), "c": rng.integers(0, 6, N)})
    d["w"], d["h"] = rng.uniform(0.5, 2, N), d["g"] % 4
    d["noise"] = rng.normal(size=N)
    d["noise"] -= d.groupby("c")["noise"].transform("mean")
    slopes = 0.4 * rng.normal(size=12)[d["g"]] * d["x"]
    return d.assign(y=1 + 0.5 * d["x"] + rng.normal(size=12)[d["g"]] + slopes + rng.normal(size=6)[d["c"]] + d["noise"])


def fitted(name: str) -> ml.Fit:
    formula, settings = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        return ml.fit(formula, data(), **settings)


def dense(fit: ml.Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V, X and y − offset at the estimates."""
    d = fit.model.design
    w = np.ones(d.n) if d.weights is None else d.weights
    v = np.diag(fit.sigma**2 / w) if d.known_se is None else np.diag(d.known_se**2 / w)
    for g, covariance in zip(d.groups, fit.estimates.covariances, strict=True):
        z = np.column_stack([np.ones(d.n) if c is None else c for c in g.columns])
        v += (z @ covariance @ z.T) * (g.codes[:, None] == g.codes[None, :])
    x = np.column_stack([np.ones(d.n) if c is None else c for c in d.fixed_columns])
    return v, x, d.response - (0.0 if d.offset is None else d.offset)


def predicted(v: np.ndarray, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """(error, log density, β̂ without) of some rows given all others, β under a flat prior."""
    rest = np.ones(len(y), bool)
    rest[rows] = False
    inverse = np.linalg.inv(v[np.ix_(rest, rest)])
    spread = np.linalg.inv(x[rest].T @ inverse @ x[rest])
    beta = spread @ x[rest].T @ inverse @ y[rest]
    k = v[np.ix_(rows, rest)] @ inverse
    error = y[rows] - x[rows] @ beta - k @ (y[rest] - x[rest] @ beta)
    d = x[rows] - k @ x[rest]
    s = v[np.ix_(rows, rows)] - k @ v[np.ix_(rest, rows)] + d @ spread @ d.T
    quadratic = float(error @ np.linalg.solve(s, error))
    return error, -0.5 * (len(rows) * np.log(2 * np.pi) + float(np.linalg.slogdet(s)[1]) + quadratic), beta


@EACH
def test_rows(name: str) -> None:
    fit = fitted(name)
    v, x, y = dense(fit)
    score = ml.loo(fit)
    found = [predicted(v, x, y, np.array([i])) for i in range(N)]
    np.testing.assert_allclose(score.elpd_each, [f[1] for f in found], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(score.error_each, [f[0][0] for f in found], rtol=1e-8, atol=1e-9)
    assert score.elpd == pytest.approx(sum(f[1] for f in found))


@EACH
def test_groups_of_every_factor(name: str) -> None:
    fit = fitted(name)
    v, x, y = dense(fit)
    for group in fit.model.design.groups:
        rows = [np.flatnonzero(group.codes == j) for j in range(len(group.levels))]
        found = [predicted(v, x, y, r) for r in rows]
        score = ml.logo(fit, group.label)
        np.testing.assert_allclose(score.elpd_each, [f[1] for f in found], rtol=1e-9, atol=1e-8)
        np.testing.assert_allclose(score.error_each, [f[0].mean() for f in found], rtol=1e-7, atol=1e-8)
        squares = sum(float(f[0] @ f[0]) for f in found)
        assert score.rmse == pytest.approx(np.sqrt(squares / N), rel=1e-9)
        shift = Deletion(fit).groups(group.codes, len(group.levels)).shift
        np.testing.assert_allclose(fit.estimates.beta - shift, [f[2] for f in found], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["slopes", "nested", "crossed"])
def test_refitting_equals_a_fit_of_the_other_rows(name: str) -> None:
    fit, table = fitted(name), data()
    group = fit.model.design.groups[-1]
    score = ml.logo(fit, group.label, refit=True)
    level = 2
    rest = table[group.codes != level]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        other = ml.fit(CASES[name][0], rest)
    assert other.log_likelihood == pytest.approx(
        fit.estimator.estimate(without(fit.model, group.codes == level)).log_likelihood, abs=1e-8
    )
    v, x, y = dense(ml.Fit(fit.model, fit.estimator, _at(fit, other)))
    expected = predicted(v, x, y, np.flatnonzero(group.codes == level))[1]
    assert score.elpd_each[level] == pytest.approx(expected, rel=1e-6)
    held = ml.logo(fit, group.label).elpd
    assert held - 0.06 * abs(held) < score.elpd < held  # estimating the variances without the group costs something


def _at(fit: ml.Fit, other: ml.Fit):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(fit.estimates, sigma=other.sigma, covariances=other.estimates.covariances)


def test_no_pooling_is_least_squares_level_by_level() -> None:
    table = data()
    score = ml.loo(ml.fit("y ~ x + (x | g)", table, estimator="none"))
    error = np.empty(N)
    for i in range(N):
        rest = table.drop(index=i)
        own = rest[rest["g"] == table["g"][i]]
        slope, intercept = np.polyfit(own["x"], own["y"], 1)
        error[i] = table["y"][i] - intercept - slope * table["x"][i]
    np.testing.assert_allclose(score.error_each, error, rtol=1e-6)
    alone = ml.logo(ml.fit("y ~ x + (x | g)", table, estimator="none"))
    assert np.isnan(alone.elpd)
    assert "no pooling" in alone.reason
    assert "not available" in str(alone)


def test_what_cannot_be_left_out_is_said() -> None:
    table = data()
    table["only"] = (table["g"] == 3).astype(float)
    score = ml.logo(ml.fit("y ~ x + only + (1 | g)", table))
    assert np.flatnonzero(np.isnan(score.elpd_each)).tolist() == [score.units.index("3")]
    assert '"3"' in score.reason
    table["one"] = (np.arange(N) == 7).astype(float)
    score = ml.loo(ml.fit("y ~ x + one + (1 | g)", table))
    assert np.flatnonzero(np.isnan(score.elpd_each)).tolist() == [7]
    with pytest.raises(ml.errors.SettingError, match="frequency"):
        ml.loo(ml.fit("y | weights(k) ~ x + (1 | g)", table.assign(k=2)))
    with pytest.raises(ml.errors.SettingError, match="no grouping factor"):
        ml.logo(ml.fit("y ~ x", table))


def test_frequencies_are_rows_that_occur_several_times() -> None:
    table = data().assign(k=np.random.default_rng(4).integers(1, 5, N))
    many = table.loc[table.index.repeat(table["k"])].reset_index(drop=True)
    few, all_rows = ml.fit("y | weights(k) ~ x + (1 | g)", table), ml.fit("y ~ x + (1 | g)", many)
    for refit in (False, True):
        a, b = ml.logo(few, refit=refit), ml.logo(all_rows, refit=refit)
        np.testing.assert_allclose(a.elpd_each, b.elpd_each, rtol=1e-6)
        np.testing.assert_allclose(a.error_each, b.error_each, rtol=1e-5, atol=1e-6)
        assert (a.rmse, a.sizes.sum()) == (pytest.approx(b.rmse), len(many))
    counted = ml.kfold(ml.Model("y | weights(k) ~ x + (1 | g)", table), k=12, by="g")
    assert counted.elpd == pytest.approx(ml.kfold(ml.Model("y ~ x + (1 | g)", many), k=12, by="g").elpd, rel=1e-6)


def test_one_level_left_is_no_estimate() -> None:
    table = data().query("g < 2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        fit = ml.fit("y ~ x + (1 | g)", table)
        score = ml.logo(fit, refit=True)
    assert np.isnan(score.elpd_each).all()
    assert "cannot be estimated without 2 groups" in score.reason


def test_compare_scores() -> None:
    table = data()
    a, b = ml.loo(ml.fit("y ~ x + (1 | g) + (1 | c)", table)), ml.loo(ml.fit("y ~ x + (1 | g)", table))
    found = a.compare(b)
    each = a.elpd_each - b.elpd_each
    assert found["difference"] == pytest.approx(a.elpd - b.elpd)
    assert found["std_error"] == pytest.approx(np.sqrt(N) * each.std(ddof=1))
    with pytest.raises(ml.errors.SettingError, match="cannot be compared"):
        a.compare(ml.logo(ml.fit("y ~ x + (1 | g)", table)))
    assert set(a.to_dict()) >= {"elpd", "elpd_se", "rmse", "units"}


def test_kfold() -> None:
    model = ml.Model("y ~ x + (1 | g)", data())
    fit = model.fit()
    exact, loose = ml.kfold(model, k=12, by="g"), ml.kfold(model, k=5, seed=1)
    assert exact.elpd == pytest.approx(ml.logo(fit, refit=True).elpd, abs=1e-8)  # a fold for each group
    assert loose.elpd == pytest.approx(ml.loo(fit).elpd, abs=12.0)
    assert loose.elpd != ml.kfold(model, k=5, seed=2).elpd
    assert ml.kfold(model, k=5, seed=1).elpd == loose.elpd
    with pytest.raises(ml.errors.SettingError, match="k=13"):
        ml.kfold(model, k=13, by="g")


def test_loaded_fits_score_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    fit = fitted("crossed")
    fit.save(tmp_path / "a.fit")
    again = ml.load(tmp_path / "a.fit")
    assert ml.logo(again).elpd == pytest.approx(ml.logo(fit).elpd, abs=1e-8)
    np.testing.assert_allclose(ml.influence(again).sds, ml.influence(fit).sds, rtol=1e-6)
