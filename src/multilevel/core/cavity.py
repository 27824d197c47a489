"""Single rows of a generalized model left out, from its fit alone: Laplace's cavities.

All coefficients c and effects u have the joint precision M = [H Λ'Z'WX; X'WZΛ X'WX] at the optimum, so that a row's
linear predictors are N(η̂_i, G_i), G_i = a_i'M⁻¹a_i. Taking out what the row itself contributed leaves the cavity

    η_i | y₍₋ᵢ₎ ~ N(η̂_i − K_i s_i, K_i),    K_i = (G_i⁻¹ − W_i)⁻¹,    s_i = ∂ℓ_i, W_i = −∂²ℓ_i

and p(y_i | y₍₋ᵢ₎) is the exact density integrated over it, by quadrature around η̂_i. Variances of the groups are held;
the uncertainty of all coefficients, dispersions among them, is in G_i. For normal responses this is exact.

References: Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), JMLR 17(103), section 3.3; Rasmussen & Williams
(2006), ch. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..families.base import Derivatives, Distribution, Observations
from .cubature import expected_mean, log_mean_exp, principal, rule
from .laplace import Laplace, LaplaceState

FLAT = 1e-4  # information of a coefficient below which it is no more than a limit
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
        x, owner = latent.rows.all_columns
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
        axes = informed(self.information)
        return np.asarray(axes @ np.linalg.inv(axes.T @ self.information @ axes) @ axes.T)

    @cached_property
    def covariance(self) -> np.ndarray:
        """G_i, (n, m, m)."""
        given, net, _ = self._parts
        return np.asarray(given + np.einsum("ndp,pq,neq->nde", net, self._inverse, net))

    @cached_property
    def _out(self) -> Taken:
        return Taken(self.distribution, self.rows.observations, self.eta, self.at, self.covariance)

    def rows_out(self) -> CavityRows:
        """Every row left out alone."""
        out = self._out
        leverage = np.einsum("nde,nde->n", self._w, self.covariance)
        shift = self._shift(out.covariance)
        shift[out.lost] = np.nan
        return CavityRows(out.log_density, out.mean, leverage, shift, self._studentized())

    def log_densities(self) -> np.ndarray:
        """log p(y_i | y₍₋ᵢ₎) of every row at these variances."""
        return self._out.log_density

    def _shift(self, spread: np.ndarray) -> np.ndarray:
        """ĉ₍₋ᵢ₎ − ĉ = −Cov(c, η_i)(I − W_iG_i)⁻¹ s_i, with (I − WG)⁻¹ = I + WK."""
        s = self.at.first
        assert s is not None
        scores = s + np.einsum("nde,nef,nf->nd", self._w, spread, s)
        return -np.einsum("pq,ndq,nd->np", self._inverse, self._parts[1], scores)

    def _studentized(self) -> np.ndarray:
        assert self.at.first is not None
        own, g = self._w[:, 0, 0], self.covariance[:, 0, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.at.first[:, 0] / np.sqrt(own * (1.0 - own * g)))


def informed(information: np.ndarray) -> np.ndarray:
    """Directions (p, r) of coefficients that the rows tell something about.

    Coefficients belong to columns of size one, so that information below `FLAT` allows changes of a linear predictor
    by a hundred: a parameter at its limit (the size of counts without overdispersion), which is taken as known.
    """
    if not len(information):
        return information
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    return np.asarray(vectors[:, values > FLAT])


class Taken:
    """Rows taken out of normal distributions of their linear predictors: cavities, and what they predict.

    In η_i = η̂_i + R t with RR' = G_i the cavity is N(centre, left⁻¹), left = I − R'W_iR.

    Parameters
    ----------
    eta (n, m), at (order 2 there), covariance G (n, m, m)
    """

    def __init__(
        self, distribution: Distribution, obs: Observations, eta: np.ndarray, at: Derivatives, covariance: np.ndarray
    ) -> None:
        assert at.first is not None
        assert at.second is not None
        self.distribution, self.obs, self.eta = distribution, obs, eta
        self.root = principal(covariance)
        axes = np.eye(self.root.shape[1])
        self.left = axes - np.einsum("nda,nde,neb->nab", self.root, at.second, self.root)
        self.lost = ~(np.linalg.eigvalsh(self.left)[:, 0] > LOST)
        self.left[self.lost] = axes
        pull = np.einsum("nda,nd->na", self.root, at.first)
        self.centre = -np.linalg.solve(self.left, pull[:, :, None])[:, :, 0]

    @cached_property
    def covariance(self) -> np.ndarray:
        """K_i."""
        return np.asarray(np.einsum("nda,nab,neb->nde", self.root, np.linalg.inv(self.left), self.root))

    @cached_property
    def mean(self) -> np.ndarray:
        """Expected responses, NaN where lost."""
        centre = self.eta + np.einsum("nda,na->nd", self.root, self.centre)
        out = expected_mean(self.distribution, self.obs, centre, self.covariance)
        out[self.lost] = np.nan
        return out

    @cached_property
    def log_density(self) -> np.ndarray:
        """log ∫ p(y_i|η̂_i + R t) N(t; centre, left⁻¹) dt, around t = 0, where the integrand has its mode."""
        nodes, weights = rule(self.root.shape[1])
        parts = np.empty((len(nodes), len(self.root)))
        with np.errstate(all="ignore"):
            for k, t in enumerate(nodes):
                away = t - self.centre
                quadratic = np.einsum("na,nab,nb->n", away, self.left, away) - t @ t
                parts[k] = self.distribution.log_density(self.obs, self.eta + self.root @ t) - 0.5 * quadratic
        parts = np.where(np.isnan(parts), -np.inf, parts)
        found = log_mean_exp(parts, np.log(weights)) + 0.5 * np.linalg.slogdet(self.left)[1]
        return np.asarray(np.where(self.lost, np.nan, found))
