"""Saved fits of every family: what is loaded answers as what was saved, and inconsistent responses are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import CorruptFileError

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))
sys.path.insert(0, str(Path(__file__).parent))
from family_cases import CASES, fitted, some
from test_store import close, edited, resealed


@pytest.mark.parametrize("case", CASES)
def test_what_is_loaded_is_what_was_saved(case, tmp_path):
    fit = fitted(case)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    assert close(_rounded(loaded.to_dict()), _rounded(fit.to_dict()))
    assert str(loaded.model) == str(fit.model)
    assert np.array_equal(loaded.fitted_values, fit.fitted_values)
    new = some(slice(None, None, -7))
    for target, kind in (("conditional", "mean"), ("new_group", "response"), ("marginal", "mean")):
        before, after = (f.predict(new, target=target, kind=kind) for f in (fit, loaded))
        assert list(before) == list(after)
        for name in before:
            if before[name].dtype != float:
                assert before[name].tolist() == after[name].tolist()
            else:
                assert after[name].to_numpy() == pytest.approx(before[name].to_numpy(), rel=1e-6, abs=1e-8, nan_ok=True)
    assert np.array_equal(loaded.simulate(2, seed=3), fit.simulate(2, seed=3))
    assert loaded.residuals("quantile") == pytest.approx(fit.residuals("quantile"), rel=1e-9, abs=1e-9)


def _rounded(record):
    """Differences of a criterion that is evaluated again agree to six digits; estimates to all."""
    if isinstance(record, dict):
        return {key: _rounded(value) for key, value in record.items() if key not in DIFFERENCES}
    return [_rounded(v) for v in record] if isinstance(record, list) else record


DIFFERENCES = ("std_error", "lower", "upper", "statistic", "p_value")


AGAIN = ["poisson", "zero_inflated_poisson", "categorical", "gaussian sigma", "agq", "complete"]


@pytest.mark.parametrize("case", AGAIN)
def test_certainty_is_found_again(case, tmp_path):
    fit = fitted(case)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    for table in ("fixed_effects", "variance_components", "confint"):
        before, after = (f.confint() if table == "confint" else getattr(f, table) for f in (fit, loaded))
        for name in before:
            if before[name].dtype == float:
                assert after[name].to_numpy() == pytest.approx(before[name].to_numpy(), rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("fits")
    for case in ("binomial", "cumulative", "negative_binomial"):
        fitted(case).save(path / f"{case}.fit")
    return path


HOSTILE = {
    "another family": ("binomial", lambda r: r["model"].update(family="cumulative")),
    "no such family": ("binomial", lambda r: r["model"].update(family="../os")),
    "negative trials": ("binomial", lambda r: r["model"]["observations"].update(trials=_another(r))),
    "response of another length": ("binomial", lambda r: r["model"]["observations"].update(y=r["estimates"]["beta"])),
    "categories beyond the levels": ("cumulative", lambda r: r["model"]["observations"].update(levels=["1", "2"])),
    "levels that are no text": ("cumulative", lambda r: r["model"]["observations"].update(levels=[1, 2, 3, 4])),
    "another layout": ("cumulative", lambda r: r["model"]["memory"]["layout"].update(thresholds=[])),
    "predictors that are not there": ("negative_binomial", lambda r: r["model"].update(fixed_predictor=[0, 0, 7, 1])),
    "no offsets": ("negative_binomial", lambda r: r["model"].update(offsets=[])),
    "parameters too few": ("binomial", lambda r: r["estimates"]["notes"].update(phi=[])),
    "zeros that are no parameters": ("binomial", lambda r: r["estimates"]["notes"].update(zeros=[5])),
}


def _another(record) -> str:
    """The array of x, which has negative numbers."""
    return record["model"]["fixed_columns"][1]


@pytest.mark.parametrize("case", HOSTILE)
def test_inconsistent_responses_are_refused(saved, tmp_path, case):
    family, edit = HOSTILE[case]
    (tmp_path / "a.fit").write_bytes(resealed(saved / f"{family}.fit", edited(edit)))
    with pytest.raises(CorruptFileError) as error:
        ml.load(tmp_path / "a.fit")
    assert error.value.code == "E_CORRUPT"


def test_json_has_links_and_constants_and_no_nan():
    record = fitted("zero_inflated_poisson").to_dict()
    assert record["links"] == {"mu": "log", "zi": "logit"}
    assert record["dispersion"] == []
    assert record["sigma"] is None
    assert json.loads(fitted("beta").to_json())["dispersion"][0]["parameter"] == "phi"
    assert fitted("cumulative").to_dict()["links"] == {"mu": "logit"}
    for case in CASES:
        json.dumps(fitted(case).to_dict(), allow_nan=False)
