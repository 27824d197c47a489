"""Where everything stands during elimination: decided once per model, free of θ.

The factor with the most effects leads and is eliminated level by level. Of the others, factors that contain the
leading one (and each other) come first: a nested chain fills nothing. The rest is ordered by minimum degree
until what remains is dense. See `numerics/elimination.py` for the arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.cross_products import CrossProducts, FactorProducts

FEW_SPARSE = 0.02  # share of the nodes below which eliminating them first gains nothing
MOST_NODES = 20_000  # bit-set rows of the ordering: 50 MB at this size


@dataclass(frozen=True)
class Pattern:
    """Index arrays of one model's elimination (names as in `numerics/elimination.py`)."""

    lead: int
    trail: tuple[int, ...]
    at: np.ndarray
    col: np.ndarray
    T: np.ndarray
    where: np.ndarray
    width: np.ndarray
    shift: np.ndarray
    group: np.ndarray
    block: np.ndarray
    begin: np.ndarray
    high: np.ndarray
    low: np.ndarray
    target: np.ndarray
    diagonal: np.ndarray
    border: np.ndarray
    place: tuple[np.ndarray, ...]  # first scalar of each level of the trailing factors, in `trail`'s order
    colptr: np.ndarray
    rows: np.ndarray
    ns: int
    nt: int

    @property
    def sbase(self) -> int:
        return int(self.colptr[-1])

    @property
    def n_trailing(self) -> int:
        return self.ns + self.nt


def pattern(products: CrossProducts) -> Pattern:
    """Choose the order and lay out the arrays."""
    factors = products.factors
    if not factors:
        return _no_groups(products)
    lead = _leading(products)
    others = [f for f in range(len(factors)) if f != lead]
    chain = _chain(products, lead, others)
    trail = tuple(chain + [f for f in others if f not in chain])
    if not trail:
        return _one_factor(products, lead)
    return _crossed(products, lead, trail, len(chain))


def _empty(lead: int, factor: FactorProducts | None, m: int) -> Pattern:
    levels, k = (factor.n_levels, factor.k) if factor else (0, 1)
    i4, i8, f8 = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0)
    return Pattern(
        lead=lead, trail=(), at=np.zeros(levels + 1, np.int64), col=i4, T=np.zeros((0, k)), where=i8, width=i4,
        shift=i4, group=i4, block=f8, begin=i8, high=i4, low=i4, target=i8, diagonal=i8, border=np.zeros((0, m)),
        place=(), colptr=np.zeros(1, np.int64), rows=i4, ns=0, nt=0,
    )  # fmt: skip


def _no_groups(products: CrossProducts) -> Pattern:
    return _empty(-1, None, products.p + 1)


def _one_factor(products: CrossProducts, lead: int) -> Pattern:
    return _empty(lead, products.factors[lead], products.p + 1)


