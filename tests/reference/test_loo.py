"""Leave-one-out scores of posteriors against those of long brms runs (`loo.json`).

Theirs are conditional on the group effects, with some rows above k̂ = 0.7; ours have these effects integrated out there.
Both estimate the same number: they agree within a small part of the standard error over rows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reference_data import table

import multilevel as ml

CASES = {
    name: case
    for name, case in json.loads(Path(__file__).with_name("loo.json").read_text(encoding="utf-8")).items()
    if not name.startswith("_")
}


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_brms(name):
    case = CASES[name]
    model = ml.Model(case["formula"], table(case["source"]), family=case["family"], priors="brms")
    score = ml.loo(model.fit(case["estimator"]))
    limit = 0.05 * case["se_elpd_loo"] + 0.3 * case["rows_above_0.7"]  # what unreliable weights of theirs may cost
    assert abs(score.elpd - case["elpd_loo"]) < limit
    assert abs(score.elpd_se - case["se_elpd_loo"]) < 0.04 * case["se_elpd_loo"]
    assert abs(score.p_loo - case["p_loo"]) < 0.06 * case["p_loo"] + 0.3 * case["rows_above_0.7"]
    assert len(score.unreliable) <= 1


def test_an_effect_of_every_row_is_no_cause_for_hope():
    """The fish of the sources, an effect each: conditional weights in brms say -193.6, 53 of 100 rows above k̂ = 0.7.

    Held against the closed form of the likelihood fit, which integrates these effects by other means.
    """
    data = table("data/fish.csv").assign(weather=lambda d: (d["weather"] == "sunny").astype(int))
    model = ml.Model("fish_num ~ temperature + weather + (1 | id)", data, family="poisson", priors="brms")
    score = ml.loo(model.fit("nested_laplace"))
    likelihood = ml.loo(model.fit("laplace"))
    assert len(score.unreliable) == 0
    np.testing.assert_allclose(score.elpd, likelihood.elpd, atol=1.0)
