"""Linear predictors, responses and log-likelihoods of many parameter values at once, for a model's own rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.projection import row_weights
from ..data.latent_rows import LatentRows, latent_rows
from ..links import forward
from ..predictions.targets import matrix
from ..samplers.from_prior import Parameters

if TYPE_CHECKING:
    from ..model.model import Model

LOG_TWO_PI = float(np.log(2.0 * np.pi))


class Simulator:
    """What the rows of one model say about parameters.

    Parameters
    ----------
    model : Model
        Rows stand for themselves: frequency weights cannot be simulated.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        design = model.design
        self.groups = [(g.codes, matrix(g.columns, design.n)) for g in design.groups]
        self.x = matrix(design.fixed_columns, design.n)
        self.rows: LatentRows | None = None
        if not model.is_linear:
            self.rows = latent_rows(design, model.distribution, model.rank, merge=False, sort=False)
            owner = design.fixed_predictor
            self.owner = owner if len(owner) else np.zeros(len(design.fixed_names), np.int64)
        self.weights = row_weights(design)

    # --- linear models -------------------------------------------------------------------------------------------
    def _mean(self, p: Parameters) -> np.ndarray:
        eta = p.beta @ self.x.T + (0.0 if self.model.design.offset is None else self.model.design.offset)
        for (codes, z), b in zip(self.groups, p.effects, strict=True):
            eta = eta + np.einsum("nik,ik->ni", b[:, codes], z)
        return np.asarray(eta)

    # --- all predictors ------------------------------------------------------------------------------------------
    def _predictors(self, p: Parameters) -> np.ndarray:
        """η (N, n, m)."""
        assert self.rows is not None
        n, m = self.rows.n, self.rows.m
        eta = np.broadcast_to(self.rows.offsets, (len(p), n, m)).copy()
        for d in range(m):
            mine = np.flatnonzero(self.owner == d)
            eta[:, :, d] += p.beta[:, mine] @ self.x[:, mine].T
        for name, d, _ in self.rows.constants:
            eta[:, :, d] += forward(self.model.distribution.links[d], p.constants[name])[:, None]
        for (codes, z), b, group in zip(self.groups, p.effects, self.model.design.groups, strict=True):
            eta[:, :, group.predictor] += np.einsum("nik,ik->ni", b[:, codes], z)
        return eta

    def responses(self, p: Parameters, rng: np.random.Generator) -> np.ndarray:
        """One response a row for each draw, (N, n)."""
        if self.model.is_linear:
            noise = rng.standard_normal((len(p), len(self.weights)))
            return self._mean(p) + p.sigma[:, None] / np.sqrt(self.weights) * noise
        eta, obs = self._predictors(p), self.model.observations
        return np.array([self.model.distribution.simulate(obs, e, rng) for e in eta]).reshape(len(p), -1)

    def log_likelihood(self, p: Parameters, y: np.ndarray) -> np.ndarray:
        """log p(y | parameters, effects) (N,)."""
        if self.model.is_linear:
            spread = p.sigma[:, None] / np.sqrt(self.weights)
            return (-0.5 * ((y - self._mean(p)) / spread) ** 2 - np.log(spread) - 0.5 * LOG_TWO_PI).sum(axis=1)
        obs = self.model.observations.with_y(y)
        with np.errstate(all="ignore"):
            return np.array([self.model.distribution.log_density(obs, e).sum() for e in self._predictors(p)])

    def with_response(self, y: np.ndarray) -> Model:
        """The model with another response; its priors stay what they are."""
        from ..inference.generalized_responses import with_response

        if self.model.is_linear:
            out = self.model.with_design(replace(self.model.design, response=np.asarray(y, dtype=float)))
        else:
            out = with_response(self.model, y)
        out.__dict__.update(given_priors=self.model.priors, scales=self.model.scales, priors=self.model.priors)
        return out
