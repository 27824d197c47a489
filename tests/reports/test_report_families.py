"""The report of every kind of response: nothing fails, numbers are the fit's, ratios where links have them."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from report_pages import Node, parse

import multilevel as ml
from multilevel.reports.report import document, report
from multilevel.reports.sections.reproduce import fingerprint

FAMILIES = {
    "poisson": "count ~ x + kind + (1 | g)",
    "bernoulli": "yes ~ x + (x | g)",
    "binomial": "k | trials(n) ~ x + (1 | g)",
    "cumulative": "rating ~ x + (1 | g)",
    "categorical": "choice ~ x + (1 | g)",
    "zero_inflated_poisson": "inflated ~ x + (1 | g); zi ~ x",
    "negative_binomial": "wide ~ x + (1 | g)",
    "gamma": "amount ~ x + (1 | g)",
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr", "--virtual-time-budget=2000",
]  # fmt: skip


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 12)
    x = rng.normal(size=240)
    eta = 0.6 + 0.6 * x + 0.7 * rng.normal(size=20)[g]
    mu, p = np.exp(eta), 1.0 / (1.0 + np.exp(-eta))
    out = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "x": x, "kind": rng.choice(["a", "b"], 240)})
    out["count"] = np.where(g == 2, 0, rng.poisson(mu))
    out["wide"] = rng.negative_binomial(1.5, 1.5 / (1.5 + mu))
    out["inflated"] = np.where(rng.random(240) < 0.3, 0, rng.poisson(2.0 * mu))
    out["yes"] = (rng.random(240) < p).astype(int)
    out["n"] = rng.integers(2, 12, 240)
    out["k"] = rng.binomial(out.n, p)
    out["amount"] = rng.gamma(2.0, mu / 2.0)
    out["rating"] = np.digitize(eta + rng.logistic(size=240), [-1.0, 0.0, 1.0])
    out["choice"] = np.array(list("abc"))[np.digitize(eta + rng.logistic(size=240), [0.0, 1.0])]
    return out


@cache
def fit(family: str) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.fit(FAMILIES[family], table(), family=family)


@cache
def text(family: str) -> str:
    return document(fit(family))


def page(family: str) -> Node:
    return parse(text(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_is_there(family: str) -> None:
    tree = page(family)
    assert not tree.all(class_="failed"), [n.text for n in tree.all(class_="failed")]
    words = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", text(family), flags=re.S)
    assert not re.search(r"\bnan\b|\bNone\b(?! of)|1\.8e\+308", words)
    assert "t quantiles" not in words


def test_odds_ratios_and_sentences_of_a_yes_or_no() -> None:
    tree = page("bernoulli")
    estimates = tree.id("estimates").text
    beta = fit("bernoulli").coefficients["x"]
    assert "Odds ratio" in estimates
    assert f"{np.exp(beta):.3g}" in estimates
    assert "One unit more of x multiplies the odds of P(yes = 1) by" in estimates
    assert "log odds of P(yes = 1)" in tree.id("answers").text


def test_ratios_of_counts_and_what_a_spread_means() -> None:
    estimates = page("poisson").id("estimates").text
    sd = float(fit("poisson").estimates.covariances[0][0, 0]) ** 0.5
    assert "Being kind[T.b] multiplies the mean of count by" in estimates
    assert f"between {np.exp(-sd):.3g} and {np.exp(sd):.3g} times the mean of count" in estimates


def test_the_zeros_have_words_of_their_own() -> None:
    estimates = page("zero_inflated_poisson").id("estimates").text
    assert "One unit more of zi_x multiplies the odds of extra zeros" in estimates
    assert "the mean of inflated (zeros aside)" in estimates


def test_dispersions_are_explained() -> None:
    rows = {
        node.all("th")[0].text: node for node in page("negative_binomial").id("estimates").all("tr") if node.all("th")
    }
    shown = float(rows["shape"].all("td")[0].text)
    assert shown == pytest.approx(fit("negative_binomial").estimates.dispersion["shape"], rel=0.05)
    assert "size" in rows["shape"].text or "mean" in rows["shape"].text or "variance" in rows["shape"].text


def test_predictions_for_a_new_level_are_the_fits() -> None:
    tree = page("poisson").id("prediction")
    rows = {node.all("th")[0].text: node.text for node in tree.all("tr") if node.all("th")}
    x = {"x": [float(table().x.mean())], "g": ["new"], "kind": ["a"]}
    below = fit("poisson").predict(x, target="new_group")["estimate"].iloc[0]
    above = fit("poisson").predict({**x, "kind": ["b"]}, target="new_group")["estimate"].iloc[0]
    shown = float(rows["Mean in a new level"].split()[5])
    assert min(below, above) * 0.98 <= shown <= max(below, above) * 1.02
    assert {"Mean in a new level", "Average over levels", "Level with effects zero", "One row in a new level"} <= set(
        rows
    )


@pytest.mark.parametrize("family", ["cumulative", "categorical"])
def test_categories_have_probabilities(family: str) -> None:
    tree = page(family)
    shares = [float(node.all("td")[0].text.rstrip("%")) for node in tree.id("prediction").all("tr") if node.all("td")]
    assert len(shares) == len(fit(family).model.observations.levels)
    assert sum(shares) == pytest.approx(100.0, abs=0.5)
    assert "categories" in tree.id("data").text


def test_how_good_the_approximation_is_stands_in_it() -> None:
    estimation = page("bernoulli").id("estimation").text
    found = fit("bernoulli").adequacy()
    assert "The approximation" in estimation
    assert ("serves" in estimation) == (found.verdict == "negligible")


def test_levels_at_infinity_by_themselves() -> None:
    pooling = page("poisson").id("pooling").text
    assert "1 level has rows that are all alike" in pooling
    assert "−∞" in pooling


def test_separation_is_told_first() -> None:
    data = table().assign(yes=np.where(table().kind == "b", 1, table().yes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = parse(document(ml.fit("yes ~ x + kind + (1 | g)", data, family="bernoulli")))
    assert not tree.all(class_="failed")
    assert "∞" in tree.id("estimates").text
    assert "The data hold no bound for kind[T.b]" in tree.id("estimates").text
    assert "separation" in tree.id("advice").text or "prior" in tree.id("advice").text
    assert "problem" in tree.id("answers").text


def test_the_call_names_family_and_link() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("yes ~ x + (1 | g)", table(), family="bernoulli", link="probit")
        words = parse(document(fit)).id("reproduce").text
    assert 'family="bernoulli", link="probit"' in words
    assert "probit of P(yes = 1)" in parse(document(fit)).id("estimates").text


def test_fingerprints_see_the_trials() -> None:
    other = table().assign(n=table().n * 2, k=table().k * 2)  # the same proportions
    again = ml.fit(FAMILIES["binomial"], other, family="binomial")
    assert fingerprint(again.model.design) != fingerprint(fit("binomial").model.design)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("family", ["poisson", "binomial", "cumulative", "zero_inflated_poisson"])
def test_a_browser_has_nothing_to_complain_about(family: str, tmp_path) -> None:
    path = report(fit(family), tmp_path / "r.html")
    own = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,900", "--dump-dom", path.as_uri()]
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *own],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "The answers" in done.stdout
    assert "CONSOLE" not in done.stderr
