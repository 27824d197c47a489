"""The printed summary: content, digits, and labels that try to break it."""

from __future__ import annotations

import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

import multilevel as ml
from multilevel.fit.blocks import Grid, to_text


def test_content_of_sleepstudy(sleepstudy):
    text = str(sleepstudy.summary())
    for part in (
        "Linear mixed model fitted by REML",
        "Reaction = b0 + b1·Days + u0[Subject] + u1[Subject]·Days + e",
        "Formula: Reaction ~ Days + (Days | Subject)",
        "REML criterion 1743.63",
        "AIC 1755.63",
        "-3.9536  -0.4634  0.0231  0.4634  5.1793",
        "Number of obs: 180, groups: Subject 18",
        "251.405",
        "6.825  17.00   36.838  <0.0001",
        "l-95% CI",
        "converged in",
    ):
        assert part in text
    assert "Notes" not in text
    assert "e-17" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_level(sleepstudy):
    assert "u-90% CI" in str(sleepstudy.summary(level=0.9))


def test_columns_align(sleepstudy):
    text = str(sleepstudy.summary()).splitlines()
    rows = [line for line in text if line.lstrip().startswith(("Intercept ", "Days "))][-2:]
    assert rows[0].index(".405") == rows[1].index(".467")


def test_decimal_points_stand_below_each_other():
    text = to_text([Grid("", ("", "a"), (("x", "1.5"), ("y", "12"), ("z", "0.25"), ("w", "NA")))])
    assert text.splitlines()[1:] == [" x   1.5", " y  12", " z   0.25", " w     NA"]


def test_no_group_term_is_said(rows):
    text = str(ml.fit("y ~ x", rows).summary())
    assert "no grouping term" in text
    assert "Linear model fitted by least squares" in text


def test_warnings_with_remedies_stand_last(flat):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("y ~ x + x2 + (1 | g)", flat)
    text = str(fit.summary())
    assert 'column "x2" is a combination of "x" and was dropped' in text
    assert "can be dropped" in text
    assert text.index("Warnings:") > text.index("Regression coefficients")


def test_dropped_rows_and_weights_are_said(rows):
    y = rows["y"].copy()
    y[[3, 5]] = np.nan
    with pytest.warns(ml.errors.MissingDataWarning):
        fit = ml.fit("y ~ x + (1 | g)", {**rows, "y": y}, weights=np.ones(96))
    text = str(fit.summary())
    assert "94 rows (2 of 96 dropped: missing values in y: 2)" in text
    assert "Weights: precisions" in text


def test_few_groups_are_a_note_not_a_warning(rows):
    fit = ml.fit("y ~ x + (1 | g)", {**rows, "g": rows["g"] % 4})
    assert fit.warnings == []
    assert next(n.code for n in fit.notes) == "N_FEW_GROUPS"
    assert "hardly identifiable" in str(fit.summary())


class Tags(HTMLParser):
    """Which elements a document has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "\x1b[31mred", "a|b\n*c*", "\u202egnp.exe", "{{7*7}}"])
def test_hostile_names_stay_text(rows, label):
    quoted = label.replace("`", "``")
    data = {"y": rows["y"], label: rows["x"], "g " + label: rows["g"]}
    fit = ml.fit(f"y ~ `{quoted}` + (1 | `g {quoted}`)", data)
    summary = fit.summary()
    for text in (str(summary), summary.to_markdown(), str(fit.model)):
        assert not any(c in text for c in "\x1b\u202e\r")
        assert "<script>" not in summary.to_markdown()
    tags = Tags()
    tags.feed(summary._repr_html_())
    assert tags.found == {"div", "p", "b", "br", "table", "thead", "tbody", "tr", "th", "td"}


def test_markdown(sleepstudy):
    text = sleepstudy.summary().to_markdown()
    assert "| Days | 10.467 | 1.546 | 17.00 | 6.771 | &lt;0.0001 | 7.206 | 13.729 |" in text
    assert sleepstudy.summary().to_dict() == sleepstudy.to_dict()
