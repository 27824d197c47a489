"""Markup that escapes by itself, numbers as readers want them, drawings with round ticks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from multilevel.reports import markup, svg
from multilevel.reports.markup import Html, island, join, joined, number, percent, shown, signed, span, tag, user


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b>", Html("<i></i>")) == "<p>&lt;b&gt;<i></i></p>"
    assert join("a<", tag("b", "&")) == "a&lt;<b>&amp;</b>"
    assert tag("p", f"{tag('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"  # an f-string is text again
    assert tag("a", title='"><script>') == '<a title="&quot;&gt;&lt;script&gt;"></a>'
    assert tag("td", data_tip="x", class_=None, hidden=True) == '<td data-tip="x" hidden></td>'
    assert joined(["a", "<", "c"], last=" and ") == "a, &lt; and c"


def test_labels_are_isolated_cut_and_free_of_control_characters():
    assert user("\u202egnp.exe") == "<bdi>\\u202egnp.exe</bdi>"
    assert shown("a\x00b\nc") == "a\\x00b\\nc"
    assert shown("می\u200cخواهم") == "می\u200cخواهم"  # the joiner is part of the word
    assert len(shown("x" * 500)) == 60
    assert shown("\ud800") == "\\ud800"  # a lone surrogate could not be written
    assert user(3.5) == "<bdi>3.5</bdi>"


def test_data_cannot_end_its_element():
    hostile = [["</script><script>alert(1)</script>", "<!--", "\u2028", "é&"]]
    text = island(hostile)
    inside = text.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert json.loads(inside) == hostile
    assert not set("<>&\u2028") & set(inside)


def test_numbers():
    assert number(69.61408, 0.8697) == "69.61"
    assert number(-0.0004, 0.01) == "0.000"
    assert number(-3.14159) == "−3.14"
    assert number(2.5e-12) == "2.50e−12"
    assert span(60.0532, 79.1749, 4.64) == "60.1 to 79.2"
    assert span(-1.0, 1.0, 0.1) == "−1.00 to 1.00"
    assert [signed(t) for t in ("1.2", "−1.2", "0.0", "NA")] == ["+1.2", "−1.2", "0.0", "NA"]
    assert [percent(v) for v in (0.1747, 0.0, 1.0, 0.00012)] == ["17.5%", "0%", "100%", "0.012%"]
    assert markup.coverage(0.95) == "95%"
    assert markup.probability(1e-9) == "< 0.0001"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 10.0], ["0", "2", "4", "6", "8", "10"]),
        ([-0.02, 0.02], ["−0.02", "−0.01", "0.00", "0.01", "0.02"]),
        ([1e9, 1.001e9], None),
        ([3.0, 3.0], None),
        ([np.nan, np.inf], None),
        ([1e-300, 2e-300], None),
        ([-1e300, 1e300], None),
    ],
)
def test_axes_have_round_and_different_ticks(values, labels):
    scale = svg.scale(values, 0.0, 100.0, margin=0.0)
    ticks = scale.ticks(5)
    found = svg.tick_labels(ticks)
    assert labels is None or found == labels
    assert 2 <= len(ticks) <= 12
    assert all(-0.1 <= scale(t) <= 100.1 for t in ticks)
    assert len(set(found)) == len(found) or values[0] == 1e9


def test_drawings_hold_numbers_only():
    drawn = svg.drawing(10, "a <b>", svg.circle(float("nan"), 1.25, 2, "x"), svg.path([(0, 1), (2, 3.26)], "y"))
    assert 'aria-label="a &lt;b&gt;"' in drawn
    assert "nan" not in drawn
    assert 'points="0,1 2,3.3"' in drawn