def _pair(products: CrossProducts, a: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR over the levels of `a`: start, level of `b`, block (k_a, k_b); transposed when stored the other way."""
    if (a, b) in products.pairs:
        pair = products.pairs[a, b]
        return pair.start, pair.other, pair.block
    pair = products.pairs[b, a]
    first = np.repeat(np.arange(len(pair.start) - 1, dtype=np.int32), np.diff(pair.start))
    order = np.argsort(pair.other, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(pair.other, minlength=products.factors[a].n_levels))])
    return start.astype(np.int64), first[order], np.ascontiguousarray(pair.block[order].transpose(0, 2, 1))


def _contains(products: CrossProducts, inner: int, outer: int) -> bool:
    """Whether every level of `inner` meets exactly one level of `outer`."""
    return bool(np.all(np.diff(_pair(products, inner, outer)[0]) == 1))


def _leading(products: CrossProducts) -> int:
    """The factor with the most effects, or the finest factor nested in it."""
    factors = products.factors
    lead = max(range(len(factors)), key=lambda f: (factors[f].n_levels * factors[f].k, factors[f].n_levels))
    finer = [f for f in range(len(factors)) if f != lead and factors[f].n_levels > factors[lead].n_levels]
    for f in sorted(finer, key=lambda f: -factors[f].n_levels):
        if _contains(products, f, lead):
            return f
    return lead


def _chain(products: CrossProducts, lead: int, others: list[int]) -> list[int]:
    """Factors f₂ ⊃ f₁, f₃ ⊃ f₂, … above the leading one, smallest groups first."""
    factors = products.factors
    chain: list[int] = []
    below = lead
    for f in sorted(others, key=lambda f: -products.factors[f].n_levels):
        if factors[f].n_levels < factors[below].n_levels and _contains(products, below, f):
            chain.append(f)
            below = f
    return chain


def _crossed(products: CrossProducts, lead: int, trail: tuple[int, ...], n_chain: int) -> Pattern:
    from ..numerics import ordering as kernels
    from ..numerics.layout import expand_columns, merge_borders, pair_positions

    factors = products.factors
    leading = [_pair(products, lead, f) for f in trail]
    first_node = np.concatenate([[0], np.cumsum([factors[f].n_levels for f in trail])]).astype(np.int64)
    n_nodes = int(first_node[-1])
    node_k = np.concatenate([np.full(factors[f].n_levels, factors[f].k, np.int32) for f in trail])
    inner = _inner_pairs(products, trail, first_node)
    n_chain_nodes = int(first_node[n_chain])
    order, struct_start, struct = _order_nodes(kernels, leading, inner, first_node, n_nodes, n_chain_nodes, n_chain)
    rank = np.empty(n_nodes, np.int64)
    done = np.zeros(n_nodes, bool)
    done[order] = True
    rank[order] = np.arange(len(order))
    rank[~done] = len(order) + np.arange(n_nodes - len(order))
    by_rank = np.argsort(rank)
    first_scalar_by_rank = np.concatenate([[0], np.cumsum(node_k[by_rank])])
    scalar = first_scalar_by_rank[rank].astype(np.int32)  # first scalar of each node
    ns = int(first_scalar_by_rank[len(order)])
    n2 = int(first_scalar_by_rank[-1])
    nt = n2 - ns
    colptr, rows = expand_columns(order, struct_start, struct, scalar, node_k, ns)
    sbase = int(colptr[-1])
    # columns per scalar
    node_factor = np.repeat(np.arange(len(trail), dtype=np.int32), [factors[f].n_levels for f in trail])
    ks = np.array([factors[f].k for f in trail], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(ks * ks)])[:-1]
    node_of = np.repeat(by_rank, node_k[by_rank])
    width = node_k[node_of].astype(np.int32)
    shift = offsets[node_factor[node_of]].astype(np.int32)
    place = tuple(scalar[first_node[i] : first_node[i + 1]] for i in range(len(trail)))
    at, col, T = _borders(merge_borders, leading, place, ks, factors[lead].k)
    where = (
        pair_positions(at, col, colptr, rows, ns, nt, sbase) if ns else np.zeros(0, np.int64)
    )
    block, begin, high, low = _blocks(products, trail, inner, place)
    target = _targets(begin, high, low, width, colptr, rows, ns, nt, sbase)
    diagonal = np.concatenate([colptr[:-1], sbase + np.arange(nt, dtype=np.int64) * (nt + 1)])
    border = np.empty((n2, products.p + 1))
    for i, f in enumerate(trail):
        index = place[i][:, None] + np.arange(factors[f].k)
        border[index] = factors[f].cross
    return Pattern(
        lead=lead, trail=trail, at=at, col=col, T=T, where=where, width=width, shift=shift, group=shift.copy(),
        block=block, begin=begin, high=high, low=low, target=target, diagonal=diagonal.astype(np.int64),
        border=border, place=place, colptr=colptr, rows=rows, ns=ns, nt=nt,
    )  # fmt: skip


def _inner_pairs(
    products: CrossProducts, trail: tuple[int, ...], first_node: np.ndarray
) -> list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Meeting levels of two trailing factors: (i, j, nodes of i, nodes of j, blocks)."""
    result = []
    for i in range(len(trail)):
        for j in range(i + 1, len(trail)):
            start, other, block = _pair(products, trail[i], trail[j])
            rows = np.repeat(np.arange(len(start) - 1), np.diff(start))
            result.append((i, j, rows + first_node[i], other + first_node[j], block))
    return result


def _order_nodes(kernels, leading, inner, first_node, n_nodes, n_chain_nodes, n_chain):  # type: ignore[no-untyped-def]
    """Eliminated nodes in order with the neighbours of each; the nodes left out form the dense tail."""
    n_rest = n_nodes - n_chain_nodes
    chain = _chain_structs(leading, inner, first_node, n_chain) if n_chain else []
    if n_rest > MOST_NODES or n_rest == 0:
        rest_order = np.zeros(0, np.int32)
        rest_start, rest_struct = np.zeros(1, np.int64), np.zeros(0, np.int32)
    else:
        adjacency = np.zeros((n_rest, (n_rest + 63) // 64), np.uint64)
        start, members = _rest_cliques(leading, n_chain, first_node)
        kernels.connect_groups(adjacency, start, members)
        for _, _, a, b, _ in inner:
            keep = (a >= n_chain_nodes) & (b >= n_chain_nodes)
            pairs = np.column_stack([a[keep], b[keep]]) - n_chain_nodes
            kernels.connect_groups(
                adjacency, 2 * np.arange(len(pairs) + 1, dtype=np.int64), pairs.ravel().astype(np.int32)
            )
        for neighbours in chain:
            rest = np.array([v - n_chain_nodes for v in neighbours if v >= n_chain_nodes], dtype=np.int32)
            if len(rest) > 1:
                kernels.connect_groups(adjacency, np.array([0, len(rest)], np.int64), rest)
        rest_order, rest_start, rest_struct = kernels.minimum_degree(adjacency, kernels.DENSE)
        if len(rest_order) < FEW_SPARSE * n_rest and not n_chain:
            # a tail without sparse columns before it is addressed without a table of positions
            rest_order, rest_start, rest_struct = rest_order[:0], rest_start[:1], rest_struct[:0]
    chain_sizes = np.array([len(c) for c in chain], dtype=np.int64)
    chain_flat = np.concatenate(chain).astype(np.int32) if chain else np.zeros(0, np.int32)
    order = np.concatenate([np.arange(n_chain_nodes, dtype=np.int32), rest_order + np.int32(n_chain_nodes)])
    start = np.concatenate([[0], np.cumsum(chain_sizes)])
    start = np.concatenate([start, start[-1] + rest_start[1:]]).astype(np.int64)
    struct = np.concatenate([chain_flat, rest_struct + np.int32(n_chain_nodes)]).astype(np.int32)
    return order.astype(np.int32), start, struct


def _rest_cliques(leading, n_chain, first_node):  # type: ignore[no-untyped-def]
    """Nodes outside the chain that each leading level meets, numbered from the first of them."""
    parts = leading[n_chain:]
    offset = first_node[n_chain]
    owner = np.concatenate([np.repeat(np.arange(len(s) - 1), np.diff(s)) for s, _, _ in parts])
    node = np.concatenate([o + (first_node[n_chain + i] - offset) for i, (_, o, _) in enumerate(parts)])
    order = np.argsort(owner, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(parts[0][0]) - 1))]).astype(np.int64)
    return start, node[order].astype(np.int32)


