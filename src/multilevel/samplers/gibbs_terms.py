"""Gibbs updates of a group term's covariance: once given its effects, once given its standardised effects.

    sufficient   b_ℓ fixed:          log p(Σ | b) = −L log|F| − ½ tr(Σ⁻¹ Σ_ℓ b_ℓ b_ℓ') + log p(Σ),       Σ = FF'
    ancillary    u_ℓ = F⁻¹b_ℓ fixed: log p(Σ | u, y) = Σ_ℓ [g_ℓ'F u_ℓ − ½ u_ℓ'F'G_ℓF u_ℓ] + log p(Σ),   then b_ℓ = F u_ℓ

The first mixes well where groups are informed, the second where they are not; alternating (interweaving) is at least as
fast as the better of them. g and G are the score at b = 0 and the information of the rows about b_ℓ. Sums over levels
are made once for each update: every point of a step costs k⁴ operations however many levels there are.

References: Yu & Meng (2011), J. Computational and Graphical Statistics 20, 531-570; Gelman, van Dyk, Huang & Boscardin
(2008), the same journal 17, 95-122 (parameter expansion); Gelman et al. (2013), BDA3, section 3.6 (inverse Wishart).
"""

from __future__ import annotations

import numpy as np

from ..core.coordinates import _of_covariance
from ..core.correlations import Block, Independent, Symmetric
from ..priors.covariance.inv_wishart import InvWishartTerm
from ..priors.terms import Separate, TermPrior
from .gibbs_scales import update_sd
from .gibbs_steps import Steps

FARTHEST = 300.0  # |log sd| beyond which squares are no numbers


