"""Gibbs updates of a group term's covariance: once given its effects, once given its standardised effects.

    sufficient   b_ℓ fixed:          log p(Σ | b) = −L log|F| − ½ tr(Σ⁻¹ Σ_ℓ b_ℓ b_ℓ') + log p(Σ),       Σ = FF'
    ancillary    u_ℓ = F⁻¹b_ℓ fixed: log p(Σ | u, y) = Σ_ℓ [g_ℓ'F u_ℓ − ½ u_ℓ'F'G_ℓF u_ℓ] + log p(Σ),   then b_ℓ = F u_ℓ

The first mixes well where groups are informed, the second where they are not; alternating (interweaving) is at least as
fast as the better of them. g and G are the score at b = 0 and the information of the rows about b_ℓ. Sums over levels
are made once for each update: every point of a slice costs k⁴ operations however many levels there are.

References: Yu & Meng (2011), J. Computational and Graphical Statistics 20, 531-570; Gelman, van Dyk, Huang & Boscardin
(2008), the same journal 17, 95-122 (parameter expansion); Gelman et al. (2013), BDA3, section 3.6 (inverse Wishart).
"""

from __future__ import annotations

import numpy as np

from ..core.correlations import Block, Independent
from ..priors.terms import Separate, TermPrior
from .gibbs_scales import update_sd
from .gibbs_slice import Slice

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
        self.centred, self.standardised = Slice(block.d, start), Slice(block.d, 1.0)
        self.separate = isinstance(prior, Separate) and isinstance(block, Independent)
        self.needs_sigma = not isinstance(prior, Separate)

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
        df, scale = wishart(self.prior)
        if scale is not None:
            covariances = inverse_wishart(df + self.levels, scale + scatter, rng)
            return np.array([self.block.from_covariance(c) for c in covariances])

        def log_density(at: np.ndarray) -> np.ndarray:
            factor = self.block.factor(at)
            with np.errstate(all="ignore"):
                half = _solve(factor, scatter)
                trace = np.einsum("cii->c", _solve(factor, half.transpose(0, 2, 1)))
                value = -self.levels * np.linalg.slogdet(factor)[1] - 0.5 * trace + self.log_prior(at, sigma)
            return np.where(np.isnan(value), -np.inf, value)

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
                factor = self.block.factor(at).reshape(-1, k * k)
                bent = np.einsum("ci,cij,cj->c", factor, quadratic, factor) if k > 1 else quadratic[:, 0, 0] * factor[:, 0] ** 2
                value = (linear.reshape(-1, k * k) * factor).sum(axis=1) - 0.5 * bent + self.log_prior(at, sigma)
            return np.where(np.isnan(value), -np.inf, value)

        return self._by_coordinate(self.standardised, x, log_density, rng)

    def _by_coordinate(self, slicer, x, log_density, rng):  # type: ignore[no-untyped-def]
        x = x.copy()
        for j in range(self.block.d):

            def along(value: np.ndarray, j: int = j) -> np.ndarray:
                at = x.copy()
                at[:, j] = np.clip(value, -FARTHEST, FARTHEST)
                return np.where(np.abs(value) < FARTHEST, log_density(at), -np.inf)

            x[:, j] = slicer.step(j, x[:, j], along, rng)
        return x

    def stop_tuning(self) -> None:
        """Widths stay as they are from here on."""
        self.centred.tuning = self.standardised.tuning = False


def term_log_prior(block: Block, prior: TermPrior, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """log p of one term's coordinates (C, d) given σ (C,), Jacobians included."""
    n = block.n_sds
    sd = block.sds(x)[:, :n]
    correlations = block.correlation_prior(x, prior.eta)[0] if block.d > n else 0.0
    return np.asarray(prior.evaluate(sd, sigma)[0] + correlations + x[:, :n].sum(axis=1))


def _solve(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    """F⁻¹ times (C, k, k); infinite where F is singular."""
    if factor.shape[1] == 1:
        return np.asarray(right / factor)
    try:
        return np.asarray(np.linalg.solve(factor, right))
    except np.linalg.LinAlgError:
        return np.full(right.shape, np.nan)


def wishart(prior: TermPrior) -> tuple[float, np.ndarray | None]:
    """Degrees of freedom and scale matrix of an inverse-Wishart prior; (0, None) of any other."""
    whole = getattr(prior, "covariance", prior)
    if type(whole).__name__ == "InverseWishart":
        return float(whole.df), np.asarray(whole.scale, dtype=float)
    return 0.0, None


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
