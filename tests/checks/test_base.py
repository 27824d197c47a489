"""Findings and lists of them: order, tables, text, JSON, HTML; Holm's adjustment."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from deserving import FORMULA, healthy, unhealthy

import multilevel as ml
from multilevel.checks.base import SEVERITIES, Checks, Finding, holm, plain
from multilevel.checks.check import advise, check
from multilevel.errors import SettingError

FOUND = [
    Finding("N_A", "ok", "fine", "nothing to see."),
    Finding("N_B", "problem", "bad", "it is bad.", "Do something.", {"p": np.float64("nan"), "n": np.int64(3)}),
    Finding("N_C", "note", "so", "so it is.", "", {"x": np.array([1.0, np.inf])}),
]


def test_worst_first_and_stable():
    checks = Checks.of([*FOUND, Finding("N_D", "note", "later", "…")], "pandas", ["a", "a", "b"])
    assert [f.code for f in checks] == ["N_B", "N_C", "N_D", "N_A"]
    assert checks.worst == "problem"
    assert checks.counts == {"problem": 1, "caution": 0, "note": 2, "ok": 1}
    assert checks.skipped == ("a", "b")
    assert checks[0] is checks.code("N_B")[0]
    assert len(checks[:2]) == 2


def test_summary_shows_evidence_and_remedy_of_what_needs_attention_only():
    text = str(Checks.of(FOUND, "pandas", ["x: too long"]))
    assert text.splitlines()[0] == "Checks: 1 problem, 1 note, 1 ok"
    assert "it is bad." in text
    assert "→ Do something." in text
    assert "nothing to see" not in text
    assert "skipped x: too long" in text


def test_json_holds_no_nan_and_html_escapes():
    checks = Checks.of([*FOUND, Finding("N_E", "note", "<script>", 'a "b" & <i>')], "pandas")
    assert json.loads(json.dumps(checks.to_dict(), allow_nan=False))["findings"][0]["values"] == {"p": None, "n": 3}
    html = checks._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;i&gt;" in html


def test_table_is_a_frame_of_the_users_kind():
    data = healthy(1)
    assert isinstance(check(ml.fit(FORMULA, data)).table, pd.DataFrame)
    table = check(ml.fit(FORMULA, pl.from_pandas(data))).table
    assert isinstance(table, pl.DataFrame)
    assert table.columns == ["severity", "code", "title", "evidence", "remedy"]


def test_plain_values():
    assert plain({"a": (np.float64(1.5), None, "x"), "b": {"c": np.bool_(True)}}) == {
        "a": [1.5, None, "x"],
        "b": {"c": True},
    }


def test_holm_against_its_definition():
    p = np.array([0.04, 0.01, 0.03, 0.2])
    # sorted 0.01, 0.03, 0.04, 0.2 times 4, 3, 2, 1, never falling
    assert holm(p).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.2])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_every_finding_is_complete():
    for what in ("class left out", "spread", "two kinds"):
        for finding in check(ml.fit(FORMULA, unhealthy(what)), data=unhealthy(what)):
            assert finding.severity in SEVERITIES
            assert finding.title
            assert finding.evidence.endswith(".")
            assert (finding.severity == "ok") == (finding.remedy == ""), finding


def test_checks_are_the_same_on_every_run_and_need_the_data_for_unused_columns():
    data = unhealthy("class left out")
    fit = ml.fit(FORMULA, data)
    assert check(fit, data=data).to_dict() == check(fit, data=data).to_dict()
    with pytest.raises(SettingError, match="data has 100 rows"):
        check(fit, data=data.iloc[:100])


def test_a_fit_from_a_file_is_checked_as_the_one_that_was_saved(tmp_path):
    data = healthy(3, levels=7, rows=20)
    fit = ml.fit(FORMULA, data)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    ours, again = check(fit, data=data), check(loaded, data=data)
    assert [(f.code, f.severity) for f in again] == [(f.code, f.severity) for f in ours]
    assert again.code("N_FEW_GROUPS")[0].evidence == ours.code("N_FEW_GROUPS")[0].evidence
    assert any("give data=" in reason for reason in check(loaded).skipped)


def test_tiny_tables_are_checked():
    tiny = {"y": [1.0, 2.0, 3.0, 4.5, 5.0, 7.0], "x": [1.0, 2.0, 1.0, 2.0, 3.0, 1.0], "g": list("aabbcc")}
    assert check(ml.fit("y ~ x + (1 | g)", tiny)).code("N_FEW_GROUPS")[0].severity == "caution"
    assert isinstance(check(ml.fit("y ~ 1", {"y": [1.0, 2.0, 4.0]})).summary(), str)


def test_hostile_labels_reach_no_terminal_and_no_page():
    data = unhealthy("outlier").assign(g=lambda d: "\x1b[31m<b>" + d["g"])
    data = data.rename(columns={"noise_text": "a\x07<img>"})
    checks = check(ml.fit(FORMULA, data), data=data)
    assert "\x1b" not in str(checks)
    assert "\x07" not in str(checks)
    assert "<b>" not in checks._repr_html_().replace("<b>Checks", "")
    assert "<img>" not in checks._repr_html_()


def test_estimators_without_a_model_of_the_groups_are_refused():
    with pytest.raises(SettingError, match=r'"none" has none\. Fit with "reml"'):
        check(ml.fit("y ~ x + (1 | g)", healthy(1), estimator="none"))


@pytest.mark.parametrize("estimator", ["ml", "moments", "complete"])
def test_other_estimators_are_checked(estimator):
    data = unhealthy("crossed left out")
    checks = check(ml.fit(FORMULA, data, estimator=estimator), data=data)
    assert "rater" in {f.values["column"] for f in checks.code("N_LEFT_OUT_GROUP") if f.alarming}


def test_complete_pooling_is_told_of_its_own_group():
    data = healthy(2)
    found = check(ml.fit("y ~ x + (1 | g)", data, estimator="complete"), data=data).code("N_LEFT_OUT_GROUP")
    assert found[0].values["column"] == "g"
    assert 'fit with "reml"' in found[0].remedy


def test_weights_known_errors_and_offsets_are_checked():
    data = healthy(3).assign(k=lambda d: np.random.default_rng(1).integers(1, 4, len(d)), s=0.9)
    for formula, kind in [
        ("y | weights(k) ~ x + (1 | g)", {}),
        ("y ~ x + (1 | g)", {"weights": "k"}),
        ("y | se(s) ~ x + (1 | g)", {}),
        ("y ~ w + offset(x) + (1 | g)", {}),
    ]:
        assert len(check(ml.fit(formula, data, **kind), data=data)) > 5


def test_advice_before_fitting_needs_no_fit():
    data = healthy(1, levels=4).assign(z=lambda d: 1e6 + 1e5 * d["x"])
    found = {f.code: f for f in advise(ml.Model("y ~ z + w + (1 | g)", data))}
    assert set(found) == {"N_FEW_GROUPS", "N_SCALES"}
    assert found["N_FEW_GROUPS"].severity == "caution"
    assert advise(ml.Model(FORMULA, healthy(1))) == []
