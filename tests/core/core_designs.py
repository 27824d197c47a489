"""Small random designs of every shape, and the slow truth about them: the marginal covariance matrix V."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multilevel.core.likelihood import Likelihood
from multilevel.data.cross_products import cross_products
from multilevel.formula.design import Design, GroupColumns
from multilevel.registry import member
from multilevel.scales.base import Scale

NAMES = ("Intercept", "x1", "x2", "x3", "x4", "x5", "x6", "x7")


def group(label: str, codes: np.ndarray, columns: list, scale: str = "unstructured", **options: object) -> GroupColumns:
    """A term; `codes` need not be contiguous."""
    levels, index = np.unique(codes, return_inverse=True)
    names = tuple("Intercept" if c is None else f"z{j}" for j, c in enumerate(columns))
    return GroupColumns(
        label, names, tuple(columns), index.astype(np.int32), tuple(map(str, levels)), scale, tuple(options.items())
    )


def design(y: np.ndarray, fixed: list, groups: list[GroupColumns], **rest: object) -> Design:
    names = tuple(f"f{j}" for j in range(len(fixed)))
    return Design("y", np.asarray(y, float), names, tuple(fixed), tuple(groups), **rest)  # type: ignore[arg-type]


def scales(d: Design) -> list[Scale]:
    return [member("scales", g.scale)(len(g.names), **dict(g.options)) for g in d.groups]


def likelihood(d: Design, reml: bool) -> Likelihood:
    products = cross_products(d)
    known = None if d.known_se is None else 1.0 / products.y_shift.scale**2
    return Likelihood(products, scales(d), reml, known)


def external_lam(lik: Likelihood, theta: np.ndarray) -> list[np.ndarray]:
    """Each term's λ for the columns as they are, from θ for the centred and scaled ones."""
    return [
        to @ s.factor(theta[part]) for to, s, part in zip(lik.products.to_effects, lik.scales, lik.slices, strict=True)
    ]


def covariance(d: Design, lam: list[np.ndarray]) -> np.ndarray:
    """V / σ², row by row."""
    w = np.ones(d.n) if d.weights is None else d.weights
    v = np.diag(1.0 / w) if d.known_se is None else np.diag(d.known_se**2 / w)
    for g, factor in zip(d.groups, lam, strict=True):
        z = np.column_stack([np.ones(d.n) if c is None else c for c in g.columns])
        v += (z @ factor @ factor.T @ z.T) * (g.codes[:, None] == g.codes[None, :])
    return v


def dense_value(d: Design, lam: list[np.ndarray], reml: bool) -> tuple[float, np.ndarray, float]:
    """(d, β̂, σ̂²) by the textbook formula."""
    v = covariance(d, lam)
    x = (
        np.column_stack([np.ones(d.n) if c is None else c for c in d.fixed_columns])
        if d.fixed_columns
        else np.zeros((d.n, 0))
    )
    y = d.response if d.offset is None else d.response - d.offset
    inverse = np.linalg.inv(v)
    xvx = x.T @ inverse @ x
    beta = np.linalg.solve(xvx, x.T @ inverse @ y) if x.shape[1] else np.zeros(0)
    r = y - x @ beta
    rvr = float(r @ inverse @ r)
    nu = d.n - (x.shape[1] if reml else 0)
    sigma2 = 1.0 if d.known_se is not None else rvr / nu
    value = float(np.linalg.slogdet(v)[1]) + nu * float(np.log(2 * np.pi * sigma2)) + rvr / sigma2
    if reml and x.shape[1]:
        value += float(np.linalg.slogdet(xvx)[1])
    return value, beta, sigma2


def simulate(d: Design, seed: int, sd: float = 1.0) -> Design:
    """The same design with a response from a model with these groups."""
    rng = np.random.default_rng([seed, 12345])  # not the stream of the columns: their noise would be the same numbers
    y = 3.0 + rng.standard_normal(d.n)
    for g in d.groups:
        for c in g.columns:
            b = sd * rng.standard_normal(len(g.levels))
            y = y + b[g.codes] * (1.0 if c is None else c)
    for j, c in enumerate(d.fixed_columns):
        y = y + 0.5 * (j + 1) * (1.0 if c is None else c)
    return replace(d, response=y)


