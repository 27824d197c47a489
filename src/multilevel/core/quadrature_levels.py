"""Integrals over the effects of one grouping factor, and of the factors nested in it, by adaptive quadrature.

    I_ℓ = ∫ exp(Σ_{i∈ℓ} ℓ_i(base_i + z_i'Λu)) N(u; 0, I) du      one for each level ℓ of the factor
        ≈ |L|⁻¹ Σ_r w_r exp(½ x_r'x_r − ½ u_r'u_r − ½ D_ℓ(u_r)),   u_r = û + L'⁻¹x_r,   LL' = S

û is the mode and S the information there, nested effects eliminated (Schur complement); D_ℓ sums −2 log I over the
levels of the next factor within ℓ at base + ZΛu_r, or −2ℓ_i over its rows where no factor is left. With one node this
is Laplace's approximation. The nested modes follow each outer node.

The gradient is that of the approximation itself: nodes move with û and L, and what that does is carried back to
the parameters. Every factor answers for its sum Σ ω_ℓ (−2 log I_ℓ), ω the probability that the nodes above give it:

    G_r = ω p_r [2u_r + Λ'Z'q_r],  q_r from below;    N = L⁻¹ Σ G_r x_r';    P = L'⁻¹[ωI − sym(tril N')]L⁻¹  (∂/∂S)

after which ∂S, ∂û are those of Laplace's approximation with P in the place of H⁻¹ and ΣG_r beside Λ'Z't.

References: Naylor & Smith (1982); Pinheiro & Bates (1995), JCGS 4; Rabe-Hesketh, Skrondal & Pickles (2005),
J. Econometrics 128; Pinheiro & Chao (2006), JCGS 15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Derivatives
from ..numerics.hermite import product_rule
from .latent import Latent
from .mode import Mode, conditional_mode
from .row_terms import RowTerms

Factors = Mapping[int, np.ndarray]  # one array a grouping factor, by its position in the rows


@dataclass(frozen=True, eq=False)
class Integral:
    """The integrals of all levels at one base, and what their gradient needs.

    value : (L,) −2 log I;  p : (R, L) share of each node;  at : (R, L, k) the nodes u_r
    inverse_root : (L, k, k) L⁻¹;  follow : per nested factor (L', k', k), how its mode moves with u
    inner : the next factor's integrals at each node
    """

    mode: Mode
    value: np.ndarray
    p: np.ndarray
    at: np.ndarray
    inverse_root: np.ndarray
    follow: Factors
    inner: tuple[Integral, ...]


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Slopes of Σ ω_ℓ (−2 log I_ℓ): `rows` by base (n, m), `scores` by Λ in full; `zs` is Z's at the mode."""

    rows: np.ndarray
    scores: dict[int, np.ndarray]
    zs: np.ndarray


