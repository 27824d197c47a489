"""The joint posterior where coefficients have priors of the horseshoe's kind: their local scales are coordinates too.

    a_j'β | λ_j, τ ~ N(0, (s_j λ_j τ)²)

With the λ_j integrated out the density has a pole at zero that no gradient can follow; given them it is normal. Their
precisions are added to the quadratic of `anchor.py` at each point, G(λ, τ) = G + Σ a_j a_j'/(s_j λ_j τ)², so that the
noise of the coefficients is white for any λ_j: neither the pole nor the funnel that usually takes its place is left.
The draws that are kept are of β and τ, the λ_j are forgotten.

References: Piironen & Vehtari (2017), Electronic J. Statist. 11 (the funnel); Carvalho, Polson & Scott (2010).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..priors.normal import Normal
from ..priors.record import LinearPrior, Priors
from .coordinates import coordinates
from .joint import JointPosterior, _Way
from .marginal import LaplacePosterior

if TYPE_CHECKING:
    from ..model.model import Model

SPREAD = 1.5  # of the logarithm of a scale, to begin with
FARTHEST = 100.0  # of such a logarithm, where precisions are still numbers


def shrinks(model: Model) -> bool:
    """Whether a model has such priors."""
    return any(item.prior.mixing is not None for item in model.priors.linear)


def expanded(priors: Priors) -> Priors:
    """The same prior with the local scales among the extra parameters, after the shared ones."""
    linear, extras = [], list(priors.extras)
    for item in priors.linear:
        if item.prior.mixing is None:
            linear.append(item)
            continue
        normal, local = item.prior.mixing
        linear.append(replace(item, prior=normal, local=len(extras)))
        extras.append((f"local[{item.name}]", local))
    return replace(priors, linear=tuple(linear), extras=tuple(extras))


def settled(priors: Priors) -> Priors:
    """A prior to look for a mode with: local scales of one, shared ones at their medians."""
    middle = [float(np.median(prior.draw(1001, np.random.default_rng(0)))) for _, prior in priors.extras]
    return replace(priors, linear=tuple(_settled(item, middle) for item in priors.linear), extras=())


def _settled(item: LinearPrior, middle: list[float]) -> LinearPrior:
    if item.prior.mixing is None:
        return item
    normal = item.prior.mixing[0]
    assert isinstance(normal, Normal)
    return replace(item, prior=Normal(0.0, normal.sd * middle[item.scale]), scale=-1)


class ShrunkenPosterior(JointPosterior):
    """The log density of x = (noise of everything, logarithms of shared and local scales), with exact gradient."""

    compiled = None

    def _marginal(self, model: Model) -> LaplacePosterior:
        marginal = LaplacePosterior(model)
        marginal.coordinates = coordinates(model, settled(model.priors), True)
        return marginal

    def _widen(self) -> None:
        model, anchor = self.model, self.anchor
        start = self.coordinates
        self.reported = coordinates(model, model.priors, True)
        self.coordinates = coordinates(model, expanded(model.priors), True)
        at, more = self.coordinates, self.coordinates.d - start.d
        z = np.concatenate([anchor.z, np.zeros(more)])
        for j, (_, prior) in enumerate(at.priors.extras):
            z[at.extras.start + j] = np.log(np.median(prior.draw(1001, np.random.default_rng(0))))
        n = len(anchor.outer)
        root = SPREAD * np.eye(n + more)
        root[:n, :n] = anchor.root
        self.anchor = replace(anchor, z=z, outer=np.concatenate([anchor.outer, np.arange(start.d, at.d)]), root=root)
        items = [item for item in at.priors.linear if item.local >= 0]
        columns = self.anchor.inner - at.coefficients.start
        self.directions = np.array([item.direction @ at.to_beta for item in items])[:, columns]
        self.places = at.extras.start + np.array([(item.scale, item.local) for item in items])
        self.log_unit = np.log([item.prior.parameters["sd"] for item in items])
        self.already = np.array(
            [p.prior.parameters["sd"] ** -2.0 for p in start.priors.linear if p.name in {i.name for i in items}]
        )

    def _way(self, j: int, lam: list[np.ndarray], i: int, z: np.ndarray) -> _Way:
        if self.tail is None:
            return super()._way(j, lam, i, z)
        T, G, r = self.tail.at([lam[g][i] for g in self.beside]) if self.beside else self.still
        log_scale = np.clip(self.log_unit + z[self.places].sum(axis=1), -FARTHEST, FARTHEST)
        held = np.exp(-2.0 * log_scale)
        G = G.copy()
        G[: self.p, : self.p] += self.directions.T @ ((held - self.already)[:, None] * self.directions)
        way = _Way(self.anchor.A[j], T, G, r)
        way.held = held
        return way

    def _by_precision(self, way: _Way, by_G: np.ndarray, by_z: np.ndarray) -> None:
        if self.tail is None:
            return
        inside = by_G[: self.p, : self.p]
        by_log = -2.0 * way.held * np.einsum("ji,ik,jk->j", self.directions, inside, self.directions)
        np.add.at(by_z, self.places, by_log[:, None])


def joint_posterior(model: Model) -> JointPosterior:
    """The joint posterior of a model, in the coordinates that its priors ask for."""
    return ShrunkenPosterior(model) if shrinks(model) else JointPosterior(model)
