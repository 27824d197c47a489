"""The report: complete, self-contained, safe; and its numbers are those of the fit."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from report_pages import Node, parse

import multilevel as ml
from multilevel.errors import OutputExistsError, OutputPathError
from multilevel.reports.context import CELLS, Context
from multilevel.reports.levels import ABOVE, BELOW, levels
from multilevel.reports.report import document, is_report, report
from multilevel.reports.sections.pooling import _table
from multilevel.reports.sections.reproduce import fingerprint
from multilevel.variance.shares import icc_table

SECTIONS = [
    "answers", "question", "data", "estimation", "estimates", "variance", "pooling", "prediction", "checks", "advice",
    "reproduce",
]  # fmt: skip
MODELS = {
    "schools": ("schools", "score ~ 1 + (1 | school)"),
    "classes": ("classes", "score ~ ses + funding + (ses | school) + (1 | classroom)"),
    "ratings": ("ratings", "rating ~ familiarity + (1 | rater) + (1 | item)"),
    "eight": ("eight_schools", "y | se(sigma) ~ 1 + (1 | school)"),
}
HOSTILE = [
    "<script>alert(1)</script>", "</title><h1>", "\"'><img src=x onerror=alert(1)>", "a" * 400, "\u202eשלום", "مدرسة",
    "👩\u200d👧", "{{7*7}}", "$x^2$", "\u2028", "-1",
]  # fmt: skip


@pytest.fixture(scope="module")
def fits() -> dict[str, ml.Fit]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.SingularFitWarning)  # the eight schools may all be equal
        return {name: ml.fit(formula, ml.datasets.load(data)) for name, (data, formula) in MODELS.items()}


@pytest.fixture(scope="module")
def texts(fits) -> dict[str, str]:
    return {name: document(fit) for name, fit in fits.items()}


@pytest.fixture(scope="module")
def pages(texts) -> dict[str, Node]:
    return {name: parse(text) for name, text in texts.items()}


def small(seed: int = 0, levels: int = 8, rows: int = 6) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    return {"y": (rng.normal(size=levels)[g] + rng.normal(size=len(g))).tolist(), "g": [f"g{i}" for i in g]}


# --- the page ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_every_section_is_there_and_nothing_failed(pages, name):
    page = pages[name]
    assert [s.attributes["id"] for s in page.all("section")] == SECTIONS
    assert [n.text for n in page.all(class_="failed")] == []
    anchors = {node.attributes["id"] for node in page.all() if "id" in node.attributes}
    assert {a.attributes["href"][1:] for a in page.all("a")} <= anchors


@pytest.mark.parametrize("name", MODELS)
def test_ids_are_unique_and_nothing_is_loaded(texts, pages, name):
    ids = [node.attributes["id"] for node in pages[name].all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in pages[name].all():
        assert node.tag not in {"link", "img", "iframe", "object", "embed", "form", "base"}
        assert not {"src", "srcset", "action", "background", "style", "xlink:href"} & set(node.attributes)
        assert not [a for a in node.attributes if a.startswith("on")]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", texts[name])
    assert len(texts[name].encode()) < 600_000


def test_only_its_own_script_and_style_may_run(texts, pages):
    for name, text in texts.items():
        policy = next(
            m.attributes["content"] for m in pages[name].all("meta")
            if m.attributes.get("http-equiv") == "Content-Security-Policy"
        )  # fmt: skip
        style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
        script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
        for kind, content in (("style", style), ("script", script)):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'")


def test_works_on_phones_in_the_dark_and_on_paper(texts):
    text = texts["schools"]
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    assert "@media (max-width: 600px)" in text


def test_drawings_are_described(pages):
    for page in pages.values():
        pictures = page.all("svg")
        assert len(pictures) >= 3
        assert all(p.attributes["role"] == "img" and p.attributes["aria-label"] for p in pictures)
        coordinates = [v for p in pictures for n in p.all() for k, v in n.attributes.items() if k in ("x", "y", "cx")]
        assert all(np.isfinite(float(v)) for v in coordinates)


# --- its numbers ---------------------------------------------------------------------------------------------------
def test_the_first_box_answers_the_three_questions(fits, pages):
    fit, box = fits["schools"], pages["schools"].id("answers")
    differ, sure, new = (card.text for card in box.all(class_="card"))
    found = levels(fit, "school", "Intercept")
    above, below = (np.flatnonzero(found.verdict == v) for v in (ABOVE, BELOW))
    assert f"{len(above)} clearly above average" in differ
    assert f"{len(below)} clearly below" in differ
    assert found.names[-1] in differ
    assert found.names[0] in differ
    sds = fit.variance_components
    assert f"sd between levels of school : {sds['sd'][0]:.2f} ( {sds['lower'][0]:.2f} to" in _spaced(sure)
    assert "69.61" in sure
    shares = icc_table(fit)
    assert f"17.5% ({100 * shares['lower'][0]:.1f}% to {100 * shares['upper'][0]:.1f}%)" in sure
    ends = fit.predict({"school": ["new"]}, target="new_group")
    assert f"({ends['lower'][0]:.1f} to {ends['upper'][0]:.1f})" in new
    one = fit.predict({"school": ["new"]}, target="new_group", kind="response")
    assert f"({one['lower'][0]:.1f} to {one['upper'][0]:.1f})" in new


def _spaced(text: str) -> str:
    return " ".join(text.replace("(", " ( ").replace(":", " :").split())


def test_schools_that_truly_differ_are_named(fits):
    """The truth of the simulation: a level called clearly above or below is on that side."""
    truth = ml.datasets.truth("schools")["school_means"]
    found = levels(fits["schools"], "school", "Intercept")
    for name, verdict in zip(found.names, found.verdict, strict=True):
        assert verdict * (truth[name] - 70.0) >= 0.0


def test_levels_are_predictions_and_group_means(fits):
    fit = fits["schools"]
    data = ml.datasets.load("schools")
    found = levels(fit, "school", "Intercept")
    predicted = fit.predict({"school": list(found.names)})
    np.testing.assert_allclose(found.pooled, predicted["estimate"], rtol=1e-12)
    np.testing.assert_allclose(found.lower, predicted["lower"], rtol=1e-9)
    np.testing.assert_allclose(found.upper, predicted["upper"], rtol=1e-9)
    means = data.groupby("school")["score"].mean()
    np.testing.assert_allclose(found.own, means[list(found.names)], rtol=1e-12)
    weight = (found.pooled - found.centre) / (found.own - found.centre)
    np.testing.assert_allclose(weight, found.weight, rtol=1e-8)


def test_slopes_of_levels_are_differences_of_predictions(fits):
    fit = fits["classes"]
    found = levels(fit, "school", "ses")
    rows = {"ses": [0.0, 1.0], "funding": [0.0, 0.0]}
    target = {"school": "conditional", "classroom": "reference"}
    for place in (0, 7):
        name = found.names[place]
        there = {**rows, "school": [name] * 2, "classroom": ["any"] * 2}
        ends = fit.predict(there, target=target, interval=None)["estimate"]
        assert found.pooled[place] == pytest.approx(ends[1] - ends[0])


def test_a_new_group_at_the_average_row(fits):
    new = Context(fits["classes"]).new_group
    data = ml.datasets.load("classes")
    row = {"ses": [data.ses.mean()], "funding": [data.funding.mean()]}
    for kind, error in (("mean", new.mean_error), ("response", new.row_error)):
        found = fits["classes"].predict(row, target="new_group", kind=kind)
        assert new.estimate == pytest.approx(found["estimate"][0])
        assert error == pytest.approx(found["std_error"][0])
    assert Context(fits["eight"]).new_group.row_error is None  # rows have no common variance


def test_the_table_of_levels_has_them_all(fits, pages):
    for name, group in (("schools", "school"), ("ratings", "rater")):
        grid = next(g for g in pages[name].all("div", "grid") if g.all("th")[0].text == group)
        labels = {row.all("th")[0].text for row in grid.all("tbody")[0].all("tr")}
        assert labels == set(fits[name].group_effects(group)["level"])
        assert all(head.all("button") for head in grid.all("thead")[0].all("th"))
        assert grid.all("input")[0].attributes["type"] == "search"


def test_tooltips_say_what_the_table_says(pages):
    marks = [n for n in pages["schools"].all("g") if "data-tip" in n.attributes]
    assert len(marks) == 30
    tip = next(m.attributes["data-tip"] for m in marks if m.attributes["data-level"] == "s14").split("\n")
    assert tip[0] == "S14"
    assert tip[1] == "own estimate 59.5 (50 rows)"
    assert tip[2] == "partial pooling 60.4"
    assert tip[4] == "weight of its own data 91%"


def test_words_for_coefficients(pages):
    words = pages["classes"].id("estimates").text
    assert "One unit more of ses goes with +2.99 (2.23 to 3.74) in score" in words
    assert "Levels of school differ with sd 3.05" in words
    assert "not certain" in words  # the correlation's interval holds zero


def test_where_the_variance_is(fits, pages):
    said = pages["classes"].id("variance")
    rows = [[cell.text for cell in row.children] for row in said.all("table")[0].all("tr")]
    assert [row[:2] for row in rows[1:]] == [["school", "19.8%"], ["classroom", "7.0%"], ["within all groups", "73.2%"]]
    assert [row[3] for row in rows[1:]] == ["0.20", "0.27", ""]  # classes lie in schools: what they share adds up
    found = fits["classes"].r2()
    assert [row.children[1].text for row in said.all("table")[1].all("tr")[1:]] == [
        f"{100 * found[kind]:.1f}%" for kind in ("marginal", "conditional")
    ]


def test_which_pooling_predicts_best(pages):
    tables = pages["schools"].id("pooling").all("table")
    rows = [[cell.text for cell in row.children] for row in tables[-1].all("tr")[1:]]
    assert rows[0][:3] == ["partial pooling", "−5580.8", "best"]
    assert rows[-1][0] == "complete pooling"
    assert rows[-1][2].startswith("−126.3 (")


def test_a_fault_of_the_model_is_in_the_first_box():
    """Classes left out of the formula: found in the data, named on top, with the remedy under advice."""
    data = ml.datasets.load("classes")
    fit = ml.fit("score ~ ses + funding + (ses | school)", data)
    page = parse(document(fit, data=data))
    verdict = page.id("answers").all("p", "verdict")[0]
    assert "problem" in verdict.attributes["class"]
    assert "classroom" in verdict.text
    assert "(1 | classroom)" in page.id("advice").text


def test_indicators_and_redundant_columns_in_words():
    rng = np.random.default_rng(3)
    data = {**small(), "sex": rng.choice(["f", "m"], 48).tolist(), "x": rng.normal(size=48)}
    data["twice"] = (2 * np.asarray(data["x"])).tolist()
    with pytest.warns(ml.errors.RankDeficiencyWarning):
        fit = ml.fit("y ~ sex + x + twice + (1 | g)", data)
    words = parse(document(fit)).id("estimates").text
    assert "Rows with sex[T.m] differ from those without by" in words
    assert "twice repeats other columns and was dropped" in words


# --- reproducibility -----------------------------------------------------------------------------------------------
def test_the_call_and_the_fingerprint(fits, pages, tmp_path):
    said = pages["classes"].id("reproduce").text
    assert 'ml.Model("score ~ ses + funding + (ses | school) + (1 | classroom)", data)' in said
    assert 'model.fit("reml")' in said
    assert f"multilevel {ml.__version__}" in said
    digest = fingerprint(fits["classes"].model.design)
    assert digest in said
    fits["classes"].save(tmp_path / "f.fit")
    assert fingerprint(ml.load(tmp_path / "f.fit").model.design) == digest


def test_the_fingerprint_notices_every_change():
    base = small()
    seen = {fingerprint(ml.Model("y ~ 1 + (1 | g)", base).design)}
    changed = [{**base, "y": [base["y"][0] + 1e-12, *base["y"][1:]]}]
    changed.append({**base, "g": ["G0" if g == "g0" else g for g in base["g"]]})
    changed.append({name: values[::-1] for name, values in base.items()})
    for data in changed:
        seen.add(fingerprint(ml.Model("y ~ 1 + (1 | g)", data).design))
    seen.add(fingerprint(ml.Model("y ~ 1 + (1 | g)", {**base, "w": [1.0, 2.0] * 24}, weights="w").design))
    assert len(seen) == 5


def test_the_same_fit_writes_the_same_report(fits, texts, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first = document(fits["schools"])
    assert "1970-01-01 00:00 UTC" in first
    assert document(fits["schools"]) == first


def test_settings_weights_and_offset_are_in_the_call():
    data = {**small(), "w": [1.0, 2.0] * 24, "o": [0.5] * 48}
    model = ml.Model("y ~ 1 + (1 | g)", data, weights="w", offset="o")
    said = parse(document(model.fit("ml", maxiter=77), title='a "title"', name="r.html")).id("reproduce").text
    assert 'weights="w", offset="o")' in said
    assert 'model.fit("ml", maxiter=77)' in said
    assert 'ml.report(fit, "r.html", title="a \\"title\\"", seed=0)' in said


# --- every kind of fit -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("estimator", ["ml", "moments", "james_stein", "none", "complete", "within"])
def test_every_estimator_has_a_report(estimator):
    page = parse(document(ml.Model("y ~ 1 + (1 | g)", small()).fit(estimator)))
    failed = [n.text for n in page.all(class_="failed")]
    assert failed == []
    if estimator in ("none", "within", "complete"):
        assert "no population of groups" in page.id("prediction").text
    assert page.id("pooling").all("table")


def test_without_groups():
    page = parse(document(ml.fit("y ~ x", {"y": [1.0, 2.0, 4.0, 3.0, 5.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0]})))
    assert "nothing to pool" in page.id("pooling").text
    assert len(page.id("answers").all(class_="card")) == 1


def test_a_variance_of_zero_is_told():
    data = {"y": [1.0, 2.0, 3.0, 4.0, 5.5, 6.5] * 4, "g": [level for level in "abcd" for _ in range(6)]}
    with pytest.warns(ml.errors.SingularFitWarning):
        fit = ml.fit("y ~ 1 + (1 | g)", data)
    page = parse(document(fit))
    assert page.all(class_="failed") == []
    assert "None of the 4 can be told from the average" in page.id("answers").text
    assert "show no differences" in page.id("estimates").text
    assert "best guess, not knowledge" in page.id("prediction").text


def test_dropped_rows_are_counted():
    data = small()
    data["y"][3] = float("nan")
    with pytest.warns(ml.errors.MissingDataWarning):
        fit = ml.fit("y ~ 1 + (1 | g)", data)
    said = parse(document(fit)).id("data").text
    assert "47 of 48 rows were used; 1 was dropped (2.1%): missing values in y (1)" in said


def test_intervals_have_the_coverage_of_the_fit(fits):
    fit = fits["schools"]
    wide = ml.Fit(fit.model, fit.estimator, fit.estimates, level=0.8)
    text = parse(document(wide)).text
    assert "80% interval" in text
    ends = wide.predict({"school": ["new"]}, target="new_group", interval=0.8)
    assert f"({ends['lower'][0]:.1f} to {ends['upper'][0]:.1f})" in text


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_other_data_frames(kind):
    if kind == "polars":
        data = pytest.importorskip("polars").DataFrame(small())
    else:
        data = pytest.importorskip("pyarrow").table(small())
    page = parse(document(ml.fit("y ~ 1 + (1 | g)", data)))
    assert page.all(class_="failed") == []


# --- hostile data ------------------------------------------------------------------------------------------------
def test_hostile_names_and_labels_are_text():
    rng = np.random.default_rng(1)
    labels = [label for label in HOSTILE for _ in range(8)]
    response, predictor, group = "<img src=x onerror=alert(1)>", "</td>\"'", "g</script>"
    y = rng.normal(size=len(HOSTILE)).repeat(8) * 4 + rng.normal(size=len(labels))
    data = {response: y, predictor: rng.normal(size=len(labels)), group: labels}
    fit = ml.fit(f"`{response}` ~ `{predictor}` + (1 | `{group}`)", data)
    text = document(fit, title="</title><script>alert(2)</script>\u202e", name="</pre>.html")
    page = parse(text)
    assert page.all(class_="failed") == []
    assert [s.attributes for s in page.all("script")] == [{}]
    assert not page.all("img")
    assert page.all("title")[0].text == "</title><script>alert(2)</script>\\u202e"
    assert page.all("h1")[0].text == page.all("title")[0].text
    table = page.id("pooling").all("tbody")[0]
    assert "<script>alert(1)</script>" in table.text
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert all(len(cell.text) <= 60 for cell in table.all("th"))


@pytest.fixture(scope="module")
def many() -> ml.Fit:
    rng = np.random.default_rng(1)
    count = 10_000
    g = np.repeat(np.arange(count), rng.integers(1, 6, count))
    y = rng.normal(size=count)[g] + rng.normal(size=len(g))
    return ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": np.array([f"customer <{i}>" for i in range(count)])[g]})


@pytest.fixture(scope="module")
def long_text(many) -> str:
    return document(many)


def test_ten_thousand_levels_stay_small_and_searchable(many, long_text):
    text = long_text
    page = parse(text)
    assert len(text.encode()) < 1_500_000
    assert page.all(class_="failed") == []
    grid = page.all("div", "grid")[0]
    rows = grid.all("tbody")[0].all("tr")
    hidden = json.loads(grid.all("script")[0].words[0])
    assert len(rows) == 200
    assert len(rows) + len(hidden) == 10_000
    assert {len(cells) for cells in hidden} == {len(rows[0].children)}
    assert len({r.all("th")[0].text for r in rows} | {cells[0] for cells in hidden}) == 10_000
    found = levels(many, "g", "Intercept")
    clearest = found.names[int(np.argmax(np.where(found.verdict != 0, np.abs(found.effect), 0.0)))]
    assert clearest in {r.all("th")[0].text for r in rows}


def test_long_labels_of_many_levels_meet_the_cap():
    rng = np.random.default_rng(2)
    count = 12_000
    g = np.repeat(np.arange(count), 2)
    labels = np.array([f"{'ü' * 50}{i:06d}" for i in range(count)])[g]
    fit = ml.fit("y ~ 1 + (1 | g)", {"y": rng.normal(size=count)[g] + rng.normal(size=len(g)), "g": labels})
    context = Context(fit)
    table = _table(context, context.levels("g", "Intercept"))
    assert CELLS - 300 < len(parse(table).all("script")[0].words[0].encode()) < CELLS + 10
    assert "more only in fit.group_effects()" in table


# --- the file ------------------------------------------------------------------------------------------------------
def test_it_is_written_whole_and_replaces_only_reports(fits, tmp_path):
    path = tmp_path / "report.html"
    assert report(fits["schools"], path) == path
    assert is_report(path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    report(fits["eight"], str(path))  # an earlier report is replaced
    assert "eight" not in path.name
    other = tmp_path / "precious.html"
    other.write_text("<html>my own page</html>")
    with pytest.raises(OutputExistsError, match="no earlier report"):
        report(fits["eight"], other)
    assert other.read_text() == "<html>my own page</html>"
    report(fits["eight"], other, overwrite=True)
    assert is_report(other)
    with pytest.raises(OutputPathError):
        report(fits["eight"], tmp_path / "absent" / "r.html")
    with pytest.raises(OutputPathError):
        report(fits["eight"], tmp_path)


def test_a_failure_while_writing_leaves_the_old_file(fits, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    report(fits["eight"], path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputPathError, match="No space"):
        report(fits["schools"], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_service_that_fails_costs_its_own_part(fits, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no <luck>\nat all")

    monkeypatch.setattr("multilevel.checks.check.check", broken)
    page = parse(document(fits["schools"]))
    failed = [n.text for n in page.all(class_="failed")]
    assert "The checks could not be computed ( RuntimeError: no <luck> )." in failed
    assert [s.attributes["id"] for s in page.all("section")] == SECTIONS
    assert "clearly above" in page.id("answers").text


# --- a browser -----------------------------------------------------------------------------------------------------
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr", "--virtual-time-budget=2000",
]  # fmt: skip
DRIVE = """
const out = [];
const grid = document.querySelector("div.grid"), search = grid.querySelector(".search");
const names = () => [...grid.querySelectorAll("tbody th")].map((th) => th.textContent);
const type = (text) => { search.value = text; search.dispatchEvent(new Event("input")); };
type("<77>"); out.push(names());
type("customer <7"); out.push(names().length, grid.querySelector(".count").textContent);
type(""); out.push(names().length);
const rows = [...grid.querySelectorAll("thead button")].pop();
rows.click(); out.push(grid.querySelector("tbody tr").cells[7].textContent);
rows.click(); out.push(grid.querySelector("tbody tr").cells[7].textContent);
out.push(document.documentElement.scrollWidth <= window.innerWidth);
document.title = JSON.stringify(out);
"""


def browse(path: Path, profile: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--window-size=500,900", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_has_nothing_to_complain_about(fits, tmp_path):
    done = browse(report(fits["classes"], tmp_path / "r.html"), tmp_path / "profile")
    assert "The answers" in done.stdout
    assert "CONSOLE" not in done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_search_and_sort_in_a_browser(long_text, tmp_path):
    """Without its policy, so that a second script may drive the page."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", long_text)
    path = tmp_path / "driven.html"
    path.write_text(text.replace("</body>", f"<script>{DRIVE}</script></body>"), encoding="utf-8")
    done = browse(path, tmp_path / "profile")
    title = parse(done.stdout.replace("<!-- -->", "")).all("title")[0].text
    assert json.loads(title) == [
        ["customer <77>"], 200, "1,111 found, the first 200 shown", 200, "5", "1", True,
    ]  # fmt: skip
