"""Simulation-based calibration of every sampler (slow); `sbc.py` has the models."""

from __future__ import annotations

import pytest
import sbc

CELLS = [(model, sampler) for model in sbc.MODELS for sampler in sbc.samplers(model)]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "sampler"), CELLS, ids=["/".join(c) for c in CELLS])
def test_ranks_are_uniform(model, sampler):
    found, _ = sbc.run(model, sampler, n=100, seed=2)
    assert found.passed, found.summary()


def test_every_cell_has_a_model_and_settings():
    assert len(CELLS) == 25
    for model, sampler in CELLS:
        assert sampler in sbc.SETTINGS
        assert sbc.MODELS[model]().n_obs >= 10
