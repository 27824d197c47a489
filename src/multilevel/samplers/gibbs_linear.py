"""Gibbs blocks of linear models, from cross-products: the cost of a sweep does not depend on the number of rows.

    (β, u) | θ, σ, y  ~  N(M⁻¹ r, σ² M⁻¹),     M = [[Λ'Z'WZΛ + I, Λ'Z'WX], [X'WZΛ, X'WX + σ²P]]
    σ² | β, b, y      ~  the conjugate form of `gibbs_scales.py` with Σ w (y − Xβ − Zb)²

One factorisation and one back-substitution draw all coefficients and effects together. P holds the normal priors of β
(`gibbs_coefficients.py`).

References: Chib & Carlin (1999), Statistics & Computing 9 (blocking); García-Cortés & Sorensen (1996), Genetics
Selection Evolution 28.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.collapsed import Units
from ..core.gaussian import Elimination
from ..core.given_coefficients import linear_coordinates
from ..core.pattern import pattern
from ..priors.base import Prior
from .gibbs_coefficients import Pseudo
from .gibbs_scales import update_sd
from .gibbs_steps import Steps
from .gibbs_system import Location, State, System
from .gibbs_terms import TermUpdate

if TYPE_CHECKING:
    from ..model.model import Model


class LinearSystem(System):
    """A linear model's blocks; β and all effects in one."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.coordinates = linear_coordinates(model)
        self.units = Units(model, self.coordinates)
        self.products = self.units.products
        self.levels = tuple(len(g.levels) for g in model.design.groups)
        self.elimination = Elimination(replace(self.products, xy=self.products.xy.copy()), pattern(self.products))
        p = self.products.p
        self.inside_of = np.linalg.pinv(self.units.scale * self.products.to_beta) if p else np.zeros((0, self._p))
        self.place = {t: (f, a, b) for f, factor in enumerate(self.products.factors) for t, a, b in factor.terms}
        self.prior: Prior | None = None if self.units.known else model.priors.constants["sigma"]
        self.stepper = Steps(1, 1.0 / np.sqrt(max(self.products.n, 1.0)))
        self.scaled: list[tuple[int, TermUpdate]] = []  # terms whose priors refer to σ; filled by the sampler

    @property
    def _p(self) -> int:
        return len(self.model.design.fixed_names)

    # --- starts --------------------------------------------------------------------------------------------------
    def start(self, chains: int, rng: np.random.Generator) -> State:
        products, unit = self.products, self.units.scale
        p, xy = products.p, products.xy
        inside = np.linalg.lstsq(xy[:p, :p], xy[:p, p], rcond=None)[0] if p else np.zeros(0)
        rest = max(float(xy[p, p] - inside @ xy[:p, p]), 1e-12 * max(float(xy[p, p]), 1e-300))
        spread = unit * np.sqrt(rest / max(products.n - p, 1.0))
        terms = []
        for block, back in zip(self.coordinates.blocks, self.units.to_effects, strict=True):
            z = block.from_covariance((0.5 * spread) ** 2 * (back @ back.T) + 1e-300 * np.eye(block.k))
            terms.append(z + 0.7 * rng.standard_normal((chains, block.d)))
        sigma = np.ones(chains) if self.units.known else spread * np.exp(0.3 * rng.standard_normal(chains))
        beta = np.tile(self.units.beta(inside[None]), (chains, 1))
        effects = [np.zeros((chains, L, b.k)) for L, b in zip(self.levels, self.coordinates.blocks, strict=True)]
        return State(terms, sigma, beta, effects, 0.3 * rng.standard_normal((chains, len(self.model.priors.extras))))

    # --- residuals -----------------------------------------------------------------------------------------------
    def inside(self, beta: np.ndarray) -> np.ndarray:
        """Coefficients of the cross-products (C, p)."""
        return np.asarray((beta - self.products.beta_origin) @ self.inside_of.T)

    def internal_effects(self, effects: list[np.ndarray]) -> list[np.ndarray]:
        """Effects by factor in internal units, (L, k, C)."""
        out = [np.empty((f.n_levels, f.k, effects[f.terms[0][0]].shape[0])) for f in self.products.factors]
        for t, (f, a, b) in self.place.items():
            inside = effects[t] @ self.units.inside[t].T / self.units.scale
            out[f][:, a:b] = inside.transpose(1, 2, 0)
        return out

    def residuals(self, state: State) -> tuple[np.ndarray, list[np.ndarray]]:
        """Weighted sums of squared residuals (C,), and Z'W r by factor (L, k, C), in internal units."""
        c, xy, p = self.inside(state.beta), self.products.xy, self.products.p
        signs = np.concatenate([-c, np.ones((len(c), 1))], axis=1)
        squares = np.einsum("ci,ij,cj->c", signs, xy, signs)
        if not self.products.factors:
            return squares, []
        b = self.elimination.to_vector(self.internal_effects(state.effects))
        zz, zx = self.elimination.multiply(b)
        squares = squares - 2.0 * (zx * signs.T).sum(axis=0) + (b * zz).sum(axis=0)
        out = []
        for factor, own in zip(self.products.factors, self.elimination.by_factor(zz), strict=True):
            out.append(np.einsum("lkp,cp->lkc", factor.cross, signs) - own)
        return np.maximum(squares, 1e-14 * xy[p, p]), out

    def information(self, state: State, t: int) -> tuple[np.ndarray, np.ndarray]:
        f, a, b = self.place[t]
        gram = self.products.factors[f].gram[:, a:b, a:b]
        mine = self.internal_effects(state.effects)[f][:, a:b]
        score = self.residuals(state)[1][f][:, a:b] + np.einsum("lij,ljc->lic", gram, mine)
        back = self.units.inside[t] / self.units.scale
        s2 = (state.sigma / self.units.scale) ** 2
        by_effect = np.einsum("lic,ij->clj", score, back) / s2[:, None, None]
        return by_effect, (back.T @ gram @ back)[None] / s2[:, None, None, None]

    # --- blocks --------------------------------------------------------------------------------------------------
    def augment(self, state: State, rng: np.random.Generator) -> None:
        if self.prior is None:
            return
        squares = self.residuals(state)[0] * self.units.scale**2

        def further(sigma: np.ndarray) -> np.ndarray:
            out = np.zeros(sigma.shape)
            for t, update in self.scaled:
                at = np.tile(state.terms[t], (len(sigma), 1))
                out += update.log_prior(at, sigma.ravel()).reshape(sigma.shape)
            return out

        state.sigma = update_sd(
            self.prior, state.sigma, self.products.n, squares, rng, self.stepper, 0, further if self.scaled else None
        )

    def bordered(self, state: State, pseudo: Pseudo, c: int) -> np.ndarray:
        """[X y]'W[X y] of chain c with the priors of β as further rows."""
        xy = self.products.xy.copy()
        if len(pseudo.directions):
            inside = self.units.scale * (pseudo.directions @ self.products.to_beta)
            value = pseudo.values[c] - pseudo.directions @ self.products.beta_origin
            rows = np.concatenate([inside, value[:, None]], axis=1)
            weight = pseudo.precisions[c] * (state.sigma[c] / self.units.scale) ** 2
            xy += (rows * weight[:, None]).T @ rows
        return xy

    def draw_location(self, state: State, pseudo: Pseudo, rng: np.random.Generator) -> Location:
        factors = self.factors(state)
        lam = self.units.lam(factors, state.sigma)
        e, p, C = self.elimination, self.products.p, state.chains
        inside = np.zeros((C, p))
        u = [np.zeros((C, f.n_levels, f.k)) for f in self.products.factors]
        noise, noise_x = rng.standard_normal((C, e.q, 1)), rng.standard_normal((C, p, 1))
        for c in range(C):
            e.products.xy[:] = self.bordered(state, pseudo, c)
            s = state.sigma[c] / self.units.scale
            solution = e.solve([v[c] for v in lam])
            if solution is None:  # beyond what numbers hold: the chain stays where it is
                inside[c] = self.inside(state.beta)[c]
                continue
            head, fixed = e.backward(noise[c], noise_x[c])
            inside[c] = solution.beta + s * fixed[:, 0]
            if u:
                for out, value in zip(u, e.by_factor(solution.u / s + head[:, 0]), strict=True):
                    out[c] = value
        return self.units.beta(inside), list(self.units.effects(u, factors))