class Level:
    """One factor of a chain, outermost first, with the rest of the chain inside it.

    Parameters
    ----------
    rows, terms : the rows and their log densities
    chain : positions of this factor and of those nested in it
    nodes : of the rule, along each axis
    latent : the workspace of exactly these factors, where there is one
    """

    def __init__(
        self, rows: LatentRows, terms: RowTerms, chain: Sequence[int], nodes: int, latent: Latent | None = None
    ) -> None:
        self.rows, self.terms = rows, terms
        self.order = tuple(chain) if latent is None else tuple(range(len(rows.factors)))
        self.latent = latent or Latent(replace(rows, factors=tuple(rows.factors[f] for f in chain)))
        self.f, self.factor = chain[0], rows.factors[chain[0]]
        self.rule = product_rule(nodes, self.factor.k)
        self.owner = np.array(rows.latent)[self.factor.owner]
        self.which = list(rows.latent)
        self.inner = Level(rows, terms, chain[1:], nodes) if len(chain) > 1 else None
        self.belongs = self.factor.codes if self.inner is None else _parents(self.inner.factor, self.factor)

    # --- the integrals -------------------------------------------------------------------------------------------
    def mode(self, lam: Factors, base: np.ndarray, start: np.ndarray) -> Mode | None:
        """The mode of this factor's effects and all nested ones given everything above."""
        found = conditional_mode(self.latent, self.terms, [lam[f] for f in self.order], base, start)
        return found if found is not None and np.isfinite(found.log_det) else None

    def integrate(self, lam: Factors, base: np.ndarray, mode: Mode) -> Integral | None:
        """The integrals around a mode whose factorisation is in the workspace; None where one is not finite."""
        effects = self._by_factor(mode.u)
        root, follow = self._spread(lam)
        inverse_root = np.linalg.inv(root)
        turned = np.swapaxes(inverse_root, 1, 2)
        logs = np.empty((len(self.rule), self.factor.n_levels))
        at = np.empty((len(self.rule), *effects[self.f].shape))
        inner: list[Integral] = []
        for r, x in enumerate(self.rule.nodes):
            shift = turned @ x
            at[r] = effects[self.f] + shift
            below = self._below(lam, self._placed(lam, base, at[r]), effects, follow, shift, inner)
            if below is None:
                return None
            logs[r] = self.rule.log_weights[r] + 0.5 * float(x @ x) - 0.5 * (at[r] ** 2).sum(axis=1) - 0.5 * below
        top = logs.max(axis=0)
        p = np.exp(logs - top)
        total = p.sum(axis=0)
        log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        value = 2.0 * (log_root - top - np.log(total))
        if not np.all(np.isfinite(value)):
            return None
        return Integral(mode, value, p / total, at, inverse_root, follow, tuple(inner))

    def _below(
        self, lam: Factors, eta: np.ndarray, effects: Factors, follow: Factors, shift: np.ndarray, inner: list[Integral]
    ) -> np.ndarray | None:
        """D by level: −2ℓ of the rows, or −2 log I of the next factor, whose modes start where they are expected."""
        if self.inner is None:
            value = self.terms.derivatives(self.rows.observations, eta, 0).value
            return np.bincount(self.belongs, -2.0 * value, self.factor.n_levels)
        start = {}
        for f in self.inner.order:
            level = _parents(self.rows.factors[f], self.factor)
            start[f] = effects[f] + np.einsum("lbj,lj->lb", follow[f], shift[level])
        mode = self.inner.mode(lam, eta, self.inner.vector(start))
        found = None if mode is None else self.inner.integrate(lam, eta, mode)
        if found is None:
            return None
        inner.append(found)
        return np.bincount(self.belongs, found.value, self.factor.n_levels)

    def _spread(self, lam: Factors) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """L with LL' = S by level, and how nested modes follow u, −H_bb⁻¹H_ba."""
        if self.inner is None:
            here = lam[self.f]
            information = here.T @ self.latent.elimination.A @ here
            return np.linalg.cholesky(information + np.eye(self.factor.k)), {}
        units = [np.zeros((self.rows.factors[f].n_levels, self.rows.factors[f].k, self.factor.k)) for f in self.order]
        units[self.order.index(self.f)][:] = np.eye(self.factor.k)
        solved = self._by_factor(self.latent.solve(self.latent.elimination.to_vector(units)))
        own = solved[self.f]
        information = np.linalg.inv(0.5 * (own + np.swapaxes(own, 1, 2)))
        follow = {
            f: part @ information[_parents(self.rows.factors[f], self.factor)]
            for f, part in solved.items()
            if f != self.f
        }
        return np.linalg.cholesky(information), follow

    # --- their gradient ------------------------------------------------------------------------------------------
    def adjoint(self, found: Integral, lam: Factors, base: np.ndarray, weight: np.ndarray, ready: bool) -> Adjoint:
        """Slopes of Σ weight_ℓ value_ℓ; `ready` when the workspace holds the factorisation at the mode."""
        rows = np.zeros_like(base)
        scores = {f: np.zeros((self.rows.factors[f].k,) * 2) for f in self.order}
        levels, k = found.at.shape[1:]
        move, spread = np.zeros((levels, k)), np.zeros((levels, k, k))
        for r, x in enumerate(self.rule.nodes):
            below, inside = self._slopes_below(found, r, lam, base, weight * found.p[r])
            rows += below
            for f, score in inside.items():
                scores[f] += score
            sums = self._sums(below)
            scores[self.f] += sums.T @ found.at[r]
            pull = 2.0 * (weight * found.p[r])[:, None] * found.at[r] + sums @ lam[self.f]
            move += pull
            spread += pull[:, :, None] * x
        n = found.inverse_root @ spread
        lower = np.tril(np.swapaxes(n, 1, 2), -1)
        lower[:, range(k), range(k)] += 0.5 * np.diagonal(n, axis1=1, axis2=2)
        inside_root = weight[:, None, None] * np.eye(k) - 0.5 * (lower + np.swapaxes(lower, 1, 2))
        of_information = np.swapaxes(found.inverse_root, 1, 2) @ inside_root @ found.inverse_root
        return self._carried(found, lam, of_information, move, rows, scores, ready)

    def _slopes_below(
        self, found: Integral, r: int, lam: Factors, base: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Slopes of Σ weight_ℓ D_ℓ at a node, by row and by the Λ of nested factors."""
        eta = self._placed(lam, base, found.at[r])
        if self.inner is None:
            first = self.terms.derivatives(self.rows.observations, eta, 1).first
            assert first is not None
            return -2.0 * weight[self.belongs, None] * first, {}
        adjoint = self.inner.adjoint(found.inner[r], lam, eta, weight[self.belongs], False)
        return adjoint.rows, adjoint.scores

    def _carried(
        self, found: Integral, lam: Factors, of_information: np.ndarray, move: np.ndarray, rows: np.ndarray,
        scores: dict[int, np.ndarray], ready: bool,
    ) -> Adjoint:  # fmt: skip
        """Slopes by S (`of_information`) and by û (`move`) carried on to rows and Λ."""
        latent, which, mode = self.latent, self.which, found.mode
        at = self._restored(mode, lam, ready)
        assert at.first is not None
        assert at.second is not None
        w = at.second[:, which][:, :, which]
        t, sums = self._through_information(found, lam, of_information, at, w)
        for f, part in sums.items():
            scores[f] += 2.0 * part
        pull = [np.zeros((self.rows.factors[f].n_levels, self.rows.factors[f].k)) for f in self.order]
        pull[self.order.index(self.f)] = move
        v = latent.solve(latent.pulled(np.ascontiguousarray(t[:, which])) + latent.elimination.to_vector(pull))
        zv = latent.row_effects(latent.scaled(latent.lam, v))
        g = t - np.einsum("nda,na->nd", at.second[:, :, which], zv)
        zs = latent.level_sums(np.ascontiguousarray(at.first[:, which]))
        us, vs, ss = self._by_factor(mode.u), self._by_factor(v), self._by_factor(zs)
        gs = self._by_factor(latent.level_sums(np.ascontiguousarray(g[:, which])))
        for f in self.order:
            scores[f] += gs[f].T @ us[f] + ss[f].T @ vs[f]
        return Adjoint(rows + g, scores, zs)

    def _through_information(
        self, found: Integral, lam: Factors, of_information: np.ndarray, at: Derivatives, w: np.ndarray
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """t_i = W'_i : ζ_iPζ_i' by row and predictor, and Σ (Z'WZΛΠ)_ℓℓ by factor, Π = ξPξ'."""
        follows = {self.f: None, **found.follow}
        depends = np.zeros((self.rows.n, len(self.which), self.factor.k))
        for f, follow in follows.items():
            depends += self._dependence(f, lam[f], follow)
        seen = depends @ of_information[self.factor.codes]
        third = at.third
        assert third is not None
        t = np.einsum("nabd,nab->nd", third[:, self.which][:, :, self.which], seen @ np.swapaxes(depends, 1, 2))
        pulled = w @ seen
        sums = {}
        for f, follow in follows.items():
            factor = self.rows.factors[f]
            part = np.empty((factor.n_levels, factor.k, self.factor.k))
            for a in range(factor.k):
                for j in range(self.factor.k):
                    values = factor.z[:, a] * pulled[:, factor.owner[a], j]
                    part[:, a, j] = np.bincount(factor.codes, values, factor.n_levels)
            sums[f] = part.sum(axis=0) if follow is None else np.einsum("laj,lbj->ab", part, follow)
        return t, sums

    def _dependence(self, f: int, lam: np.ndarray, follow: np.ndarray | None) -> np.ndarray:
        """How a row's predictors move with u through factor f, (n, predictors, k)."""
        factor = self.rows.factors[f]
        own = np.zeros((self.rows.n, len(self.which), factor.k))
        for c in range(factor.k):
            own[:, factor.owner[c], :] += factor.z[:, c, None] * lam[c]
        return own if follow is None else own @ follow[factor.codes]

    def _restored(self, mode: Mode, lam: Factors, ready: bool) -> Derivatives:
        """Derivatives to order 3 at the mode, with its factorisation in the workspace."""
        if not ready:
            second, first = mode.at.second, mode.at.first
            assert second is not None
            assert first is not None
            w = np.ascontiguousarray(second[:, self.which][:, :, self.which])
            self.latent.factorise([lam[f] for f in self.order], w, first[:, self.which])
        return self.terms.derivatives(self.rows.observations, mode.eta, 3)

    # --- rows and levels -----------------------------------------------------------------------------------------
    def _by_factor(self, u: np.ndarray) -> dict[int, np.ndarray]:
        return dict(zip(self.order, self.latent.elimination.by_factor(u), strict=True))

    def vector(self, parts: Factors) -> np.ndarray:
        """Effects of these factors as the workspace orders them."""
        return self.latent.elimination.to_vector([parts[f] for f in self.order])

    def _placed(self, lam: Factors, base: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Linear predictors with this factor's effects Λu."""
        b = u @ lam[self.f].T
        out = base.copy()
        for a, d in enumerate(self.owner):
            out[:, d] += self.factor.z[:, a] * b[self.factor.codes, a]
        return out

    def _sums(self, rows: np.ndarray) -> np.ndarray:
        """Z'r by level, (L, k)."""
        out = np.empty((self.factor.n_levels, self.factor.k))
        for a, d in enumerate(self.owner):
            out[:, a] = np.bincount(self.factor.codes, self.factor.z[:, a] * rows[:, d], self.factor.n_levels)
        return out


def _parents(inner, outer) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The level of `outer` that each level of `inner` lies in."""
    out = np.zeros(inner.n_levels, dtype=np.int64)
    out[inner.codes] = outer.codes
    return out


def chain_of(rows: LatentRows) -> tuple[int, ...] | None:
    """Positions of the grouping factors, each nested in the one before it; None where they cross."""
    chain = sorted(range(len(rows.factors)), key=lambda f: rows.factors[f].n_levels)
    for outer, inner in pairwise(chain):
        a, b = rows.factors[outer], rows.factors[inner]
        if not np.array_equal(_parents(b, a)[b.codes], a.codes):
            return None
    return tuple(chain)
