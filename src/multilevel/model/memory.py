"""Memory a fit will need, estimated from sizes before anything is allocated."""

from __future__ import annotations

from ..errors import MemoryNeededError
from ..formula.design import Design

SPARE = 0.95


def needed(design: Design) -> float:
    """Bytes beyond the data: cross-products, the factorisation, and row indices."""
    p = len(design.fixed_names) + 1
    total = 0.0
    sizes = []
    for group in design.groups:
        levels, k = len(group.levels), len(group.names)
        total += 3.0 * 8.0 * levels * (k * k + k * p)
        sizes.append(levels * k)
    if len(design.groups) > 1:
        pairs = len(design.groups) * (len(design.groups) - 1) // 2
        total += pairs * design.n * 40.0
    return total + 8192.0 * 8.0 * (p + sum(len(g.names) for g in design.groups))


def available() -> float:
    """Bytes this process may still take: the smaller of free memory and its address-space limit."""
    free = float("inf")
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    free = float(line.split()[1]) * 1024.0
    except OSError:
        pass
    return min(free, _address_space())


def _address_space() -> float:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return float("inf")
        with open("/proc/self/statm", encoding="ascii") as file:
            used = float(file.read().split()[0]) * resource.getpagesize()
        return max(float(limit) - used, 0.0)
    except (ImportError, OSError):
        return float("inf")


def check(design: Design) -> None:
    """Refuse a fit that would not fit into memory."""
    need = needed(design)
    if need < 1e8:  # not worth asking the system
        return
    have = available()
    if need > SPARE * have:
        raise MemoryNeededError(
            f"the fit of {design.n} rows needs about {need / 1e9:.1f} GB and {have / 1e9:.1f} GB are free",
            hint="Use fewer coefficients per group, or aggregate rows that share covariates and groups with weights().",
        )


COPIES = 2.5  # of all draws that exist at once while they are made and kept


def check_draws(design: Design, draws: int) -> None:
    """Refuse draws of all coefficients and group effects that would not fit into memory."""
    numbers = len(design.fixed_names) + sum(len(g.levels) * len(g.names) + len(g.names) ** 2 for g in design.groups)
    need = COPIES * 8.0 * draws * numbers
    if need < 1e8:
        return
    have = available()
    if need > SPARE * have:
        raise MemoryNeededError(
            f"{draws} draws of {numbers} coefficients and effects need about {need / 1e9:.1f} GB and "
            f"{have / 1e9:.1f} GB are free",
            hint=f"Use fewer draws, at most {int(SPARE * have / need * draws)} in all chains.",
        )


def check_effects(need: float) -> None:
    """Refuse draws of group effects that were to be made when asked for, and would not fit into memory."""
    if need > 1e8 and need > SPARE * (have := available()):
        raise MemoryNeededError(
            f"the draws of all group effects need {need / 1e9:.1f} GB and {have / 1e9:.1f} GB are free",
            hint="Tables of parameters and means of effects are there without them; for draws, fit with fewer.",
        )
