"""Groups of two kinds: standardised effects that two normals describe better than one.

    D = 2 [max log L(weight, two means, one sd) − max log L(one normal)]    against simulated normals of the same size

The chance distribution of D is no χ² (under one kind the weights mean nothing), so it is simulated. An alarm needs two
clearly separate kinds, means at least 2.5 of their standard deviations apart, each with a tenth of the levels.

Reference: McLachlan (1987), Appl. Statist. 36, 318-324.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import listed, printable
from ..base import ALPHA, Finding, holm, p_text, percent, quote
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case, Effects

LEAST_LEVELS, MOST_LEVELS = 20, 2000
DRAWS = 199
APART, LEAST_WEIGHT = 2.5, 0.1
SEEN = 0.3  # levels whose own effect is shrunk away beyond this say nothing about kinds
STEPS = 60


@dataclass(frozen=True)
class Mixture(Advice):
    """Asks the effects of every coefficient whether they come from two kinds of levels."""

    def after(self, case: Case) -> list[Finding]:
        stars = [None] * len(case.effects) if case.null is None else case.null.effects
        given = [(e, e.weight > SEEN, star) for e, star in zip(case.effects, stars, strict=True)]
        given = [g for g in given if int(g[1].sum()) >= LEAST_LEVELS]
        if not given:
            return []
        rng = np.random.default_rng(case.seed)
        tests = [_test(e, seen, star, rng) for e, seen, star in given]
        asked = [(e, seen) for e, seen, _ in given]
        p = holm([t.p_value for t in tests])
        found = zip(p, asked, tests, strict=True)
        hits = [(float(q), e, seen, t) for q, (e, seen), t in found if q < ALPHA and t.separate]
        if hits:
            return [_finding(*hit) for hit in hits]
        text = f"one normal describes the effects of every coefficient (smallest {p_text(float(p.min()))})."
        return [Finding("N_MIXTURE", "ok", "groups are of one kind", text, values={"p_value": float(p.min())})]


@dataclass(frozen=True)
class TwoKinds:
    """Two normals with one standard deviation: weight of the upper one, means, sd, and how they compare with one."""

    weight: float
    means: tuple[float, float]
    sd: float
    ratio: float
    p_value: float
    upper: np.ndarray

    @property
    def separate(self) -> bool:
        """Whether there are two clearly separate kinds of some size."""
        apart = abs(self.means[1] - self.means[0]) > APART * self.sd
        return apart and LEAST_WEIGHT < self.weight < 1.0 - LEAST_WEIGHT


def _test(effects: Effects, seen: np.ndarray, star: np.ndarray | None, rng: np.random.Generator) -> TwoKinds:
    """`star` are replicated effects (L, draws), where these need not be normal; normal ones are drawn otherwise."""
    places = np.flatnonzero(seen)
    if len(places) > MOST_LEVELS:
        places = np.sort(rng.choice(places, MOST_LEVELS, replace=False))
    z = effects.z[places]
    ratio, weight, low, high, sd, upper = _two(z[None])
    null = _two(rng.standard_normal((DRAWS, len(z))) if star is None else star[places].T)[0]
    # the tail of the simulated ratios continued by an exponential with the upper half's mean excess
    middle = float(np.median(null))
    excess = max(float(np.mean(null[null > middle] - middle)), 1e-9)
    p = 0.5 * float(np.exp(-(ratio[0] - middle) / excess)) if ratio[0] > middle else float(np.mean(null >= ratio[0]))
    return TwoKinds(float(weight[0]), (float(low[0]), float(high[0])), float(sd[0]), float(ratio[0]), p, upper[0] > 0.5)


def _two(z: np.ndarray) -> tuple[np.ndarray, ...]:
    """Two normals fitted by EM to each row from several starts: ratio, weight, means, sd, memberships."""
    best: tuple[np.ndarray, ...] | None = None
    for share in (0.2, 0.5, 0.8):
        found = _em(z, z > np.quantile(z, 1.0 - share, axis=1, keepdims=True))
        best = found if best is None else _better(best, found)
    assert best is not None
    one = -0.5 * z.shape[1] * (np.log(2.0 * np.pi * z.var(axis=1)) + 1.0)
    return (2.0 * (best[0] - one), *best[1:])


def _better(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Row by row the fit of the greater likelihood."""
    take = b[0] > a[0]
    return tuple(np.where(take if x.ndim == 1 else take[:, None], y, x) for x, y in zip(a, b, strict=True))


def _em(z: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, ...]:
    r = np.where(start, 0.9, 0.1)
    for _ in range(STEPS):
        w = np.clip(r.mean(axis=1), 1e-6, 1.0 - 1e-6)
        high = (r * z).sum(axis=1) / r.sum(axis=1)
        low = ((1.0 - r) * z).sum(axis=1) / (1.0 - r).sum(axis=1)
        d1, d0 = (z - high[:, None]) ** 2, (z - low[:, None]) ** 2
        var = np.maximum((r * d1 + (1.0 - r) * d0).mean(axis=1), 1e-6)[:, None]
        odds = np.log(w / (1.0 - w))[:, None] + 0.5 * (d0 - d1) / var
        r = np.clip(1.0 / (1.0 + np.exp(-np.clip(odds, -500.0, 500.0))), 1e-9, 1.0 - 1e-9)
    density = w[:, None] * np.exp(-0.5 * d1 / var) + (1.0 - w[:, None]) * np.exp(-0.5 * d0 / var)
    total = np.log(np.maximum(density / np.sqrt(2.0 * np.pi * var), 1e-300)).sum(axis=1)
    return total, w, low, high, np.sqrt(var[:, 0]), r


def _finding(p: float, effects: Effects, seen: np.ndarray, test: TwoKinds) -> Finding:
    levels = np.array(effects.levels, dtype=object)[seen]
    smaller = test.upper if test.weight < 0.5 else ~test.upper
    members = levels[: len(smaller)][smaller] if len(smaller) == len(levels) else levels[:0]
    share = min(test.weight, 1.0 - test.weight)
    named = f" ({listed(members, 3)})" if len(members) else ""
    apart = (test.means[1] - test.means[0]) * effects.sd
    text = (
        f"effects of {printable(effects.term, 30)} by {quote(effects.label)} form two kinds about {apart:.3g} apart; "
        f"the smaller holds {percent(share)} of the levels{named}; {p_text(p)}."
    )
    remedy = (
        "Find what tells the kinds apart and add it as a predictor; one normal distribution shrinks both to a middle "
        "where no level is."
    )
    values = {"group": effects.label, "term": effects.term, "p_value": p, "share": share, "distance": apart}
    return Finding("N_MIXTURE", "problem", f"two kinds of {quote(effects.label)}", text, remedy, values)


MEMBER = Mixture()
