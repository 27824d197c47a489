"""The JSON form: the schema's keys, nothing that JSON has not."""

from __future__ import annotations

import json
import warnings

import multilevel as ml

KEYS = {
    "schema", "formula", "family", "link", "estimator", "n_obs", "groups", "log_likelihood", "objective", "aic", "bic",
    "n_parameters", "fixed_effects", "variance_components", "correlations", "dispersion", "group_effects", "icc",
    "converged", "singular", "sampled", "draws", "seconds", "warnings",
}  # fmt: skip
CHECKED = {
    "fixed_effects": ("term", "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"),
    "variance_components": ("group", "term", "sd", "std_error", "lower", "upper"),
    "correlations": ("group", "term_1", "term_2", "correlation", "lower", "upper"),
    "dispersion": ("parameter", "estimate"),
}


def refuse(name: str) -> None:
    raise AssertionError(name)


def test_schema(sleepstudy):
    record = json.loads(sleepstudy.to_json(), parse_constant=refuse)
    assert record["schema"] == "multilevel.fit/1"
    assert set(record) >= KEYS
    for name, columns in CHECKED.items():
        for row in record[name]:
            assert set(row) >= {*columns, "rhat", "ess_bulk", "ess_tail"}
            assert row["rhat"] is None
    assert record["groups"] == {"Subject": 18}
    assert record["variance_components"][-1]["group"] == "Residual"
    assert record["variance_components"][-1]["term"] == ""
    assert set(record["group_effects"]["Subject"][0]) == {"level", "term", "estimate", "std_error"}
    assert len(record["group_effects"]["Subject"]) == 36
    assert record["draws"] is None
    assert record["warnings"] == []
    assert 0.0 < record["icc"]["Subject"] < 1.0


def test_undefined_numbers_are_null(flat):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("y ~ x + x2 + (1 | g)", flat)
    record = json.loads(fit.to_json(), parse_constant=refuse)
    assert record["fixed_effects"][2]["estimate"] is None
    assert record["singular"] is True
    assert {w["code"] for w in record["warnings"]} == {"W_RANK", "W_BOUNDARY"}
    assert all(w["remedy"] for w in record["warnings"])