def _chain_structs(leading, inner, first_node, n_chain):  # type: ignore[no-untyped-def]
    """Neighbours of every chain node once those below it are gone: its ancestors and the crossed levels it meets."""
    links: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for i, j, a, b, _ in inner:
        if i < n_chain:
            links.setdefault(i, []).append((a - first_node[i], b))
        elif j < n_chain:
            links.setdefault(j, []).append((b - first_node[j], a))
    structs: list[np.ndarray] = []
    for i in range(n_chain):
        n = int(first_node[i + 1] - first_node[i])
        pairs = links.get(i, [])
        owner = np.concatenate([p[0] for p in pairs]) if pairs else np.zeros(0, np.int64)
        node = np.concatenate([p[1] for p in pairs]) if pairs else np.zeros(0, np.int64)
        order = np.lexsort((node, owner))
        bounds = np.concatenate([[0], np.cumsum(np.bincount(owner.astype(np.int64), minlength=n))])
        node = node[order]
        structs.extend(node[bounds[v] : bounds[v + 1]] for v in range(n))
    return structs


def _borders(merge, leading, place, ks, k1):  # type: ignore[no-untyped-def]
    """The leading levels' borders as scalars in ascending order, with the raw Z_ℓ'Z_m beside them."""
    sizes = sum(np.diff(start) * ks[i] for i, (start, _, _) in enumerate(leading))
    at = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    col = np.empty(int(at[-1]), np.int32)
    T = np.empty((int(at[-1]), k1))
    fill = at[:-1].copy()
    for i, (start, other, block) in enumerate(leading):
        merge(start, np.ascontiguousarray(place[i][other]), block, fill, col, T)
    from ..numerics.layout import sort_borders

    sort_borders(at, col, T)
    return at, col, T


def _blocks(products, trail, inner, place):  # type: ignore[no-untyped-def]
    """Raw blocks of the trailing matrix: each level's own, then those of meeting levels, higher scalar first."""
    values, sizes, high, low = [], [], [], []
    for i, f in enumerate(trail):
        factor = products.factors[f]
        values.append(factor.gram.reshape(-1))
        sizes.append(np.full(factor.n_levels, factor.k * factor.k))
        high.append(place[i])
        low.append(place[i])
    flat_place = np.concatenate(place)
    for _, _, a, b, block in inner:
        ka, kb = block.shape[1], block.shape[2]
        pa, pb = flat_place[a], flat_place[b]
        swap = pa < pb
        forward, backward = block[~swap], block[swap].transpose(0, 2, 1)
        values += [forward.reshape(-1), np.ascontiguousarray(backward).reshape(-1)]
        sizes.append(np.full(len(block), ka * kb))
        high += [pa[~swap], pb[swap]]
        low += [pb[~swap], pa[swap]]
    begin = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])[:-1].astype(np.int64)
    return (
        np.ascontiguousarray(np.concatenate(values)),
        begin,
        np.concatenate(high).astype(np.int32),
        np.concatenate(low).astype(np.int32),
    )


def _targets(begin, high, low, width, colptr, rows, ns, nt, sbase):  # type: ignore[no-untyped-def]
    from ..numerics.layout import block_positions

    total = int(begin[-1] + int(width[high[-1]]) * int(width[low[-1]])) if len(begin) else 0
    return block_positions(begin, high, low, width, colptr, rows, ns, nt, sbase, total)
