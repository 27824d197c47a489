"""The criterion of a Gaussian model as a function of its relative covariance parameters θ.

θ concatenates the parameters of every term's scale, in internal (centred, scaled) coordinates. σ is profiled out,
or known when the rows carry their standard errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.cross_products import CrossProducts, FactorProducts
from ..scales.base import Scale
from .gaussian import TWO_PI, Elimination, Solution


@dataclass(frozen=True)
class State:
    """The criterion at one θ: value d = −2 log-likelihood (internal units), and what the gradient starts from."""

    theta: np.ndarray
    value: float
    sigma2: float
    solution: Solution | None
    lam: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Slope:
    """Gradient of d and its average-information Hessian in θ.

    `b` is the gradient of −r² (for σ derivatives); `scores` holds ½ ∂d/∂Λ in full by term, zeros included.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    b: np.ndarray
    scores: tuple[np.ndarray, ...] = ()


class Likelihood:
    """ML or REML criterion over θ.

    Parameters
    ----------
    products : CrossProducts
    scales : one Scale a term
    reml : integrate the fixed effects (restricted likelihood) rather than maximise over them
    sigma2 : the known residual variance (internal units), or None to profile it
    elimination : how the mixed-model equations are solved; exactly unless given
    """

    def __init__(
        self, products: CrossProducts, scales: Sequence[Scale], reml: bool, sigma2: float | None = None,
        elimination: Elimination | None = None,
    ) -> None:  # fmt: skip
        self.products, self.scales, self.reml, self.known_sigma2 = products, tuple(scales), reml, sigma2
        self.elimination = elimination or Elimination(products)
        self.nu = products.n - (products.p if reml else 0)
        counts = [len(s.kinds()) for s in self.scales]
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self.slices = [slice(bounds[t], bounds[t + 1]) for t in range(len(counts))]
        self.n_theta = int(bounds[-1])
        self.evaluations = 0
        self.current: State | None = None  # whose factorisation the workspace holds

    def start(self) -> np.ndarray:
        """θ to start from: independent coefficients with variances by moments, one coefficient at a time."""
        if not self.scales:
            return np.zeros(0)
        parts: list[np.ndarray] = [np.zeros(0)] * len(self.scales)
        for factor in self.products.factors:
            ratio = np.clip(self._moments(factor), 0.05**2, 20.0**2)
            for t, a, b in factor.terms:
                free = np.array(self.scales[t].kinds()) != "bounded"
                theta = self.scales[t].from_covariance(np.diag(ratio[a:b]))
                parts[t] = np.where(free, theta, self.scales[t].start())
        return np.concatenate(parts)

    def _moments(self, factor: FactorProducts) -> np.ndarray:
        """τ²/σ² of each coefficient as if it stood alone: E Σ (z'r)²/z'z = L σ² + τ² Σ z'z for OLS residuals r."""
        xy, p = self.products.xy, self.products.p
        beta = np.linalg.solve(xy[:p, :p], xy[:p, p])
        rest = xy[p, p] - beta @ xy[:p, p]
        from ..numerics.gram import between_levels

        between, levels, total = between_levels(factor.gram, factor.cross, beta)
        spare = max(self.products.n - factor.n_levels, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            within = self.known_sigma2 or np.maximum(rest - between, 0.05 * rest) / spare
            ratio = (between - levels * within) / (within * total)
        return np.nan_to_num(ratio, nan=1.0, posinf=1.0, neginf=0.0)

    def factors(self, theta: np.ndarray) -> list[np.ndarray]:
        """λ of every grouping factor: its terms' λ along the diagonal."""
        out = []
        for factor in self.products.factors:
            lam = np.zeros((factor.k, factor.k))
            for t, a, b in factor.terms:
                lam[a:b, a:b] = self.scales[t].factor(theta[self.slices[t]])
            out.append(lam)
        return out

    def evaluate(self, theta: np.ndarray) -> State:
        """d at θ; infinite where the matrix is not positive definite (a value, not an error)."""
        if self.current is not None and np.array_equal(theta, self.current.theta):
            return self.current
        self.current = self._evaluate(theta)
        return self.current

    def _evaluate(self, theta: np.ndarray) -> State:
        self.evaluations += 1
        lam = self.factors(theta)
        solution = self.elimination.solve(lam)
        if solution is None or not np.isfinite(solution.r2) or solution.r2 < 0.0:
            return State(theta, np.inf, np.nan, None)
        if self.known_sigma2 is None:
            sigma2 = solution.r2 / self.nu
            value = solution.log_det + self.nu * (1.0 + np.log(TWO_PI * sigma2)) if sigma2 > 0 else -np.inf
        else:
            sigma2 = self.known_sigma2
            value = solution.log_det + self.nu * np.log(TWO_PI * sigma2) + solution.r2 / sigma2
        if self.reml:
            value += solution.log_det_x
        return State(theta, float(value), sigma2, solution, tuple(lam))

    def slope(
        self,
        state: State,
        sigma2: float | None = None,
        information: bool = True,
        sums: Sequence[np.ndarray] | None = None,
    ) -> Slope:
        """Gradient at the last evaluated θ, with σ² profiled or held at `sigma2`; optionally the information.

        `sums` are the traces Σ (Z'ZΛP)_ℓℓ by factor where they are known already; exact ones otherwise.
        """
        solution = state.solution
        if solution is None:
            raise np.linalg.LinAlgError("no gradient where the matrix is not positive definite")
        s2 = state.sigma2 if sigma2 is None else sigma2
        elimination = self.elimination
        if sums is None:
            sums = elimination.inverse(self.reml).sums
        u = elimination.by_factor(solution.u)
        ze = self.scores(state, u)
        gradient, b = np.empty(self.n_theta), np.empty(self.n_theta)
        scores: list[np.ndarray] = [np.zeros(0)] * len(self.scales)
        for f, factor in enumerate(self.products.factors):
            outer = ze[f].T @ u[f]
            for t, first, last in factor.terms:
                part = slice(first, last)
                slopes = self.scales[t].derivative(state.theta[self.slices[t]])
                trace = np.tensordot(slopes, sums[f][part, part])
                quad = np.tensordot(slopes, outer[part, part])
                b[self.slices[t]] = 2.0 * quad
                gradient[self.slices[t]] = 2.0 * (trace - quad / s2)
                scores[t] = sums[f][part, part] - outer[part, part] / s2
        if not information:
            return Slope(gradient, np.zeros((0, 0)), b, tuple(scores))
        hessian = self._information(state, u, ze, s2, sigma2 is None)
        return Slope(gradient, hessian, b, tuple(scores))

    def bend(self, term: int, theta: np.ndarray, score: np.ndarray) -> np.ndarray:
        """2 tr(Λ̇_s' Q Λ̇_t), Q = ∂d/∂(ΛΛ') made positive: the curvature of Λ ↦ ΛΛ' itself.

        Zero at an interior optimum; at a singular one all there is along a vanishing column. From the gradient in
        full, ∂d/∂Λ = 2 Q Λ, at a Λ without zero columns.
        """
        return bend(self.scales[term], theta[self.slices[term]], score)

    def scores(self, state: State, u: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Z'W ê by factor, ê = y − Xβ̂ − ZΛû.

        λ'Z'Wê = û, so where λ is well conditioned it is solved for: cross-products would cancel when the groups
        explain almost everything.
        """
        assert state.solution is not None
        regular = [_regular(v) for v in state.lam]
        fitted: list[np.ndarray] = []
        if not all(regular):
            lam_u = [uu @ v.T for uu, v in zip(u, state.lam, strict=True)]
            zz, _ = self.elimination.multiply(self.elimination.to_vector(lam_u)[:, None])
            fitted = self.elimination.by_factor(zz[:, 0])
        out = []
        for f, factor in enumerate(self.products.factors):
            if regular[f]:
                out.append(np.linalg.solve(state.lam[f].T, u[f].T).T)
            else:
                out.append(factor.cross[:, :, -1] - factor.cross[:, :, :-1] @ state.solution.beta - fitted[f])
        return out

    def _information(
        self, state: State, u: Sequence[np.ndarray], ze: Sequence[np.ndarray], s2: float, profiled: bool
    ) -> np.ndarray:
        """2·AI, σ profiled out: AI_st = (c_s'Z'Zc_t − r_s'M⁻¹r_t)/2σ², c_t = Λ̇û + ΛΛ̇'Z'ê (Gilmour et al. 1995)."""
        directions = [np.zeros((*uu.shape, self.n_theta)) for uu in u]
        cross = np.zeros(self.n_theta)
        for f, factor in enumerate(self.products.factors):
            for t, first, last in factor.terms:
                part, lam = slice(first, last), state.lam[f][first:last, first:last]
                slopes = self.scales[t].derivative(state.theta[self.slices[t]])
                for j, slope in enumerate(slopes):
                    c = u[f][:, part] @ slope.T + ze[f][:, part] @ (slope @ lam.T)
                    index = self.slices[t].start + j
                    directions[f][:, part, index] = c
                    cross[index] = float((c * ze[f][:, part]).sum())
        c = self.elimination.to_vector(directions)
        zz, zx = self.elimination.multiply(c)
        information = c.T @ zz
        scaled = [part.transpose(0, 2, 1) @ v for part, v in zip(self.split(zz), state.lam, strict=True)]
        r = self.elimination.to_vector([np.ascontiguousarray(v.transpose(0, 2, 1)) for v in scaled])
        information = (information - self.elimination.quadratic(r, np.ascontiguousarray(zx[:-1]))) / s2
        if profiled and self.known_sigma2 is None:
            # AI_θσ² = c'Z'ê/2σ⁴ and AI_σ²σ² = ν/2σ⁴; twice their Schur complement
            information -= np.outer(cross, cross) / (s2 * s2 * self.nu)
        return information

    def split(self, zz: np.ndarray) -> list[np.ndarray]:
        """A (q, s) matrix as (L, k, s) arrays by factor."""
        return self.elimination.by_factor(zz)

    def external_value(self, value: float) -> float:
        """−2 log-likelihood in the units of the data."""
        p = self.products
        out = value - p.log_weights + 2.0 * self.nu * float(np.log(p.y_shift.scale))
        return out + (2.0 * p.log_det_x if self.reml else 0.0)


def bend(scale: Scale, theta: np.ndarray, score: np.ndarray) -> np.ndarray:
    """2 tr(Λ̇_s' Q Λ̇_t) for one triangular scale, from the score ½ ∂d/∂Λ = Q Λ."""
    lam = scale.factor(theta)
    if scale.k == 1:
        return np.array([[max(2.0 * score[0, 0] / lam[0, 0], 0.0) if lam[0, 0] != 0.0 else 0.0]])
    q = score @ np.linalg.pinv(lam, rcond=1e-13)
    values, vectors = np.linalg.eigh(0.5 * (q + q.T))
    q = (vectors * np.maximum(values, 0.0)) @ vectors.T
    rows, cols = scale.entries()
    return np.asarray(2.0 * q[np.ix_(rows, rows)] * (cols[:, None] == cols[None, :]))


def _regular(lam: np.ndarray) -> bool:
    """Whether λ can be divided by: its diagonal says so for a triangle, its singular values otherwise."""
    if lam.size == 0:
        return False
    if not np.triu(lam, 1).any():
        return bool(np.min(np.abs(np.diagonal(lam))) > 1e-2)
    return bool(np.linalg.svd(lam, compute_uv=False)[-1] > 1e-2)