def numbers(n: int, seed: int) -> list[np.ndarray]:
    """Columns for slopes: far from zero on average, of different sizes."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n) * 2.0**j + j for j in range(1, 8)]


def chain(sizes: list[int], n: int, seed: int) -> list[np.ndarray]:
    """Codes of a nested chain, finest first; every level occurs, group sizes differ."""
    rng = np.random.default_rng(seed)
    codes = [np.concatenate([np.arange(sizes[0]), rng.integers(0, sizes[0], n - sizes[0])])]
    for size in sizes[1:]:
        previous = int(codes[-1].max()) + 1
        parent = np.concatenate([np.arange(size), rng.integers(0, size, previous - size)])
        codes.append(parent[codes[-1]])
    return codes


def crossed(sizes: list[int], n: int, seed: int) -> list[np.ndarray]:
    """Codes of crossed factors; every level occurs."""
    rng = np.random.default_rng(seed)
    return [np.concatenate([np.arange(s), rng.integers(0, s, n - s)]) for s in sizes]


def cases() -> dict[str, Design]:
    """One design of each kind."""
    out: dict[str, Design] = {}

    def add(name: str, n: int, fixed: list, groups: list[GroupColumns], **rest: object) -> None:
        out[name] = simulate(design(np.zeros(n), fixed, groups, **rest), seed=len(out))

    n = 90
    x = numbers(n, 1)
    rng = np.random.default_rng(2)
    one = chain([12], n, 3)[0]
    for k in (1, 2, 3, 4, 5):
        add(f"one factor, k={k}", n, [None, x[0]], [group("g", one, [None, *x[: k - 1]])])
    add("slope only", n, [None, x[0]], [group("g", one, [x[0]])])
    add("diagonal", n, [None, x[0]], [group("g", one, [None, x[0], x[1]], "diagonal")])
    add(
        "compound symmetry",
        n,
        [None],
        [group("g", one, [(np.arange(n) % 3 == j) * 1.0 for j in range(3)], "compound_symmetry")],
    )
    hom = [(np.arange(n) % 3 == j) * 1.0 for j in range(3)]
    add("homogeneous", n, [None], [group("g", one, hom, "compound_symmetry", hom=True)])
    add("no fixed part", n, [], [group("g", one, [None, x[0]])])
    add("two terms on one factor", n, [None, x[0]], [group("g", one, [None, x[1]]), group("g", one, [x[2]])])
    fine, middle, coarse = chain([24, 9, 4], n, 4)
    add(
        "chain of three",
        n,
        [None, x[0]],
        [group("c", coarse, [None]), group("a", fine, [None]), group("b", middle, [None])],
    )
    add(
        "chain with slopes", n, [None, x[0]],
        [group("a", fine, [None, x[0]]), group("b", middle, [None, x[1], x[2]]), group("c", coarse, [None])],
    )  # fmt: skip
    a, b, c = crossed([15, 8, 5], n, 5)
    add("crossed two", n, [None, x[0]], [group("a", a, [None]), group("b", b, [None])])
    add("crossed three", n, [None, x[0]], [group("a", a, [None]), group("b", b, [None]), group("c", c, [None])])
    add("crossed with slopes", n, [None, x[0]], [group("a", a, [None, x[0]]), group("b", b, [None, x[1]])])
    add(
        "nested and crossed", n, [None, x[0], x[1]],
        [group("a", fine, [None, x[0]]), group("b", middle, [None]), group("d", b, [None, x[1]]),
         group("e", c, [None])],
    )  # fmt: skip
    add(
        "weights",
        n,
        [None, x[0]],
        [group("a", a, [None, x[0]]), group("b", b, [None])],
        weights=rng.uniform(0.1, 9.0, n),
    )
    add("offset", n, [None, x[0]], [group("a", a, [None])], offset=x[2])
    add("known standard errors", n, [None, x[0]], [group("a", a, [None])], known_se=rng.uniform(0.5, 2.0, n))
    sparse = crossed([60, 40, 30], 120, 6)
    add("sparse crossed", 120, [None], [group(f"s{j}", codes, [None]) for j, codes in enumerate(sparse)])
    y = numbers(120, 7)
    add(
        "sparse crossed with slopes", 120, [None, y[0]],
        [group("s0", sparse[0] % 30, [None, y[0]]), group("s1", sparse[1] % 20, [None, y[1]]),
         group("s2", sparse[2], [None])],
    )  # fmt: skip
    return out
