"""Gibbs blocks of binomial and negative binomial models by Pólya–Gamma augmentation.

    ω_i ~ PG(b_i, ψ_i),    κ_i = a_i − b_i/2,    given ω the response κ_i/ω_i is normal with mean ψ_i and precision ω_i

    binomial, logit              ψ = η,            a = y,  b = trials
    negative binomial, log       ψ = η − log s,    a = y,  b = y + s;   s by its own density given η, before ω is drawn

The normal model of each sweep has weights of its own: blocks by level are filled anew in one pass over the rows, and
all coefficients and effects are drawn together by one factorisation.

Reference: Polson, Scott & Windle (2013), JASA 108, sections 3.1 and 3.3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.coordinates import coordinates
from ..core.gaussian import Elimination
from ..core.latent import Latent
from .gibbs_coefficients import Pseudo
from .gibbs_steps import Steps
from .gibbs_system import Location, State, System
from .polya_gamma import draw

if TYPE_CHECKING:
    from ..model.model import Model

CHUNK = 2**17  # numbers held at once


class LogitSystem(System):
    """Rows with Pólya–Gamma variables."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.coordinates = coordinates(model, model.priors, True)
        rows = model.rows
        self.rows, self.observations = rows, rows.observations
        self.levels = tuple(len(g.levels) for g in model.design.groups)
        self.counts = np.ones(rows.n) if self.observations.weights is None else self.observations.weights
        trials = getattr(self.observations, "trials", None)
        self.trials = np.ones(rows.n) if trials is None else trials
        self.shape = next((name for name, _, _ in rows.constants if name == "shape"), None)
        self.x = np.ascontiguousarray(rows.x[0])
        self.to_beta = rows.to_beta[:, rows.places[0]]
        self.inside_of = np.linalg.pinv(self.to_beta) if self.to_beta.size else np.zeros(self.to_beta.T.shape)
        self.inside = [np.linalg.inv(t) for t in rows.to_effects]
        self.place = {t: (f, a, b) for f, factor in enumerate(rows.factors) for t, a, b in factor.terms}
        self.omega = self.working = np.zeros((0, 0))
        self.stepper = Steps(1, 0.5)
        self._prepare()

    def _prepare(self) -> None:
        """The elimination whose arrays every draw fills anew, with X and the working response as its border."""
        self.latent = Latent(self.rows)
        e, p = self.latent.elimination, self.x.shape[1]
        products = replace(
            self.latent.products,
            xy=np.zeros((p + 1, p + 1)),
            factors=tuple(replace(f, cross=np.zeros((f.n_levels, f.k, p + 1))) for f in self.latent.products.factors),
        )
        border = np.zeros((e.pattern.n_trailing, p + 1))
        self.elimination = Elimination(products, replace(e.pattern, border=border))
        self.elimination.A = e.A

    # --- starts and linear predictors ----------------------------------------------------------------------------
    def start(self, chains: int, rng: np.random.Generator) -> State:
        terms = []
        for block, back in zip(self.coordinates.blocks, self.rows.to_effects, strict=True):
            z = block.from_covariance(0.25 * back @ back.T)
            terms.append(z + 0.5 * rng.standard_normal((chains, block.d)))
        begin = np.linalg.lstsq(self.x, self.rows.start[:, 0] - self.rows.offsets[:, 0], rcond=None)[0]
        c = begin + 0.3 * rng.standard_normal((chains, self.x.shape[1]))
        effects = [np.zeros((chains, L, b.k)) for L, b in zip(self.levels, self.coordinates.blocks, strict=True)]
        extras = 0.3 * rng.standard_normal((chains, len(self.model.priors.extras)))
        constants = {self.shape: np.exp(0.5 * rng.standard_normal(chains))} if self.shape else {}
        return State(terms, np.ones(chains), c @ self.to_beta.T, effects, extras, constants)

    def predictor(self, state: State) -> np.ndarray:
        """η (C, n)."""
        eta = self.rows.offsets[:, 0] + (state.beta @ self.inside_of.T) @ self.x.T
        for t in self.place:
            eta = eta + self._contribution(state.effects[t], t)
        return np.asarray(eta)

    def _contribution(self, effects: np.ndarray, t: int) -> np.ndarray:
        f, a, b = self.place[t]
        factor = self.rows.factors[f]
        inside = effects @ self.inside[t].T
        out = np.zeros((len(effects), self.rows.n))
        for j in range(b - a):
            out += inside[:, factor.codes, j] * factor.z[:, a + j]
        return out

    # --- augmentation --------------------------------------------------------------------------------------------
    def augment(self, state: State, rng: np.random.Generator) -> None:
        eta, y = self.predictor(state), self.observations.y
        shift = np.zeros((state.chains, 1))
        size = self.trials[None, :]
        if self.shape:
            state.constants[self.shape] = self._draw_shape(state, eta, rng)
            s = state.constants[self.shape][:, None]
            shift, size = np.log(s), y + s
        weight = self.counts * size
        self.omega = draw(np.broadcast_to(weight, eta.shape), eta - shift, rng)
        self.working = self.counts * (y - 0.5 * size) + self.omega * shift  # ω times the response for η

    def _draw_shape(self, state: State, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The negative binomial's shape given η, the Pólya–Gamma variables integrated out."""
        assert self.shape is not None
        prior, y, counts = self.model.priors.constants[self.shape], self.observations.y, self.counts

        def log_density(x: np.ndarray) -> np.ndarray:
            own = prior.log_density(np.exp(x)) + x
            step = max(1, int(CHUNK // eta.size))
            parts = [shape_terms(y, eta, x[i : i + step, :, None]) @ counts for i in range(0, len(x), step)]
            return np.asarray(own + np.concatenate(parts))

        return np.exp(self.stepper.step(0, np.log(state.constants[self.shape]), log_density, rng))

    def information(self, state: State, t: int) -> tuple[np.ndarray, np.ndarray]:
        f, a, b = self.place[t]
        factor, L, k = self.rows.factors[f], self.levels[t], b - a
        z = factor.z[:, a:b]
        without = self.predictor(state) - self._contribution(state.effects[t], t)
        left = self.working - self.omega * without
        score, gram = np.empty((state.chains, L, k)), np.empty((state.chains, L, k, k))
        for c in range(state.chains):
            for i in range(k):
                score[c, :, i] = np.bincount(factor.codes, left[c] * z[:, i], L)
                for j in range(i + 1):
                    gram[c, :, i, j] = np.bincount(factor.codes, self.omega[c] * z[:, i] * z[:, j], L)
                    gram[c, :, j, i] = gram[c, :, i, j]
        back = self.inside[t]
        return score @ back, back.T @ gram @ back

    # --- coefficients and effects --------------------------------------------------------------------------------
    def draw_location(self, state: State, pseudo: Pseudo, rng: np.random.Generator) -> Location:
        e, p, C = self.elimination, self.x.shape[1], state.chains
        factors = self.factors(state)
        noise, noise_x = rng.standard_normal((C, e.q, 1)), rng.standard_normal((C, p, 1))
        beta = state.beta.copy()
        effects = [b.copy() for b in state.effects]
        for c in range(C):
            self._fill(c, pseudo)
            lam = []
            for factor in self.rows.factors:
                v = np.zeros((factor.k, factor.k))
                for t, a, b in factor.terms:
                    v[a:b, a:b] = self.inside[t] @ factors[t][c]
                lam.append(v)
            solution = e.solve(lam)
            if solution is None:
                continue
            head, fixed = e.backward(noise[c], noise_x[c])
            beta[c] = self.to_beta @ (solution.beta + fixed[:, 0])
            u = e.by_factor(solution.u + head[:, 0]) if self.rows.factors else []
            for t, (f, a, b) in self.place.items():
                effects[t][c] = u[f][:, a:b] @ factors[t][c].T
        return beta, effects

    def _fill(self, c: int, pseudo: Pseudo) -> None:
        """Weighted cross-products of chain c: ω in place of the weights, working response beside X."""
        la, e, omega = self.latent, self.elimination, self.omega[c]
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(omega > 0.0, self.working[c] / omega, 0.0) - self.rows.offsets[:, 0]
        both = np.ascontiguousarray(np.column_stack([self.x, y]))
        if self.rows.factors:
            w = np.ascontiguousarray(omega[:, None, None])
            pt = la.pattern
            la.kernels.weigh(
                la.z, la.base, la.start, la.owner, la.site, la.own, la.pair, la.turned, w, np.zeros((len(y), 1)),
                e.A, la.elimination.B, pt.T, pt.block, pt.border,
            )  # fmt: skip
            la.kernels.weigh_fixed(
                la.z, la.base, la.start, la.owner, w, both, np.zeros(both.shape[1], np.int64), e.B, e.pattern.border
            )
        e.products.xy[:] = (both * omega[:, None]).T @ both
        if len(pseudo.directions):
            rows = np.column_stack([pseudo.directions @ self.to_beta, pseudo.values[c]])
            e.products.xy[:] += (rows * pseudo.precisions[c][:, None]).T @ rows


def shape_terms(y: np.ndarray, eta: np.ndarray, log_shape: np.ndarray) -> np.ndarray:
    """The part of log p(y | η, s) that depends on the shape s: log Γ(y+s)/Γ(s) − y log s − (y+s) log(1 + μ/s)."""
    from scipy.special import gammaln

    with np.errstate(all="ignore"):
        s = np.exp(log_shape)
        # where s is much larger than y the gammas cancel: Σ_j<y log(1 + j/s) instead
        ratio = np.where(s > 1e6 * (1.0 + y), 0.5 * y * (y - 1.0) / s, gammaln(y + s) - gammaln(s) - y * log_shape)
        far = np.logaddexp(0.0, eta - log_shape)
        return np.asarray(ratio - y * far - np.where(np.isfinite(s), s * far, np.exp(eta)))
