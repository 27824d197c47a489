"""What simulation-based calibration ranks: every parameter, some group effects, a held-out observation, two densities.

All are functions of (parameters, data) computed in one way for the truth and for the draws. The joint log-likelihood
finds samplers that ignore the data, which ranks of parameters alone cannot (Modrák et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..fit.sample import Sample
from ..samplers.from_prior import Parameters, coordinates_of
from ..samplers.gibbs_terms import exact
from .simulated import Simulator

if TYPE_CHECKING:
    from ..core.coordinates import Coordinates

EFFECTS = 3


def parameters_of(sample: Sample, coords: Coordinates, index: np.ndarray) -> Parameters:
    """Some of the draws of a sample (flat places)."""
    covariances = tuple(sample.flat(c)[index] for c in sample.covariances)
    terms = tuple(exact(b, c) for b, c in zip(coords.blocks, covariances, strict=True))
    extras = np.zeros((len(index), coords.extras.stop - coords.extras.start))
    if extras.shape[1]:
        extras = sample.flat(sample.z)[index][:, -extras.shape[1] :]
    return Parameters(
        beta=np.nan_to_num(sample.flat(sample.beta)[index]),
        sigma=np.ones(len(index)) if sample.sigma is None else sample.flat(sample.sigma)[index],
        terms=terms,
        covariances=covariances,
        effects=tuple(sample.flat(b)[index] for b in sample.effects),
        constants={name: sample.flat(v)[index] for name, v in sample.constants.items()},
        extras=extras,
    )


def quantities(
    p: Parameters, coords: Coordinates, simulator: Simulator, y: np.ndarray, rng: np.random.Generator
) -> Mapping[str, np.ndarray]:
    """(N,) of everything that is ranked, by name."""
    design = simulator.model.design
    gone = {j for j, _ in simulator.model.dropped}
    out: dict[str, np.ndarray] = {}
    for part, x in zip(coords.parts, p.terms, strict=True):
        out.update(zip(coords.names[part], x.T, strict=True))
    if simulator.model.is_linear and design.known_se is None:
        out["sigma"] = p.sigma
    out.update(p.constants)
    out.update({f"beta[{name}]": p.beta[:, j] for j, name in enumerate(design.fixed_names) if j not in gone})
    if design.groups:
        group, b = design.groups[0], p.effects[0]
        for level in np.unique(np.linspace(0, len(group.levels) - 1, EFFECTS).astype(int)):
            out[f"effect[{group.label}, {group.levels[level]}]"] = b[:, level, 0]
    out["held-out observation"] = simulator.responses(p, rng)[:, 0]
    out["log likelihood"] = simulator.log_likelihood(p, y)
    out["log prior"] = coords.log_prior(coordinates_of(p, coords))[0]
    return out
