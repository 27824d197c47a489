"""Single rows of a generalized model left out, from its fit alone: Laplace's cavities.

All coefficients c and effects u have the joint precision M = [H Λ'Z'WX; X'WZΛ X'WX] at the optimum, so that a row's linear
predictors are N(η̂_i, G_i), G_i = a_i'M⁻¹a_i. Taking out what the row itself contributed leaves the cavity

    η_i | y₍₋ᵢ₎ ~ N(η̂_i − K_i s_i, K_i),    K_i = (G_i⁻¹ − W_i)⁻¹,    s_i = ∂ℓ_i, W_i = −∂²ℓ_i

and p(y_i | y₍₋ᵢ₎) is the exact density integrated over it, by quadrature around η̂_i. Variances of the groups are held;
the uncertainty of all coefficients, dispersions among them, is in G_i. For normal responses this is exact.

References: Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), JMLR 17(103), section 3.3; Rasmussen & Williams (2006), ch. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..families.base import Derivatives
from .cubature import expected_mean, log_mean_exp, principal, rule
from .laplace import Laplace, LaplaceState

LOST = 1e-7  # 1 − leverage below which a coefficient is not identified without the row


@dataclass(frozen=True, eq=False)
class CavityRows:
    """Every row left out alone; NaN where a coefficient hangs on it.

    log_density (n,);  mean (n,) or (n, K): expected response;  leverage (n,): tr W_iG_i
    shift (n, p): ĉ₍₋ᵢ₎ − ĉ, internal;  studentized (n,): the location's score over its standard deviation
    """

    log_density: np.ndarray
    mean: np.ndarray
    leverage: np.ndarray
    shift: np.ndarray
    studentized: np.ndarray


class Cavity:
    """Leaving rows out of a criterion at an optimum.

    Parameters
    ----------
    criterion : of rows that were neither merged nor sorted
    state : where it is
    """

    def __init__(self, criterion: Laplace, state: LaplaceState) -> None:
        assert state.mode is not None
        self.criterion, self.state = criterion, state
        self.rows, self.distribution = criterion.rows, criterion.distribution
        self.eta = state.mode.eta

    @cached_property
    def at(self) -> Derivatives:
        return self.distribution.derivatives(self.rows.observations, self.eta, 2)

    @property
    def _w(self) -> np.ndarray:
        assert self.at.second is not None
        return self.at.second

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cov(η_i) given c (n, m, m), rows net of what the effects explain (n, m, p), and the information of c."""
        criterion, latent = self.criterion, self.criterion.latent
        n, m = self.eta.shape
        x, owner = latent.all_columns
        net = np.zeros((n, m, x.shape[1]))
        net[:, owner, np.arange(x.shape[1])] = x
        given = np.zeros((n, m, m))
        information = latent.fixed_information(self._w)
        if self.rows.factors:
            criterion.restore(self.state)
            which = list(self.rows.latent)
            given[np.ix_(range(n), which, which)] = latent.leverages(latent.inverse())
            pulled = latent.transposed_columns(latent.borders(self._w))
            solved = latent.solve(pulled)
            information = information - pulled.T @ solved
            for j in range(x.shape[1]):
                net[:, which, j] -= latent.row_effects(latent.scaled(self.state.lam, solved[:, j]))
        return given, net, information

    @property
    def information(self) -> np.ndarray:
        """X'WX less what the effects take of it, (p, p)."""
        return self._parts[2]

    @cached_property
    def _inverse(self) -> np.ndarray:
        information = self.information
        return np.linalg.pinv(information, hermitian=True) if len(information) else information

    @cached_property
    def covariance(self) -> np.ndarray:
        """G_i, (n, m, m)."""
        given, net, _ = self._parts
        return np.asarray(given + np.einsum("ndp,pq,neq->nde", net, self._inverse, net))

    def rows_out(self) -> CavityRows:
        """Every row left out alone."""
        s, w, obs = self.at.first, self._w, self.rows.observations
        assert s is not None
        root = principal(self.covariance)
        left = np.eye(root.shape[1]) - np.einsum("nda,nde,neb->nab", root, w, root)
        values = np.linalg.eigvalsh(left)
        lost = ~(values[:, 0] > LOST)
        left[lost] = np.eye(root.shape[1])
        pull = np.einsum("nda,nd->na", root, s)
        centre = -np.linalg.solve(left, pull[:, :, None])[:, :, 0]
        density = self._density(root, left, centre)
        spread = np.einsum("nda,nab,neb->nde", root, np.linalg.inv(left), root)
        mean = expected_mean(self.distribution, obs, self.eta + np.einsum("nda,na->nd", root, centre), spread)
        shift = self._shift(root, centre, spread, s)
        leverage = np.einsum("nde,nde->n", w, self.covariance)
        density[lost], mean[lost], shift[lost] = np.nan, np.nan, np.nan
        return CavityRows(density, mean, leverage, shift, self._studentized(s, w))

    def _density(self, root: np.ndarray, left: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """log ∫ p(y_i|η̂_i + R t) N(t; centre, left⁻¹) dt, around t = 0, where the integrand has its mode."""
        nodes, weights = rule(root.shape[1])
        obs = self.rows.observations
        parts = np.empty((len(nodes), len(root)))
        with np.errstate(all="ignore"):
            for k, t in enumerate(nodes):
                away = t - centre
                quadratic = np.einsum("na,nab,nb->n", away, left, away) - t @ t
                parts[k] = self.distribution.log_density(obs, self.eta + root @ t) - 0.5 * quadratic
        parts = np.where(np.isnan(parts), -np.inf, parts)
        return np.asarray(log_mean_exp(parts, np.log(weights)) + 0.5 * np.linalg.slogdet(left)[1])

    def _shift(self, root: np.ndarray, centre: np.ndarray, spread: np.ndarray, s: np.ndarray) -> np.ndarray:
        """ĉ₍₋ᵢ₎ − ĉ = −Cov(c, η_i)(I − W_iG_i)⁻¹ s_i."""
        _, net, _ = self._parts
        w = self._w
        scores = s + np.einsum("nde,nef,nf->nd", w, spread, s)  # (I − WG)⁻¹ = I + WK
        return -np.einsum("pq,ndq,nd->np", self._inverse, net, scores)

    def _studentized(self, s: np.ndarray, w: np.ndarray) -> np.ndarray:
        own, g = w[:, 0, 0], self.covariance[:, 0, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(s[:, 0] / np.sqrt(own * (1.0 - own * g)))
