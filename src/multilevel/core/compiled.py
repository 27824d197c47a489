"""Log densities in compiled code: what samplers are handed, and the parts that all of them have.

Priors have kernels by name (`numerics/densities.py`), covariances where coefficients are independent or freely
correlated. Where one is missing the density stays that of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..priors.base import Cut, Prior
from ..priors.terms import Separate
from .correlations import Correlated, Independent

if TYPE_CHECKING:
    from .coordinates import Coordinates


class Compiled:
    """Density and gradient of one point after the other.

    Parameters
    ----------
    density : kernel of (`at`, `reals`, point, gradient to be filled) that returns the log density
    fields : its arrays, by name, in its order
    d : number of coordinates

    Notes
    -----
    Not thread-safe: each evaluation overwrites one workspace.
    """

    def __init__(self, density: Any, fields: dict[str, np.ndarray], d: int) -> None:
        from ..numerics import packed

        self.density, self.d, self.view = density, d, packed.view
        self.at, self.reals = packed.pack(list(fields.values()))
        self.names = list(fields)

    def gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(x | y) of a point (d,) and its derivatives."""
        slope = np.empty(self.d)
        return self.density(self.at, self.reals, np.ascontiguousarray(x, dtype=float), slope), slope

    def left(self, x: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """Real fields, flat, as points (N, d) leave them behind: (N, ·) each."""
        views = [self.view(self.at, self.reals, self.names.index(name)) for name in names]
        out = [np.empty((len(x), len(v))) for v in views]
        for i, point in enumerate(x):
            self.gradient(point)
            for to, v in zip(out, views, strict=True):
                to[i] = v
        return out


def of_priors(at: Coordinates) -> dict[str, Any] | None:
    """Items, their parameters, directions and the sum of constants; None where one has no kernel."""
    found: list[tuple[int, int, Prior, int]] = []  # link, place, prior, place of its scale
    for b, part, term in zip(at.blocks, at.parts, at.priors.terms, strict=True):
        if not isinstance(b, Independent | Correlated) or type(term) is not Separate:
            return None
        found += [(LINK_OF_SD, part.start + j, prior, -1) for j, prior in enumerate(term.sds)]
    if at.sigma >= 0:
        found.append((LINK_OF_SD, at.sigma, at.priors.constants["sigma"], -1))
    found += [(LINK_OF_SD, at.extras.start + j, prior, -1) for j, (_, prior) in enumerate(at.priors.extras)]
    linear = at.priors.linear if at.coefficients.stop > at.coefficients.start else ()  # else they are integrated out
    directions = np.zeros((len(linear), at.to_beta.shape[1]))
    if any(item.local >= 0 for item in linear):
        return None
    for j, item in enumerate(linear):
        directions[j] = item.direction @ at.to_beta
        found.append((-1, j, item.prior, at.extras.start + item.scale if item.scale >= 0 else -1))
    from ..numerics.densities import LINKS

    for name, link, place in at.constants:
        if name in at.priors.constants:
            if link not in LINKS:
                return None
            found.append((LINKS[link], at.coefficients.start + place, at.priors.constants[name], -1))
    lines = [_density(prior) for _, _, prior, _ in found]
    if any(line is None for line in lines):
        return None
    known = [line for line in lines if line is not None]
    items = [(link, place, line[0], scale) for (link, place, _, scale), line in zip(found, known, strict=True)]
    return {
        "items": np.array(items, np.int64).reshape(-1, 4),
        "parameters": np.array([line[1] for line in known], dtype=float).reshape(-1, 5),
        "directions": directions,
        "constant": sum(line[2] for line in known),
    }


LINK_OF_SD = 1  # log


def _density(prior: Prior) -> tuple[int, list[float], float] | None:
    """Code, parameters with limits, and the constant that the kernel leaves out."""
    from ..numerics.densities import CODES, density

    low, high = (prior.lower, prior.upper) if isinstance(prior, Cut) else (-np.inf, np.inf)
    whole = prior.whole if isinstance(prior, Cut) else prior
    name, given = whole.name, list(whole.parameters.values())
    if name == "pc":
        name, given = "exponential", [whole.rate]  # type: ignore[attr-defined]
    if name not in CODES:
        return None
    three = [*given, 0.0, 0.0, 0.0][:3]
    begin, end = prior.support
    begin, end = max(begin, min(end, 0.0) - 1.0), min(end, max(begin, 0.0) + 2.0)
    inside = 0.5 * (begin + end)  # some point of its support
    constant = float(prior.log_density(np.array([inside]))[0]) - density(CODES[name], *three, inside)[0]
    return CODES[name], [*three, low, high], constant


def of_terms(at: Coordinates, factors: Sequence[Any], inside: Sequence[np.ndarray]) -> dict[str, Any]:
    """The table of terms, their maps and LKJ powers one after the other, and the constants of these."""
    place = {t: (j, first) for j, f in enumerate(factors) for t, first, _ in f.terms}
    table, constant = [], 0.0
    maps: list[np.ndarray] = [np.zeros(0)]
    powers: list[np.ndarray] = [np.zeros(0)]
    for t, (b, part, prior) in enumerate(zip(at.blocks, at.parts, at.priors.terms, strict=True)):
        ends = sum(len(m) for m in maps), sum(len(p) for p in powers)
        kind = int(isinstance(b, Correlated))
        table.append((kind, b.k, part.start, *place[t], *ends))
        maps.append(np.ravel(inside[t]))
        if isinstance(b, Correlated):
            powers.append(b._powers(prior.eta))
            nowhere = np.zeros((1, b.d))
            constant += float(b.correlation_prior(nowhere, prior.eta)[0][0])
    terms = np.array(table, np.int64).reshape(-1, 7)
    return {"terms": terms, "maps": np.concatenate(maps), "powers": np.concatenate(powers), "constant": constant}
