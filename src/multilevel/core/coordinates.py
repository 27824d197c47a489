"""The parameters of a model as one vector without bounds, with their log prior and its gradient.

    z = (terms: log sds and correlations | log σ | c | log extras)

Two forms: with coefficients c (internal ones, constants of the family among them on their links' scales), as
generalized models and joint samplers need, or without, for linear models whose coefficients are integrated out; these
have log σ unless the rows' standard errors are known. Densities are of z: Jacobians are included. Everything is
vectorised over points: z is (N, d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..priors.record import Priors
from ..priors.terms import TermPrior
from .correlations import Block, block

if TYPE_CHECKING:
    from ..fit.estimates import Estimates
    from ..model.model import Model


@dataclass(frozen=True)
class Coordinates:
    """The coordinates of one model.

    Parameters
    ----------
    priors : Priors
    blocks, parts : per group term its block, and its place in z
    sigma : place of log σ in z, or −1
    coefficients : place of c in z (empty without)
    extras : place of the priors' own parameters
    to_beta : (p, len(c)): β = to_beta c
    constants : (name, link, place in c) of the family's constants
    names : of every coordinate
    """

    priors: Priors
    blocks: tuple[Block, ...]
    parts: tuple[slice, ...]
    sigma: int
    coefficients: slice
    extras: slice
    to_beta: np.ndarray
    constants: tuple[tuple[str, str, int], ...]
    names: tuple[str, ...]

    @property
    def d(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    # --- what a point means --------------------------------------------------------------------------------------
    def factors(self, z: np.ndarray) -> list[np.ndarray]:
        """L of every term, Σ = LL' in the units of the data: (N, k, k) each."""
        return [b.factor(z[:, part]) for b, part in zip(self.blocks, self.parts, strict=True)]

    def sds(self, z: np.ndarray) -> list[np.ndarray]:
        """Standard deviations of every term, (N, k) each."""
        return [b.sds(z[:, part]) for b, part in zip(self.blocks, self.parts, strict=True)]

    def sigmas(self, z: np.ndarray) -> np.ndarray:
        """σ of every point; 1 where it is no coordinate."""
        return np.exp(z[:, self.sigma]) if self.sigma >= 0 else np.ones(len(z))

    def beta(self, z: np.ndarray) -> np.ndarray:
        """Coefficients in the units of the data, (N, p)."""
        return np.asarray(z[:, self.coefficients] @ self.to_beta.T)

    def natural(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Constants of the family on their natural scale, (N,) each."""
        from ..links import inverse

        c = z[:, self.coefficients]
        return {name: np.asarray(inverse(link, c[:, place])) for name, link, place in self.constants}

    def pull(self, z: np.ndarray, factors: Sequence[np.ndarray], slopes: Sequence[np.ndarray]) -> np.ndarray:
        """∂f/∂z (N, d), terms' part only, from ∂f/∂L of every term."""
        out = np.zeros_like(z)
        for b, part, factor, slope in zip(self.blocks, self.parts, factors, slopes, strict=True):
            out[:, part] = b.pull(z[:, part], factor, slope)
        return out

    # --- the prior -----------------------------------------------------------------------------------------------
    def log_prior(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p(z) (N,) and its gradient (N, d). Coefficients count where they are coordinates."""
        with np.errstate(all="ignore"):
            value, gradient = self._of_terms(z)
            for name, place in self._sigma_place:
                value, gradient = self._positive(z, place, self.priors.constants[name], value, gradient)
            for (_, prior), place in zip(self.priors.extras, range(self.extras.start, self.extras.stop), strict=True):
                value, gradient = self._positive(z, place, prior, value, gradient)
            if self.coefficients.stop > self.coefficients.start:
                value, gradient = self._of_coefficients(z, value, gradient)
        return np.where(np.isnan(value), -np.inf, value), gradient

    @property
    def _sigma_place(self) -> list[tuple[str, int]]:
        return [("sigma", self.sigma)] if self.sigma >= 0 else []

    def _of_terms(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = np.zeros(len(z)), np.zeros_like(z)
        scale, by_scale = self._residual(z)
        for b, part, prior in zip(self.blocks, self.parts, self.priors.terms, strict=True):
            x = z[:, part]
            if prior.whole:
                log_p, gradient[:, part] = _of_covariance(b, x, prior)
                value += log_p
                continue
            sd = b.sds(x)[:, : b.n_sds]
            log_p, by_sd, by_sigma = prior.evaluate(sd, scale)
            of_r, slope = b.correlation_prior(x, prior.eta)
            value += log_p + of_r + x[:, : b.n_sds].sum(axis=1)
            slope[:, : b.n_sds] += by_sd * sd + 1.0
            gradient[:, part] += slope
            if by_scale >= 0:
                gradient[:, by_scale] += by_sigma
        return value, gradient

    def _residual(self, z: np.ndarray) -> tuple[np.ndarray, int]:
        """σ that priors of standard deviations may refer to, and the coordinate that is its logarithm (−1: none)."""
        if self.sigma >= 0:
            return np.exp(z[:, self.sigma]), self.sigma
        for name, link, place in self.constants:
            if name == "sigma" and link == "log":
                at = self.coefficients.start + place
                return np.exp(z[:, at]), at
        return np.ones(len(z)), -1

    def _positive(self, z, place, prior, value, gradient):  # type: ignore[no-untyped-def]
        x = np.exp(z[:, place])
        gradient[:, place] += prior.slope(x) * x + 1.0
        return value + prior.log_density(x) + z[:, place], gradient

    def _of_coefficients(self, z, value, gradient):  # type: ignore[no-untyped-def]
        from ..links import inverse

        beta = self.beta(z)
        by_beta = np.zeros_like(beta)
        for item in self.priors.linear:
            x = beta @ item.direction
            scale = np.ones(len(z))
            places = [self.extras.start + e for e in (item.scale, item.local) if e >= 0]
            if places:
                log_scale = z[:, places].sum(axis=1)
                scale = np.exp(log_scale)
                value = value - log_scale
                gradient[:, places] -= (1.0 + item.prior.slope(x / scale) * x / scale)[:, None]
            value = value + item.prior.log_density(x / scale)
            by_beta += (item.prior.slope(x / scale) / scale)[:, None] * item.direction
        gradient[:, self.coefficients] += by_beta @ self.to_beta
        for name, link, place in self.constants:
            if name in self.priors.constants:
                at = self.coefficients.start + place
                prior, x = self.priors.constants[name], np.asarray(inverse(link, z[:, at]))
                slope, log_slope, bend = _jacobian(link, z[:, at])
                value = value + prior.log_density(x) + log_slope
                gradient[:, at] += prior.slope(x) * slope + bend
        return value, gradient

    # --- starts --------------------------------------------------------------------------------------------------
    def at(self, estimates: Estimates, c: np.ndarray | None = None) -> np.ndarray:
        """z (d,) of estimates, pulled away from the boundary; `c` are internal coefficients."""
        z = np.zeros(self.d)
        spread = 0.1 * (estimates.sigma or 1.0)
        for b, part, covariance in zip(self.blocks, self.parts, estimates.covariances, strict=True):
            floor = np.where(np.diag(covariance) > 0.0, 0.0, spread**2)
            z[part] = b.from_covariance(covariance + np.diag(floor))
        if self.sigma >= 0:
            z[self.sigma] = np.log(estimates.sigma or 1.0)
        if c is not None:
            z[self.coefficients] = c
        return z


def _of_covariance(b: Block, x: np.ndarray, prior: TermPrior) -> tuple[np.ndarray, np.ndarray]:
    """log p of a term's coordinates from a density of Σ (k, k), and its gradient.

    Σ → (log sd, R) has the Jacobian 2^k Π sd^(k + 1); R → x is LKJ(1)'s, which is uniform over R.
    """
    factor = b.factor(x)
    value, slopes = prior.of_factor(factor)
    of_r, by_x = b.correlation_prior(x, 1.0)
    by_x = by_x + b.pull(x, factor, slopes)
    by_x[:, : b.k] += b.k + 1.0
    logs = x[:, : b.k].sum(axis=1)
    return value + of_r + b.log_volume + b.k * np.log(2.0) + (b.k + 1.0) * logs, by_x


def _jacobian(link: str, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """∂μ/∂η, its logarithm, and the derivative of that."""
    if link in ("log", "logm1"):
        return np.exp(eta), eta, np.ones_like(eta)
    if link == "logit":
        p = 0.5 * (1.0 + np.tanh(0.5 * eta))
        return p * (1.0 - p), -np.logaddexp(0.0, eta) - np.logaddexp(0.0, -eta), 1.0 - 2.0 * p
    if link == "identity":
        return np.ones_like(eta), np.zeros_like(eta), np.zeros_like(eta)
    raise NotImplementedError(link)


def coordinates(model: Model, priors: Priors, coefficients: bool) -> Coordinates:
    """The coordinates of a model; `coefficients` says whether c is among them (linear models may integrate it out)."""
    from ..links import link as _known

    blocks, parts, names = [], [], []
    at = 0
    for scale, group in zip(model.scales, model.design.groups, strict=True):
        kind = type(scale).__module__.rpartition(".")[2]
        b = block(kind, scale.k, bool(getattr(scale, "hom", False)))
        blocks.append(b)
        parts.append(slice(at, at + b.d))
        names += _names_of(b, group.label, group.names)
        at += b.d
    sigma = -1
    to_beta = np.zeros((len(model.design.fixed_names), 0))
    constants: tuple[tuple[str, str, int], ...] = ()
    if coefficients:
        rows = model.rows
        links = model.distribution.links
        to_beta = rows.to_beta
        constants = tuple((name, _known(links[d]).name, place) for name, d, place in rows.constants)
        inside = [f"c[{j}]" for j in range(to_beta.shape[1])]
        for name, _, place in constants:
            inside[place] = name
        names += inside
    elif model.design.known_se is None:
        sigma = at
        names.append("sigma")
    first = at + int(sigma >= 0)
    end = first + to_beta.shape[1]
    names += [name for name, _ in priors.extras]
    return Coordinates(
        priors, tuple(blocks), tuple(parts), sigma, slice(first, end), slice(end, end + len(priors.extras)),
        to_beta, constants, tuple(names),
    )  # fmt: skip


def _names_of(b: Block, label: str, terms: Sequence[str]) -> list[str]:
    sds = [f"sd[{label}, {name}]" for name in terms] if b.n_sds == len(terms) else [f"sd[{label}]"]
    rest = b.d - b.n_sds
    pairs = [f"cor[{label}, {terms[j]}, {terms[i]}]" for i in range(len(terms)) for j in range(i)]
    return sds + (pairs if rest == len(pairs) else [f"cor[{label}]"] * rest)
