"""``--prior`` on the command line."""

from __future__ import annotations

import pytest

import multilevel as ml
from multilevel.cli import main


@pytest.fixture
def pupils(tmp_path):
    path = tmp_path / "pupils.csv"
    ml.datasets.load("classes").to_csv(path, index=False)
    return str(path)


def test_described(pupils, capsys):
    given = ["--prior", "sd[school]=exponential(1/5)", "--prior", "beta[ses] ~ normal(mean=0, sd=2)", "--prior", "brms"]
    assert main(["describe", pupils, "score ~ ses + (1 | school)", *given]) == 0
    text = capsys.readouterr().out
    assert 'set "brms"' in text
    assert "exponential(0.2)" in text
    assert "normal(0, 2)" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["sd[schol]=exponential(1)"], 'did you mean "sd[school]"'),
        (["flatt"], 'did you mean "flat"'),
        (["brms", "flat"], "one set"),
        (["sd[school]=nromal(0, 1)"], 'did you mean "normal"'),
    ],
)
def test_refused(pupils, capsys, given, words):
    options = [part for text in given for part in ("--prior", text)]
    assert main(["describe", pupils, "score ~ ses + (1 | school)", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_fitted(pupils, capsys):
    options = ["--estimator", "map", "--prior", "sd[school]=half_normal(5)"]
    assert main(["fit", pupils, "score ~ ses + (1 | school)", *options]) == 0
    assert "half_normal(0, 5)" in capsys.readouterr().out
