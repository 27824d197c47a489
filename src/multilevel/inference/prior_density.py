"""Draws of parameters from their priors, and the density of draws at a point: what Savage and Dickey's ratio needs.

A coefficient has draws where the proper priors of combinations a'β determine it: β_j is a combination of the a'β.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..priors.base import Prior

if TYPE_CHECKING:
    from ..model.model import Model
    from .quantities import Address

CUT = 1e-9


class PriorDraws:
    """Draws from the priors of a model, parameter by parameter, as they are asked for; None where a prior is flat."""

    def __init__(self, model: Model, n: int, rng: np.random.Generator) -> None:
        self.model, self.n, self.rng = model, n, rng
        self.known: dict[Address, np.ndarray | None] = {}
        self._beta: tuple[np.ndarray, np.ndarray] | None = None
        self._terms: dict[int, np.ndarray] = {}

    def __call__(self, address: Address) -> np.ndarray | None:
        if address not in self.known:
            kind = address[0]
            self.known[address] = (
                self._coefficient(address[1]) if kind == "beta"
                else self._constant(address[1]) if kind == "constant"
                else self._of_group(address)
            )  # fmt: skip
        return self.known[address]

    def _constant(self, name: str) -> np.ndarray | None:
        prior: Prior | None = self.model.priors.constants.get(name)
        return None if prior is None or not prior.proper else prior.draw(self.n, self.rng)

    def _coefficient(self, name: str) -> np.ndarray | None:
        j = self.model.design.fixed_names.index(name)
        directions, draws = self._combinations()
        if not len(directions):
            return None
        weights, *_ = np.linalg.lstsq(directions.T, np.eye(directions.shape[1])[j], rcond=None)
        if np.abs(directions.T @ weights - np.eye(directions.shape[1])[j]).max() > CUT:
            return None  # some part of it has a flat prior
        return np.asarray(draws @ weights)

    def _combinations(self) -> tuple[np.ndarray, np.ndarray]:
        """Directions a (m, p) with proper priors, and draws of a'β (n, m)."""
        if self._beta is None:
            priors = self.model.priors
            scales = [prior.draw(self.n, self.rng) for _, prior in priors.extras]
            items = [item for item in priors.linear if item.prior.proper]
            columns = [
                item.prior.draw(self.n, self.rng) * (scales[item.scale] if item.scale >= 0 else 1.0) for item in items
            ]
            directions = np.array([item.direction for item in items])
            self._beta = directions, np.column_stack(columns) if columns else np.zeros((self.n, 0))
        return self._beta

    def _of_group(self, address: Address) -> np.ndarray | None:
        kind, label, *rest = address
        for t, group in enumerate(self.model.design.groups):
            wanted = rest[1:] if kind == "r" else rest
            if group.label == label and all(name in group.names for name in wanted):
                covariance = self._covariance(t)
                if covariance is None:
                    return None
                places = [group.names.index(name) for name in wanted]
                sd = np.sqrt(covariance[:, places[0], places[0]])
                if kind == "cor":
                    other = np.sqrt(covariance[:, places[1], places[1]])
                    return np.asarray(covariance[:, places[0], places[1]] / (sd * other))
                return np.asarray(sd if kind == "sd" else sd * self.rng.standard_normal(self.n))
        return None

    def _covariance(self, t: int) -> np.ndarray | None:
        if t not in self._terms:
            from ..core.coordinates import coordinates

            prior = self.model.priors.terms[t]
            sigma = self(("constant", "sigma"))
            if not prior.proper:
                return None
            if getattr(prior, "whole", False):
                self._terms[t] = prior.draw_covariances(self.n, self.rng)
            else:
                sd = prior.draw(self.n, np.ones(self.n) if sigma is None else sigma, self.rng)
                b = coordinates(self.model, self.model.priors, not self.model.is_linear).blocks[t]
                x = np.column_stack([np.log(sd[:, : b.n_sds]), b.draw_correlations(self.n, prior.eta, self.rng)])
                factor = b.factor(x)
                self._terms[t] = factor @ factor.transpose(0, 2, 1)
        return self._terms[t]


def density_at(values: np.ndarray, point: float) -> float:
    """Density of draws at a point: a normal kernel with Silverman's width, folded where draws end at the point.

    Reference: Silverman (1986), *Density Estimation*, section 3.4.2 and 2.10.
    """
    x = values[np.isfinite(values)] - point
    quarter = np.subtract(*np.quantile(x, [0.75, 0.25])) / 1.349
    spread = min(float(x.std()), float(quarter)) or float(x.std())
    if not spread > 0.0:
        return float("inf") if np.any(x == 0.0) else 0.0
    width = 0.9 * spread * len(x) ** -0.2
    found = float(np.mean(np.exp(-0.5 * (x / width) ** 2)) / (width * np.sqrt(2.0 * np.pi)))
    return 2.0 * found if np.all(x >= 0.0) or np.all(x <= 0.0) else found
