"""Crossed factors with thousands of levels: the search without a factorisation.

The leading factor is eliminated exactly, level by level. On the Schur complement S of the others everything is
solved by conjugate gradients, preconditioned by its diagonal D: for crossed factors its spectrum is narrow, and a
dozen passes over the data's co-occurrences replace n₂³ operations. The gradient needs Σ P_ℓℓ, P = C⁻¹ or its REML
counterpart, since Λ'Z'ZΛP = I − P gives

    Σ (Z'ZΛP)_ℓℓ = λ'⁻¹ (L I − Σ P_ℓℓ),

and diagonals of inverses are estimated with fixed Rademacher probes z,

    S⁻¹_cc ≈ 1/D_c + mean z_c (S⁻¹z − 2D⁻¹z + D⁻¹SD⁻¹z)_c.

What the Neumann terms take out has no diagonal of its own, so only their noise goes. The scatter over probes says how
far the estimated optimum can be from the exact one, in units of the criterion; probes are added until that is
negligible. The value of the criterion, log-determinant included, is left to one exact factorisation at the end.

References: Hutchinson (1990); Gilmour, Thompson & Cullis (1995); Ghosh, Hastie & Owen (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..numerics.newton import Progress, _clip, _move, _solve, _stretch, inside, scaled_gradient
from .gaussian import Elimination, Solution
from .likelihood import Likelihood, State, _regular
from .objective import GaussianObjective

SOLUTION, FAR = 1e-10, 1e-5  # relative residuals of solutions near the optimum and before
TRACE, ROUGH = 1e-4, 1e-3  # of probes: far below their own scatter
FEW_PROBES, PROBES, MOST_PROBES = 8, 32, 256
NEAR, LAST = 1e-2, 1e-6  # Newton decrements from which accuracy pays, and after which one more step is the last
EXCESS = 5e-7  # expected height above the optimum, from the probes' scatter, that is accepted
MOST_STEPS, MOST_PASSES = 40, 200


class Stalled(Exception):
    """The search cannot go on without the exact criterion."""


class Iterated(Elimination):
    """The mixed-model equations at one Λ after another by conjugate gradients; no log-determinants."""

    accuracy = FAR

    def solve(self, lam: Sequence[np.ndarray]) -> Solution | None:
        from ..numerics import elimination, schur

        pt, p = self.pattern, self.products.p
        self.lam = [np.ascontiguousarray(v) for v in lam]
        self._flat = np.concatenate([self.lam[f].ravel() for f in pt.trail])
        self.scaled, self.D = np.empty_like(pt.block), np.empty(pt.n_trailing)
        schur.scale_blocks(
            pt.block, self._flat, pt.begin, pt.high, pt.low, pt.width, pt.shift, self.scaled, self.D
        )  # fmt: skip
        for f, place in zip(pt.trail, pt.place, strict=True):
            index = place[:, None] + np.arange(self.products.factors[f].k)
            self.SX[index] = np.einsum("ia,lix->lax", self.lam[f], pt.border[index])
        self.XX[:] = self.products.xy
        if not schur.eliminate(
            self.A, self.B, pt.T, pt.at, pt.col, pt.width, pt.shift, self._flat, self.lam[pt.lead], self.L, self.W,
            self.WX, self.D, self.SX, self.XX,
        ):  # fmt: skip
            return None
        self.V = self.conjugate_gradients(self.SX, self.accuracy)
        corner = np.tril(self.XX) + np.tril(self.XX, -1).T - self.SX.T @ self.V
        self.C = corner[:p, :p]
        beta = np.linalg.solve(self.C, corner[:p, p])
        r2 = float(corner[p, p] - beta @ corner[:p, p])
        u = np.empty(self.q)
        z = np.append(beta, -1.0)
        u[self.q1 :] = -self.V @ z
        elimination.back_substitute(
            pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, 0, self.S, self.SX, z, u
        )
        return Solution(0.0, 0.0, r2, beta, u)

    def product(self, x: np.ndarray) -> np.ndarray:
        """S x for the columns of x."""
        from ..numerics import schur

        pt, out = self.pattern, np.empty_like(x)
        schur.multiply(self.scaled, pt.begin, pt.high, pt.low, pt.width, pt.at, pt.col, self.W, x, out)
        return out

    def conjugate_gradients(self, b: np.ndarray, accuracy: float) -> np.ndarray:
        """S⁻¹ b, each column to a relative residual.

        Raises
        ------
        Stalled
            When `MOST_PASSES` passes do not suffice.
        """
        d = self.D[:, None]
        x = b / d
        r = b - self.product(x)
        z = r / d
        direction, rz = z, np.einsum("is,is->s", r, z)
        enough = accuracy**2 * np.einsum("is,is->s", b, b / d)
        for _ in range(MOST_PASSES):
            if np.all(rz <= enough):
                return np.asarray(x)
            image = self.product(np.ascontiguousarray(direction))
            with np.errstate(invalid="ignore", divide="ignore"):
                step = np.nan_to_num(rz / np.einsum("is,is->s", direction, image))
            x = x + step * direction
            r = r - step * image
            z = r / d
            after = np.einsum("is,is->s", r, z)
            with np.errstate(invalid="ignore", divide="ignore"):
                direction = z + np.nan_to_num(after / rz) * direction
            rz = after
        raise Stalled

    def quadratic(self, r: np.ndarray, rx: np.ndarray) -> np.ndarray:
        from ..numerics import elimination

        pt, p = self.pattern, self.products.p
        elimination.forward_substitute(
            pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, 0, self.S, self.SX, p, r, rx
        )
        lead, trail = r[: self.q1], np.ascontiguousarray(r[self.q1 :])
        rest = rx - self.V[:, :p].T @ trail
        out = lead.T @ lead + trail.T @ self.conjugate_gradients(trail, FAR)
        return np.asarray(out + rest.T @ np.linalg.solve(self.C, rest))

    def traces(self, probes: np.ndarray, accuracy: float, reml: bool) -> list[np.ndarray]:
        """Σ (Z'ZΛP)_ℓℓ of every factor, one estimate a probe: arrays (probes, k, k)."""
        from ..numerics import schur

        pt, factors = self.pattern, self.products.factors
        n, k1 = probes.shape[1], self.k1
        first = probes / self.D[:, None]
        rest = self.conjugate_gradients(probes, accuracy) - first
        finer = rest - first + self.product(first) / self.D[:, None]
        exact, noisy = np.zeros((k1, k1)), np.zeros((n, k1, k1))
        schur.leading_sums(pt.at, pt.col, self.L, self.W, self.D, probes, rest, exact, noisy)
        inverse: list[np.ndarray] = [exact + noisy] * len(factors)
        for f, place in zip(pt.trail, pt.place, strict=True):
            index = place[:, None] + np.arange(factors[f].k)
            raw = np.einsum("las,lbs->sab", probes[index], rest[index])
            out = 0.5 * (raw + raw.transpose(0, 2, 1))
            diagonal = np.einsum("las,las->sa", probes[index], finer[index]) + (1.0 / self.D[index]).sum(axis=0)
            out[:, np.arange(factors[f].k), np.arange(factors[f].k)] = diagonal
            inverse[f] = out
        if reml:
            inverse = [a + b for a, b in zip(inverse, self._fixed_part(), strict=True)]
        return [
            np.linalg.solve(lam.T, factor.n_levels * np.eye(factor.k) - part)
            for lam, factor, part in zip(self.lam, factors, inverse, strict=True)
        ]

    def _fixed_part(self) -> list[np.ndarray]:
        """Σ (H C⁻¹H')_ℓℓ, H = M⁻¹Λ'Z'X: what estimating β adds to Σ P_ℓℓ."""
        from ..numerics import elimination

        pt, p = self.pattern, self.products.p
        h = np.empty((self.q, p))
        for x in range(p):
            z = np.zeros(p + 1)
            z[x] = -1.0
            u = np.empty(self.q)
            u[self.q1 :] = self.V[:, x]
            elimination.back_substitute(
                pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, 0, self.S, self.SX, z, u
            )
            h[:, x] = u
        scaled = h @ np.linalg.inv(self.C)
        pairs = zip(self.by_factor(h), self.by_factor(scaled), strict=True)
        return [np.einsum("lax,lbx->ab", a, b) for a, b in pairs]


def search(
    likelihood: Likelihood, start: np.ndarray, maxiter: int, tick: Callable[[int, float], None] | None
) -> tuple[np.ndarray, Progress]:
    """θ at the optimum, up to `EXCESS` in the criterion.

    Raises
    ------
    Stalled
        Near a boundary, or when steps do not settle: the exact criterion has to decide there.
    """
    elimination = Iterated(likelihood.products, likelihood.elimination.pattern)
    equations = Likelihood(
        likelihood.products, likelihood.scales, likelihood.reml, likelihood.known_sigma2, elimination
    )
    objective = GaussianObjective(equations)
    rng = np.random.default_rng(20_240_611)  # any fixed seed: the same fit on every run
    probes = rng.choice([-1.0, 1.0], size=(elimination.pattern.n_trailing, MOST_PROBES))
    n, accuracy, theta, progress = FEW_PROBES, ROUGH, inside(objective, start), Progress()
    free, before = np.arange(likelihood.n_theta), np.inf
    while progress.iterations < min(maxiter, MOST_STEPS):
        progress.iterations += 1
        state = _state(equations, theta)
        each = elimination.traces(np.ascontiguousarray(probes[:, :n]), accuracy, likelihood.reml)
        slope = equations.slope(state, sums=[v.mean(axis=0) for v in each])
        stretch = _stretch(objective, theta)
        g = slope.gradient * stretch
        h = (slope.hessian + objective._bends(state, slope)) * np.outer(stretch, stretch)
        step = _solve(h, g, 0.0)
        progress.decrement = float(-g @ step)
        progress.scaled_gradient = scaled_gradient(g, h)
        if tick is not None:
            tick(progress.iterations, float("nan"))
        if not progress.decrement < 100.0 * before:
            raise Stalled
        before = progress.decrement
        if accuracy == TRACE:
            noise = _excess(equations, state, each, h, stretch)
            if progress.decrement < LAST and (noise < EXCESS or n == MOST_PROBES):
                progress.converged = True
                return _move(objective, theta, free, step), progress
            if noise > EXCESS and progress.decrement < NEAR:
                n, before = int(min(MOST_PROBES, max(2 * n, np.ceil(1.5 * n * noise / EXCESS)))), np.inf
        elif progress.decrement < NEAR:
            n, accuracy, elimination.accuracy, before = PROBES, TRACE, SOLUTION, np.inf
        theta = _move(objective, theta, free, _clip(objective, free, step, theta))
    raise Stalled


def _state(likelihood: Likelihood, theta: np.ndarray) -> State:
    state = likelihood.evaluate(theta)
    if state.solution is None or not all(map(_regular, state.lam)):
        raise Stalled
    return state


def _excess(
    likelihood: Likelihood, state: State, each: Sequence[np.ndarray], hessian: np.ndarray, stretch: np.ndarray
) -> float:
    """½ tr(H⁻¹ Var ĝ): the expected height above the optimum of the point where the estimated gradient vanishes."""
    n = len(each[0])
    gradients = np.empty((n, likelihood.n_theta))
    for f, factor in enumerate(likelihood.products.factors):
        for t, first, last in factor.terms:
            part = slice(first, last)
            slopes = likelihood.scales[t].derivative(state.theta[likelihood.slices[t]])
            gradients[:, likelihood.slices[t]] = 2.0 * np.einsum("jab,sab->sj", slopes, each[f][:, part, part])
    scatter = (gradients - gradients.mean(axis=0)) * stretch
    return float(0.5 * np.sum(scatter * np.linalg.solve(hessian, scatter.T).T) / (n * (n - 1)))