class TermUpdate:
    """Both updates of one term, for all chains at once.

    Parameters
    ----------
    block : its coordinates
    prior : TermPrior
    levels : number of levels
    """

    def __init__(self, block: Block, prior: TermPrior, levels: int) -> None:
        self.block, self.prior, self.levels = block, prior, levels
        start = float(np.clip(2.0 / np.sqrt(levels), 0.02, 2.0))
        self.centred, self.standardised = Steps(block.d, start), Steps(block.d, 1.0)
        self.separate = isinstance(prior, Separate) and isinstance(block, Independent)
        self.needs_sigma = not (prior.whole or isinstance(prior, Separate))

    def log_prior(self, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """log p of coordinates (C, d) given σ (C,), Jacobians included."""
        return term_log_prior(self.block, self.prior, x, sigma)

    # --- given the effects ---------------------------------------------------------------------------------------
    def given_effects(
        self, x: np.ndarray, scatter: np.ndarray, sigma: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """New coordinates (C, d) given Σ_ℓ b_ℓ b_ℓ' (C, k, k)."""
        if self.separate:
            return self._separately(x, scatter, rng)
        if isinstance(self.prior, InvWishartTerm):
            return exact(self.block, inverse_wishart(self.prior.df + self.levels, self.prior.psi + scatter, rng))

        def log_density(at: np.ndarray) -> np.ndarray:
            factor = self.block.factor(at)
            with np.errstate(all="ignore"):
                half = _solve(factor, _repeated(scatter, at))
                trace = np.einsum("cii->c", _solve(factor, half.transpose(0, 2, 1)))
                value = -self.levels * np.linalg.slogdet(factor)[1] - 0.5 * trace
                return np.asarray(value + self.log_prior(at, _repeated(sigma, at)))

        return self._by_coordinate(self.centred, x, log_density, rng)

    def _separately(self, x: np.ndarray, scatter: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        assert isinstance(self.prior, Separate)
        out = np.empty_like(x)
        for j, prior in enumerate(self.prior.sds):
            sd = update_sd(prior, np.exp(x[:, j]), self.levels, scatter[:, j, j], rng, self.centred, j)
            out[:, j] = np.log(np.maximum(sd, 1e-130))
        return out

    # --- given the standardised effects --------------------------------------------------------------------------
    def given_standardised(
        self, x: np.ndarray, linear: np.ndarray, quadratic: np.ndarray, sigma: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """New coordinates (C, d) given Σ_ℓ g_ℓ u_ℓ' (C, k, k) and Σ_ℓ G_ℓ ⊗ u_ℓu_ℓ' (C, k², k²), F by rows."""
        k = self.block.k

        def log_density(at: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                factor = self.block.factor(at).reshape(-1, len(linear), k * k)
                bent = np.matmul(quadratic, factor[..., None])[..., 0]
                value = (linear.reshape(-1, k * k) * factor - 0.5 * bent * factor).sum(axis=2).ravel()
                return np.asarray(value + self.log_prior(at, _repeated(sigma, at)))

        return self._by_coordinate(self.standardised, x, log_density, rng)

    def _by_coordinate(self, stepper, x, log_density, rng):  # type: ignore[no-untyped-def]
        x = x.copy()
        for j in range(self.block.d):

            def along(values: np.ndarray, j: int = j) -> np.ndarray:
                at = np.tile(x, (len(values), 1))
                at[:, j] = np.clip(values.ravel(), -FARTHEST, FARTHEST)
                return np.where(np.abs(values) < FARTHEST, log_density(at).reshape(values.shape), -np.inf)

            x[:, j] = stepper.step(j, x[:, j], along, rng)
        return x

    def stop_tuning(self) -> None:
        """Widths stay as they are from here on."""
        self.centred.tuning = self.standardised.tuning = False


def term_log_prior(block: Block, prior: TermPrior, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """log p of one term's coordinates (C, d) given σ (C,), Jacobians included."""
    if prior.whole:
        return _of_covariance(block, x, prior)[0]
    n = block.n_sds
    sd = block.sds(x)[:, :n]
    correlations = block.correlation_prior(x, prior.eta)[0] if block.d > n else 0.0
    return np.asarray(prior.evaluate(sd, sigma)[0] + correlations + x[:, :n].sum(axis=1))


def exact(block: Block, covariances: np.ndarray) -> np.ndarray:
    """Coordinates (C, d) of covariances (C, k, k), which have to be positive definite."""
    sd = np.sqrt(np.einsum("ckk->ck", covariances))
    logs = np.log(sd)[:, : block.n_sds]
    if block.d == block.n_sds:
        return logs
    k = block.k
    correlations = covariances / (sd[:, :, None] * sd[:, None, :])
    if isinstance(block, Symmetric):
        off = (correlations.sum(axis=(1, 2)) - k) / (k * (k - 1))
        low = -1.0 / (k - 1)
        return np.column_stack([logs, np.log((off - low) / (1.0 - off))])
    root = np.linalg.cholesky(correlations)
    partial = []
    for i in range(1, k):
        left = np.ones(len(root))
        for j in range(i):
            r = root[:, i, j] / np.sqrt(np.maximum(left, 1e-300))
            partial.append(np.arctanh(np.clip(r, -1.0 + 1e-15, 1.0 - 1e-15)))
            left = left - root[:, i, j] ** 2
    return np.column_stack([logs, *partial])


def _repeated(a: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The chains' values (C, …) for points (m·C, d) that have the chains innermost."""
    return np.broadcast_to(a, (len(at) // len(a), *a.shape)).reshape(len(at), *a.shape[1:])


def _solve(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    """F⁻¹ times (C, k, k); infinite where F is singular."""
    if factor.shape[1] == 1:
        return np.asarray(right / factor)
    try:
        return np.asarray(np.linalg.solve(factor, right))
    except np.linalg.LinAlgError:
        return np.full(right.shape, np.nan)


def inverse_wishart(df: float, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws (C, k, k) with these scale matrices (C, k, k), by Bartlett's decomposition."""
    k = scale.shape[1]
    root = np.linalg.cholesky(np.linalg.inv(scale))
    bartlett = np.zeros_like(scale)
    for i in range(k):
        bartlett[:, i, i] = np.sqrt(rng.chisquare(df - i, len(scale)))
        bartlett[:, i, :i] = rng.standard_normal((len(scale), i))
    half = np.linalg.inv(root @ bartlett)
    return np.asarray(half.transpose(0, 2, 1) @ half)
