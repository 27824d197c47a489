"""Draws of all parameters from their prior: where simulation-based calibration and Geweke's test begin.

    β solves a_j'β = x_j, x_j ~ p_j;    Σ_t ~ p(Σ_t | σ);    b_tℓ ~ N(0, Σ_t)

Every prior has to be proper, and the priors of coefficients as many as the coefficients: then β is determined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, listed
from .gibbs_terms import exact

if TYPE_CHECKING:
    from ..core.coordinates import Coordinates
    from ..model.model import Model
    from ..priors.record import LinearPrior


@dataclass(frozen=True)
class Parameters:
    """N draws of everything, in the units of the data.

    Parameters
    ----------
    beta : (N, p); zeros for dropped columns
    sigma : (N,), ones where there is none
    terms : coordinates of every group term, (N, d)
    covariances, effects : per group term, (N, k, k) and (N, L, k)
    constants : of the family, on their natural scale
    extras : logs of the scales that priors bring, (N, E)
    """

    beta: np.ndarray
    sigma: np.ndarray
    terms: tuple[np.ndarray, ...]
    covariances: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    constants: Mapping[str, np.ndarray]
    extras: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma)

    def take(self, index: np.ndarray | slice) -> Parameters:
        """Some of the draws."""
        return Parameters(
            self.beta[index], self.sigma[index], tuple(x[index] for x in self.terms),
            tuple(c[index] for c in self.covariances), tuple(b[index] for b in self.effects),
            {name: v[index] for name, v in self.constants.items()}, self.extras[index],
        )  # fmt: skip


def require_proper(model: Model) -> None:
    """Refuse priors that cannot be drawn from.

    Raises
    ------
    SettingError
        E_PRIOR_IMPROPER, naming the parameters that are flat.
    """
    priors = model.priors
    flat = [f"cov[{g.label}]" for g, p in zip(model.design.groups, priors.terms, strict=True) if not p.proper]
    flat += [name for name in constants_of(model) if name not in priors.constants or not priors.constants[name].proper]
    kept = [j for j in range(len(model.design.fixed_names)) if j not in {d for d, _ in model.dropped}]
    rows = [item.direction[kept] for item in priors.linear if item.prior.proper]
    rank = int(np.linalg.matrix_rank(np.array(rows))) if rows and kept else 0
    if rank < len(kept):
        flat.append("beta")
    if flat:
        raise SettingError(
            f"parameters cannot be drawn from their prior: {listed(flat)} flat",
            code="E_PRIOR_IMPROPER",
            hint='Give proper priors, such as priors={"beta": "normal(0, 1)"}; the default set is proper.',
        )
    if len(rows) > len(kept) or len({item.prior for item in _thresholds(model)}) > 1:
        raise SettingError(
            "parameters cannot be drawn from their prior: coefficients have more priors than they are, or thresholds "
            "different ones",
            code="E_PRIOR",
            hint="Give one prior for each coefficient, and one for all thresholds.",
        )


def _thresholds(model: Model) -> list[LinearPrior]:
    return [item for item in model.priors.linear if item.name in model.design.layout.thresholds]


def constants_of(model: Model) -> list[str]:
    """Names of the constants beside β that have a prior, sigma of linear models among them."""
    names = [name for name, _, _ in model.rows.constants]
    return [n for n in names if n != "sigma" or not model.is_linear or model.design.known_se is None]


def draw_parameters(model: Model, coords: Coordinates, n: int, rng: np.random.Generator) -> Parameters:
    """`n` independent draws from `model.priors`."""
    require_proper(model)
    priors = model.priors
    extras = np.column_stack([np.log(p.draw(n, rng)) for _, p in priors.extras] or [np.zeros((n, 0))])
    constants = {name: priors.constants[name].draw(n, rng) for name in constants_of(model)}
    sigma = constants.get("sigma", np.ones(n))
    beta = _coefficients(model, n, extras, rng)
    terms, covariances, effects = [], [], []
    for block, prior, group in zip(coords.blocks, priors.terms, model.design.groups, strict=True):
        if prior.whole:
            x = exact(block, prior.draw_covariances(n, rng))
        else:
            sd = prior.draw(n, sigma, rng)[:, : block.n_sds]
            x = np.column_stack([np.log(np.maximum(sd, 1e-130)), block.draw_correlations(n, prior.eta, rng)])
        factor = block.factor(x)
        terms.append(x)
        covariances.append(factor @ factor.transpose(0, 2, 1))
        effects.append(rng.standard_normal((n, len(group.levels), block.k)) @ factor.transpose(0, 2, 1))
    if model.is_linear:
        constants = {}
    return Parameters(beta, sigma, tuple(terms), tuple(covariances), tuple(effects), constants, extras)


def _coefficients(model: Model, n: int, extras: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    p = len(model.design.fixed_names)
    gone = {j for j, _ in model.dropped}
    kept = [j for j in range(p) if j not in gone]
    beta = np.zeros((n, p))
    if not kept:
        return beta
    rows, values = [], []
    for item in model.priors.linear:
        if item.prior.proper:
            scale = np.exp(extras[:, item.scale]) if item.scale >= 0 else 1.0
            rows.append(item.direction[kept])
            values.append(item.prior.draw(n, rng) * scale)
    drawn = np.array(values)
    proper = [item for item in model.priors.linear if item.prior.proper]
    at = [i for i, item in enumerate(proper) if item.name in model.design.layout.thresholds]
    drawn[at] = np.sort(drawn[at], axis=0)  # thresholds are ordered: equal priors given that are sorted draws
    beta[:, kept] = np.linalg.solve(np.array(rows), drawn).T
    return beta


def coordinates_of(parameters: Parameters, coords: Coordinates) -> np.ndarray:
    """z (N, d)."""
    from ..links import forward

    z = np.zeros((len(parameters), coords.d))
    for part, x in zip(coords.parts, parameters.terms, strict=True):
        z[:, part] = x
    places = [place for _, _, place in coords.constants]
    others = [j for j in range(coords.to_beta.shape[1]) if j not in places]
    if others:
        inverse = np.linalg.pinv(coords.to_beta[:, others])
        z[:, coords.coefficients.start + np.array(others)] = parameters.beta @ inverse.T
    for name, link, place in coords.constants:
        values = parameters.constants.get(name, parameters.sigma)
        z[:, coords.coefficients.start + place] = forward(link, values)
    z[:, coords.extras] = parameters.extras
    return z
