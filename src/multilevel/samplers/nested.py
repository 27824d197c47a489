"""Nested Laplace: the coefficients integrated too, over nodes of the few parameters that are left.

    z = (τ, c):   log π̃(τ | y) = log p̃(ĉ, τ | y) + (p/2) log 2π − ½ log|H_c(τ)|,    ĉ(τ) = argmax over c

with p̃ from `core/marginal.py`, where the group effects are integrated out already. The τ (standard deviations,
correlations, constants of the family) are not normal given y, the coefficients given τ nearly are: so they belong to
the latent field, as in INLA. Nodes of τ stand along axes of the curvature at the mode, with a scale of their own on
each side: a grid up to two parameters, a Gauss–Hermite rule up to four, and even points weighted by π̃/q beyond, or
where τ is known too badly for so few nodes.

What comes out is a mixture of the nodes with c given τ interpolated between them (`samplers/conditional.py`): a
proposal whose weights, p̃ over it, say how good it is.

References: Rue, Martino & Chopin (2009), JRSS B 71; Stringer, Brown & Stafford (2023), J. Comp. Graph. Statist. 32
(adaptive quadrature over the outer parameters).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.marginal import LaplacePosterior
from ..numerics.hermite import product_rule
from ..numerics.lattice import lattice
from ..numerics.psis import Smoothed, psis
from .conditional import Conditional, between
from .importance import Weighted
from .mode import find_mode
from .proposals import Mixture, Proposal, Split, mixture, moments, propose
from .surface import surface_points

STEPS, CLOSE = 30, 1e-5  # of Newton's method for ĉ; the decrement at which it is close enough
REACH, LOWEST = 3.0, 12.0  # of the grid in scales; fall of the density below which a node is left out
RULES = {3: 5, 4: 3}  # nodes an axis of Gauss–Hermite rules
EVEN, FEWER = 512, 128  # nodes beyond, and where the coefficients' spread changes between nodes of a rule
DEAR = 3e-4  # seconds of an evaluation beyond which it is the fewer of them
LONG_TAILS = 4  # times as many points where a standard deviation is known only within a factor of three
CLOSE_BY = 1.2  # scale of a coordinate up to which it does not
WIDTHS = {1: 0.6, 2: 0.75, 3: 0.85, 4: 1.0}  # of a node, in scales
LOOKS = np.array([1.5, 3.0])  # distances at which the density's fall sets the scale of a side
NARROW, WIDE = 0.3, 4.0
ALL_OVER = 3.0  # spread of the widest component, in standard deviations of τ
BROADER = 1.4  # how much wider a third of the points are proposed, more of them in the tails
ROUNDS = 4  # of fitting another mixture to the weighted points, at most
COMPONENTS, OUTER_COMPONENTS = 4, 8
COMPILED = 2e-4  # seconds of an evaluation below which points are so cheap that other proposals are worth a try
FAIR = 0.6  # k̂ with which no more mixtures are fitted
INNER = 4096  # points of τ that the outer proposal is fitted to
ENOUGH = 0.25  # effective share of the points with which none is fitted
LEAST_EIGENVALUE = 1e-6
CHEAP_POINTS = 8192  # where a surface is evaluated


@dataclass(frozen=True)
class Nodes:
    """Nodes (K, ·) of τ: ĉ and the covariance of c there (`wide`: the priors' hold on c loosened), log π̃."""

    tau: np.ndarray
    c: np.ndarray
    covariance: np.ndarray
    wide: np.ndarray
    log_density: np.ndarray
    shares: np.ndarray
    roots: np.ndarray  # (K, ·, ·), of the spread that a node stands for


class NestedPosterior:
    """log π̃(τ | y) of a target, with the coefficients at each τ; has what proposals ask of a target."""

    def __init__(self, target: LaplacePosterior) -> None:
        self.target = target
        at = target.coordinates
        constants = {at.coefficients.start + place for _, _, place in at.constants}
        inside = [j for j in range(at.coefficients.start, at.coefficients.stop) if j not in constants]
        self.field = np.array(inside, dtype=int)
        self.outer = np.array([j for j in range(target.d) if j not in set(inside)], dtype=int)
        self.d = len(self.outer)

    @cached_property
    def mode(self) -> tuple[np.ndarray, np.ndarray]:
        """z (d,) of highest density, and the curvature there, of τ and c together."""
        z, _, curvature = find_mode(self.target)
        self.target.settle(z)
        return z, curvature

    @cached_property
    def drift(self) -> np.ndarray:
        """∂ĉ/∂τ at the mode."""
        _, h = self.mode
        return -np.linalg.solve(h[np.ix_(self.field, self.field)], h[np.ix_(self.field, self.outer)])

    # --- one τ ---------------------------------------------------------------------------------------------------
    def at(self, tau: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """log π̃, ĉ and the covariance of c at τ; −∞ where the likelihood fails."""
        mode, _ = self.mode
        z = mode.copy()
        z[self.outer] = tau
        if len(self.field) == 0:
            return float(self.target.log_density(z[None])[0]), np.zeros(0), np.zeros((0, 0))
        z[self.field] += self.drift @ (tau - mode[self.outer])
        found = self._bent(z)
        if found is None:  # the tangent led too far
            z[self.field] = mode[self.field]
            found = self._bent(z)
        if found is None:
            return -np.inf, z[self.field], np.linalg.inv(self._positive(np.eye(len(self.field))))
        z, value, h = self._climbed(z, *found)
        log_det = float(np.linalg.slogdet(h)[1])
        value += 0.5 * (len(self.field) * np.log(2.0 * np.pi) - log_det)
        return value, z[self.field], np.linalg.inv(h)

    def _climbed(
        self, z: np.ndarray, value: float, slope: np.ndarray, h: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Newton's method over c from z."""
        for _ in range(STEPS):
            step = np.linalg.solve(h, slope)
            decrement = float(step @ slope)
            if decrement < CLOSE:
                break
            size = 1.0
            for _ in range(30):
                new = z.copy()
                new[self.field] += size * step
                found = self._bent(new)
                if found is not None and found[0] >= value + 1e-4 * size * decrement:
                    break
                size *= 0.5
            else:
                break
            z, (value, slope, h) = new, found
        return z, value, h

    def _bent(self, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
        """log p̃ at z, its gradient by c and minus its curvature there."""
        target, at = self.target, self.target.coordinates
        prior, prior_slope = at.log_prior(z[None])
        with np.errstate(all="ignore"):
            state = target.evaluate(target.phi(z[None])[0])
            if state.mode is None or not np.isfinite(prior[0] - state.value):
                return None
            found = target.criterion.slope(state)
        inside = target.criterion.n_theta + self.field - at.coefficients.start
        slope = prior_slope[0, self.field] - 0.5 * found.gradient[inside]
        h = 0.5 * found.hessian[np.ix_(inside, inside)] + self._prior_curvature(z)
        return float(prior[0] - 0.5 * state.value), slope, self._positive(h)

    def _prior_curvature(self, z: np.ndarray) -> np.ndarray:
        """−∂² log prior by c, from differences of its gradient."""
        width = 1e-4
        away = np.zeros((len(self.field), len(z)))
        away[np.arange(len(self.field)), self.field] = width
        slopes = self.target.coordinates.log_prior(np.concatenate([z + away, z - away]))[1][:, self.field]
        n = len(self.field)
        bend = (slopes[n:] - slopes[:n]) / (2.0 * width)
        return np.asarray(0.5 * (bend + bend.T))

    def _positive(self, h: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(h)
        if values[0] > LEAST_EIGENVALUE * values[-1]:
            return h
        return np.asarray((vectors * np.maximum(values, LEAST_EIGENVALUE * max(values[-1], 1.0))) @ vectors.T)

    def log_density(self, tau: np.ndarray) -> np.ndarray:
        """log π̃ at points (N, ·)."""
        return np.array([self.at(t)[0] for t in tau])

    def _loosened(self, tau: np.ndarray, c: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """The covariance of c with a tenth of the priors' curvature: their tails are heavier than their centres say."""
        bend = self._prior_curvature(self._joined(tau, c))
        values, vectors = np.linalg.eigh(bend)
        held = (vectors * np.maximum(values, 0.0)) @ vectors.T
        return np.linalg.inv(self._positive(np.linalg.inv(covariance) - 0.9 * held))

    def _joined(self, tau: np.ndarray, c: np.ndarray) -> np.ndarray:
        z = np.zeros(self.target.d)
        z[self.outer], z[self.field] = tau, c
        return z

    # --- nodes ---------------------------------------------------------------------------------------------------
    @cached_property
    def frame(self) -> Split:
        """Centre, axes and scales of τ."""
        z, h = self.mode
        a, b = self.outer, self.field
        if self.d == 0:
            return Split(z[a], np.zeros((0, 0)), np.zeros(0), np.zeros(0))
        schur = h[np.ix_(a, a)] - h[np.ix_(a, b)] @ np.linalg.solve(h[np.ix_(b, b)], h[np.ix_(b, a)])
        values, vectors = np.linalg.eigh(self._positive(schur))
        axes = vectors / np.sqrt(values)
        left, right = (self._scales(z[a], axes, side) for side in (-1.0, 1.0))
        return Split(z[a], axes, left, right)

    def _scales(self, centre: np.ndarray, axes: np.ndarray, side: float) -> np.ndarray:
        """Scales of one side: of the normal density that falls as log π̃ does, the slower of two looks."""
        top, out = self.at(centre)[0], np.empty(self.d)
        for j in range(self.d):
            drops = np.array([top - self.at(centre + side * look * axes[:, j])[0] for look in LOOKS])
            out[j] = np.max(LOOKS / np.sqrt(2.0 * np.clip(drops, 1e-3, 1e3)))
        return np.clip(out, NARROW, WIDE)

    def nodes(self, rng: np.random.Generator) -> Nodes:
        """Nodes of τ, with what is there."""
        x, log_share = self._places(rng)
        frame = self.frame
        sides = np.where(x < 0.0, frame.left, np.where(x > 0.0, frame.right, 0.5 * (frame.left + frame.right)))
        tau = frame.centre + (x * sides) @ frame.axes.T
        found = [self.at(t) for t in tau]
        log_density = np.array([f[0] for f in found])
        log_share = log_share + log_density + np.log(sides).sum(axis=1)
        keep = np.flatnonzero(log_share > log_share.max() - LOWEST)
        shares = np.exp(log_share[keep] - np.logaddexp.reduce(log_share[keep]))
        width = WIDTHS.get(self.d) or len(x) ** (-1.0 / (self.d + 4.0))
        spread = frame.axes * (width * sides[keep])[:, None, :]
        roots = np.linalg.cholesky(spread @ np.swapaxes(spread, 1, 2))
        return Nodes(
            tau[keep],
            np.array([f[1] for f in found])[keep],
            np.array([f[2] for f in found])[keep],
            np.array([self._loosened(tau[i], found[i][1], found[i][2]) for i in keep]),
            log_density[keep],
            shares,
            roots,
        )

    def _places(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Nodes in scales, and the logarithm of the volume that each stands for."""
        if self.d == 0:
            return np.zeros((1, 0)), np.zeros(1)
        if self.d <= 2:
            step = 0.75 if self.d == 1 else 1.0
            line = np.arange(-REACH, REACH + 0.5 * step, step)
            x = np.stack(np.meshgrid(*[line] * self.d, indexing="ij"), axis=-1).reshape(-1, self.d)
            return x, np.zeros(len(x))
        if self.d in RULES and self._narrow:
            rule = product_rule(RULES[self.d], self.d)
            return rule.nodes, rule.log_weights + 0.5 * (rule.nodes**2).sum(axis=1)
        unit = Split(np.zeros(self.d), np.eye(self.d), np.ones(self.d), np.ones(self.d))
        x = unit.points(lattice(EVEN if self.target.seconds < DEAR else FEWER, self.d + 2, rng))
        return x, -unit.log_density(x)

    @property
    def _narrow(self) -> bool:
        """Whether neighbouring nodes of a rule are close enough to interpolate between."""
        frame = self.frame
        reach = np.abs(frame.axes) @ np.diag(np.maximum(frame.left, frame.right))
        return bool(np.max(reach) < CLOSE_BY)

    def proposals(self, nodes: Nodes, rng: np.random.Generator) -> tuple[Conditional, Conditional]:
        """τ near the posterior and c given τ; and the same with more in the tails."""
        tails = np.sqrt(nodes.shares)
        wide = Mixture(tails / tails.sum(), nodes.tau, BROADER * nodes.roots)
        if self.d:
            centre, covariance = moments(nodes.tau, nodes.shares)
            all_over = Mixture(np.ones(1), centre[None], ALL_OVER * np.linalg.cholesky(covariance)[None])
            wide = wide.joined(all_over, 0.3)
        narrow = self._sharpened(Mixture(nodes.shares, nodes.tau, nodes.roots), wide, nodes, rng)
        places = self.outer, self.field
        return (
            Conditional(narrow, self.frame, places, nodes.tau, nodes.c, np.linalg.cholesky(nodes.covariance)),
            Conditional(wide, self.frame, places, nodes.tau, nodes.c, BROADER * np.linalg.cholesky(nodes.wide)),
        )

    def _sharpened(self, narrow: Mixture, wide: Mixture, nodes: Nodes, rng: np.random.Generator) -> Mixture:
        """A mixture fitted to points of τ that π̃, interpolated between the nodes, weighs."""
        if self.d == 0 or len(nodes.tau) < self.d + 2:
            return narrow
        parts: list[tuple[Proposal, int]] = [(narrow, INNER // 2), (wide, INNER // 2)]
        tau = propose(parts, self.d, rng)
        mean = 0.5 * (narrow.log_density(tau) - wide.log_density(tau))
        log_q = narrow.log_density(tau) - mean + np.logaddexp(mean, -mean) - np.log(2.0)
        found = between(self.frame, nodes.tau, nodes.log_density[:, None])(tau)[:, 0]
        smooth = psis(np.minimum(found, nodes.log_density.max() + 1.0) - log_q)
        return fitted(tau, smooth.log_weights, OUTER_COMPONENTS)


def nested_points(target: LaplacePosterior, points: int, rng: np.random.Generator) -> tuple[Weighted, int]:
    """Points of z weighted by p̃ over the nodes' mixture, and the number of nodes.

    Where the weights are uneven, a mixture fitted to the points proposes more; every point is weighted by all proposals
    together.
    """
    if target.exact and (found := surface_points(target, max(points, CHEAP_POINTS), rng)):
        return found
    posterior = NestedPosterior(target)
    nodes = posterior.nodes(rng)
    narrow, wide = posterior.proposals(nodes, rng)
    if posterior.d and not posterior._narrow and target.seconds < DEAR:
        points *= LONG_TAILS
    points = 1 << int(np.log2(0.75 * max(points, 96)))  # lattices are good for powers of two
    parts: list[tuple[Proposal, int]] = [(narrow, points), (wide, points // 2)]
    z = np.concatenate([q.points(lattice(n, target.d + 3, rng)) for q, n in parts])
    log_density = target.log_density(z)
    raw, smooth = _weights(z, log_density, parts)
    near = np.flatnonzero(log_density > log_density.max() - LOWEST)
    if target.correct(z[near[np.linspace(0, len(near) - 1, 2 * (target.d + 1) * (target.d + 2)).astype(int)]]):
        assert target.surface is not None
        log_density = log_density + target.surface(z)
        raw, smooth = _weights(z, log_density, parts)
    rounds = 0
    while (smooth.khat[0] > FAIR or smooth.ess[0] < ENOUGH * len(z)) and rounds < ROUNDS:
        rounds += 1
        more: list[tuple[Proposal, int]] = [(fitted(z, smooth.log_weights), points // 2), (wide, points // 8)]
        fresh = np.concatenate([propose(more[:1], target.d, rng), wide.points(lattice(points // 8, target.d + 3, rng))])
        z, log_density = np.concatenate([z, fresh]), np.concatenate([log_density, target.log_density(fresh)])
        parts = [*parts, *more]
        raw, smooth = _weights(z, log_density, parts)
    if smooth.khat[0] > FAIR and target.surface is None and target.seconds < COMPILED:
        from .importance import importance  # looks farther out along every axis

        other = importance(target, points, int(rng.integers(2**32)), points, 2 * points)
        if other.khat < smooth.khat[0]:
            return other, len(nodes.shares)
    top = float(np.max(raw))
    evidence = top + float(np.log(np.mean(np.exp(raw - top))))
    ess = float(smooth.ess[0])
    error = float(np.sqrt(max(1.0 / ess - 1.0 / len(z), 0.0)))
    khat = float(smooth.khat[0])
    weighted = Weighted(
        z, log_density, smooth.log_weights, khat, ess, evidence, error, posterior.mode[0], rounds
    )  # fmt: skip
    return weighted, len(nodes.shares)


def _weights(z: np.ndarray, log_density: np.ndarray, parts: list[tuple[Proposal, int]]) -> tuple[np.ndarray, Smoothed]:
    """Log weights of points over the mixture of all proposals, raw and smoothed."""
    counts = np.array([n for _, n in parts], dtype=float)
    columns = np.column_stack([proposal.log_density(z) for proposal, _ in parts])
    raw = log_density - np.logaddexp.reduce(columns + np.log(counts / counts.sum()), axis=1)
    return raw, psis(raw)


def fitted(z: np.ndarray, log_weights: np.ndarray, components: int = COMPONENTS) -> Mixture:
    """A mixture fitted to weighted points; weights are flattened until enough of them count."""
    power, flat = 1.0, log_weights
    while np.exp(-np.logaddexp.reduce(2.0 * flat)) < 20.0 * z.shape[1] and power > 0.05:
        power *= 0.8
        flat = power * log_weights
        flat = flat - np.logaddexp.reduce(flat)
    effective = float(np.exp(-np.logaddexp.reduce(2.0 * flat)))
    return mixture(z, np.exp(flat), int(np.clip(effective / (15.0 * z.shape[1]), 1, components)))
