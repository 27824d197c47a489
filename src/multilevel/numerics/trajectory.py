"""Trajectories of the No-U-Turn sampler on compiled densities, from end to end: kernels.

What a trajectory is stands in `samplers/walker.py`, which walks on any density, and is the test: with the same random
numbers both come to the same point. A state is five rows (q, p, v, g, w): point, momentum, velocity v = Σp, gradient of
the log density and w = Σg, from which v follows p without another product.

Reference of the random numbers: Steele, Lea & Flood (2014), OOPSLA (splitmix64).
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .packed import INSIDE, line, table

DIVERGENT, COARSE, HALVINGS = 1000.0, 2.0, 8  # as in `samplers/walker.py`
VALUE, ENERGY, ACCEPTANCE, DEPTH, STEPS, DIVERGED, ENERGIES = range(7)  # in `found`; ENERGIES: of both ends
KEPT, CHOSEN, ENDS, NOW, TRIAL, BEHIND, NEAR, WHOLE, HALF, RHO, HELD = 0, 2, 4, 14, 19, 24, 29, 31, 32, 33, 34
TARGET, MU, ERROR, LOG_MEAN, COUNT, NOW_SIZE = range(6)  # of a step size
GAMMA, KAPPA, T0 = 0.05, 0.75, 10.0  # as in `samplers/adaptation.py`
WELL, TURNED, BARRED, DIVERGES = range(4)
COVARIANCE, ROOT, SCALE, DIRECTIONS, EXCESS, INVERSE_EXCESS = range(6)  # fields of a metric
I8, V, M2 = "int64[::1]", "float64[::1]", "float64[:, ::1]"
DENSITY = f"FunctionType(float64({I8}, {V}, {V}, {V}))"  # its arrays, a point, the gradient to be filled; log density
METRIC = f"{I8}, {V}"


def leaves(d, max_depth):
    """The table of a chain that trajectories of so many doublings work in: rows of d numbers.

    KEPT, CHOSEN: q and g of the draw, of the whole and of its newest half. ENDS, NOW, TRIAL, BEHIND: states. NEAR: p
    and v of the newest half's first leaf. WHOLE, HALF: sums of momenta. HELD: of leaves that began subtrees p, v, the
    sum of momenta, and p and v of the leaf before.
    """
    return np.zeros((HELD + 5 * (max_depth + 1), d))


@kernel("float64(uint64[::1])", **INSIDE)
def uniform(seed):
    """A number from [0, 1)."""
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    z = seed[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel(f"float64({V}, {V})", fastmath={"reassoc"}, **INSIDE)
def dot(a, b):
    """a'b."""
    s = 0.0
    for i in range(len(a)):
        s += a[i] * b[i]
    return s


@kernel(f"void({M2}, int64, int64, int64)", **INSIDE)
def copy(tree, begin, to, count):
    """Some rows to others. (Assignments of slices say the same, and take ten times as long to compile.)"""
    for j in range(count):
        for i in range(tree.shape[1]):
            tree[to + j, i] = tree[begin + j, i]


@kernel("float64(float64, float64)", **INSIDE)
def log_add(a, b):
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -np.inf else high + np.log1p(np.exp(low - high))


@kernel(f"void({METRIC}, {V}, {V})")
def velocity(at, metric, p, out):
    """Σ p."""
    covariance = table(metric, at, COVARIANCE)
    d = len(p)
    if len(covariance) > 0:
        for i in range(d):
            out[i] = 0.0
        for j in range(d):
            a = p[j]
            for i in range(d):
                out[i] += covariance[j, i] * a
        return
    scale, directions, excess = line(metric, at, SCALE), table(metric, at, DIRECTIONS), line(metric, at, EXCESS)
    along = np.empty(len(excess))
    for i in range(d):
        out[i] = scale[i] * p[i]
    for k in range(len(excess)):
        along[k] = excess[k] * dot(directions[k], out)
    for k in range(len(excess)):
        for i in range(d):
            out[i] += directions[k, i] * along[k]
    for i in range(d):
        out[i] *= scale[i]


@kernel(f"void({METRIC}, {V}, {V})")
def momentum(at, metric, noise, out):
    """p ~ N(0, Σ⁻¹) from standard normal numbers."""
    root, d = table(metric, at, ROOT), len(noise)
    if len(root) > 0:
        for i in range(d):
            out[i] = dot(root[i], noise)
        return
    scale, directions, excess = line(metric, at, SCALE), table(metric, at, DIRECTIONS), line(metric, at, INVERSE_EXCESS)
    for i in range(d):
        out[i] = noise[i]
    for k in range(len(excess)):
        a = excess[k] * dot(directions[k], noise)
        for i in range(d):
            out[i] += directions[k, i] * a
    for i in range(d):
        out[i] /= scale[i]


# --- where a trajectory turns --------------------------------------------------------------------------------------
@kernel(f"boolean({V}, {V}, {V}, {V}, {V})", **INSIDE)
def turns(p0, v0, p1, v1, total):
    """Whether two ends with the sum of the momenta between them, their own included, approach each other."""
    one, two = 0.0, 0.0
    for i in range(len(total)):
        rho = total[i] - 0.5 * (p0[i] + p1[i])
        one += v0[i] * rho
        two += v1[i] * rho
    return one <= 0.0 or two <= 0.0


@kernel(f"boolean({M2}, int64, boolean)", **INSIDE)
def turned(tree, k, in_two):
    """Whether a subtree turns: from its first leaf to `now`, and across the middle, where its second half begins."""
    first, middle = HELD + 5 * k, HELD + 5 * (k + 1)
    p, v, total, rho = tree[NOW + 1], tree[NOW + 2], tree[HALF], tree[RHO]
    for i in range(len(rho)):
        rho[i] = total[i] - tree[first + 2, i] + tree[first, i]
    if turns(tree[first], tree[first + 1], p, v, rho):
        return True
    if not in_two:
        return False
    for i in range(len(rho)):
        rho[i] = tree[middle + 2, i] - tree[first + 2, i] + tree[first, i]
    if turns(tree[first], tree[first + 1], tree[middle], tree[middle + 1], rho):
        return True
    for i in range(len(rho)):
        rho[i] = total[i] - tree[middle + 2, i] + tree[middle, i] + tree[middle + 3, i]
    return turns(tree[middle + 3], tree[middle + 4], p, v, rho)


@kernel(f"boolean({M2}, int64)", **INSIDE)
def turned_whole(tree, forward):
    """Whether the trajectory turns with its newest half, whose last leaf is `now`."""
    far, joint = ENDS + 5 * (1 - forward), ENDS + 5 * forward
    p, v, rho = tree[NOW + 1], tree[NOW + 2], tree[RHO]
    for i in range(len(rho)):
        rho[i] = tree[WHOLE, i] + tree[HALF, i]
    if turns(tree[far + 1], tree[far + 2], p, v, rho):
        return True
    for i in range(len(rho)):
        rho[i] = tree[WHOLE, i] + tree[NEAR, i]
    if turns(tree[far + 1], tree[far + 2], tree[NEAR], tree[NEAR + 1], rho):
        return True
    for i in range(len(rho)):
        rho[i] = tree[HALF, i] + tree[joint + 1, i]
    return turns(tree[joint + 1], tree[joint + 2], p, v, rho)


# --- steps -----------------------------------------------------------------------------------------------------------
STEP = f"{DENSITY}, {I8}, {V}, {METRIC}, {M2}"


@kernel(f"Tuple((float64, float64, int64, float64))({STEP}, int64, int64, float64, float64, int64)", **INSIDE)
def leapfrog(density, at, reals, m_at, metric, tree, begin, end, energy, size, count):
    """`count` leapfrog steps, or fewer where they are too coarse: log density, energy, steps made, range of H."""
    q, p, v, g, w = tree[end], tree[end + 1], tree[end + 2], tree[end + 3], tree[end + 4]
    if begin != end:
        copy(tree, begin, end, 5)
    d, half_size, value, done = len(q), 0.5 * size, np.nan, 0
    low = high = energy
    while done < count and high - low <= COARSE:
        for i in range(d):
            p[i] += half_size * g[i]
            v[i] += half_size * w[i]
            q[i] += size * v[i]
        value = density(at, reals, q, g)
        velocity(m_at, metric, g, w)
        for i in range(d):
            p[i] += half_size * g[i]
            v[i] += half_size * w[i]
        energy = 0.5 * dot(p, v) - value
        if not np.isfinite(energy):
            energy = np.inf
        low, high = min(low, energy), max(high, energy)
        done += 1
    return value, energy, done, high - low


@kernel(f"Tuple((float64, float64, float64, int64, int64))({STEP}, float64, float64)", **INSIDE)
def step(density, at, reals, m_at, metric, tree, energy, size):
    """One step from `now` to `trial`, divided where it is too coarse.

    Returns the log density, the energy, that of the undivided step, evaluations, and why there is none.
    """
    taken, whole, parts = 0, np.inf, 1
    while True:
        value, new, count, error = leapfrog(
            density, at, reals, m_at, metric, tree, NOW, TRIAL, energy, size / parts, parts
        )
        taken += count
        if parts == 1:
            whole = new
        if error <= COARSE:
            break
        if parts == 2**HALVINGS:
            return value, new, whole, taken, DIVERGES
        parts *= 2
    coarser = 1
    while coarser < parts:
        copy(tree, TRIAL, BEHIND, 5)
        for i in range(tree.shape[1]):
            tree[BEHIND + 1, i], tree[BEHIND + 2, i] = -tree[BEHIND + 1, i], -tree[BEHIND + 2, i]
        _, _, count, error = leapfrog(
            density, at, reals, m_at, metric, tree, BEHIND, BEHIND, new, size / coarser, coarser
        )
        taken += count
        if error <= COARSE:
            return value, new, whole, taken, BARRED
        coarser *= 2
    return value, new, whole, taken, WELL


@kernel(
    f"Tuple((float64, float64, float64, float64, int64, int64, int64))({STEP}, uint64[::1], {V}, int64, float64, "
    "int64, float64)",
    **INSIDE,
)
def half(density, at, reals, m_at, metric, tree, seed, energies, forward, size, depth, start):
    """2^depth steps from an end of the trajectory, or fewer where it turns or diverges.

    Returns log density and energy of the draw chosen, log weight, sum of acceptances, steps, evaluations, and the end.
    """
    first = ENDS + 5 * forward
    copy(tree, first, NOW, 5)
    for i in range(tree.shape[1]):
        tree[HALF, i] = 0.0
    energy, log_weight, accepted, steps, taken = energies[forward], -np.inf, 0.0, 0, 0
    chosen_value, chosen_energy = np.nan, np.nan
    for leaf in range(2**depth):
        ones, rest = 0, leaf >> 1
        while rest > 0:
            rest &= rest - 1
            ones += 1
        held = HELD + 5 * ones
        if leaf & 1 == 0:
            copy(tree, NOW + 1, held + 3, 2)
        value, energy, whole, count, failed = step(density, at, reals, m_at, metric, tree, energy, size)
        steps += 1
        taken += count
        accepted += np.exp(min(0.0, start - whole))
        copy(tree, TRIAL, NOW, 5)
        gain = start - energy
        if failed != WELL or not gain > -DIVERGENT:
            end = TURNED if failed == BARRED else DIVERGES
            return chosen_value, chosen_energy, log_weight, accepted, steps, taken, end
        log_weight = log_add(log_weight, gain)
        if gain >= log_weight or uniform(seed) < np.exp(gain - log_weight):
            copy(tree, NOW, CHOSEN, 1)
            copy(tree, NOW + 3, CHOSEN + 1, 1)
            chosen_value, chosen_energy = value, energy
        for i in range(tree.shape[1]):
            tree[HALF, i] += tree[NOW + 1, i]
        if leaf == 0:
            copy(tree, NOW + 1, NEAR, 2)
        if leaf & 1 == 0:
            copy(tree, NOW + 1, held, 2)
            copy(tree, HALF, held + 2, 1)
            continue
        k, last = ones, leaf + 1
        while last & 1 == 0:  # as many subtrees end at this leaf as its number from one has zeros at the end
            if turned(tree, k, k < ones):
                return chosen_value, chosen_energy, log_weight, accepted, steps, taken, TURNED
            last >>= 1
            k -= 1
    energies[forward] = energy
    return chosen_value, chosen_energy, log_weight, accepted, steps, taken, WELL


@kernel(f"void({STEP}, {V}, uint64[::1], {V}, float64, int64)", **INSIDE)
def trajectory(density, at, reals, m_at, metric, tree, found, seed, noise, size, max_depth):
    """One trajectory from `kept`, whose log density is in `found`; moves it, and says in `found` how it went."""
    copy(tree, KEPT, NOW, 1)
    copy(tree, KEPT + 1, NOW + 3, 1)
    momentum(m_at, metric, noise, tree[NOW + 1])
    velocity(m_at, metric, tree[NOW + 1], tree[NOW + 2])
    velocity(m_at, metric, tree[NOW + 3], tree[NOW + 4])
    start = 0.5 * dot(tree[NOW + 1], tree[NOW + 2]) - found[VALUE]
    copy(tree, NOW, ENDS, 5)
    copy(tree, NOW, ENDS + 5, 5)
    copy(tree, NOW + 1, WHOLE, 1)
    energies = found[ENERGIES:]
    energies[0], energies[1] = start, start
    found[ENERGY], found[DIVERGED] = start, 0.0
    log_weight, accepted, steps, taken, depth = 0.0, 0.0, 0, 0, 0
    while depth < max_depth:
        forward = 1 if uniform(seed) < 0.5 else 0
        signed = size if forward == 1 else -size
        value, energy, weight, more, made, count, end = half(
            density, at, reals, m_at, metric, tree, seed, energies, forward, signed, depth, start
        )
        accepted += more
        steps += made
        taken += count
        depth += 1
        if end != WELL:
            found[DIVERGED] = 1.0 if end == DIVERGES else 0.0
            break
        if uniform(seed) < np.exp(min(0.0, weight - log_weight)):
            copy(tree, CHOSEN, KEPT, 2)
            found[VALUE], found[ENERGY] = value, energy
        log_weight = log_add(log_weight, weight)
        if turned_whole(tree, forward):
            break
        copy(tree, NOW, ENDS + 5 * forward, 5)
        for i in range(tree.shape[1]):
            tree[WHOLE, i] += tree[HALF, i]
    found[ACCEPTANCE], found[DEPTH], found[STEPS] = accepted / max(steps, 1), depth, taken


@kernel(f"void({STEP}, {V}, uint64[::1], {M2}, {V}, boolean, int64, {M2}, {M2}, {M2})")
def stride(density, at, reals, m_at, metric, tree, found, seed, noise, size, learning, max_depth, points, slopes, told):
    """As many trajectories as `noise` has rows: their points, gradients there, and `found` with the step size.

    `size` is the state of a `StepSize` (`samplers/adaptation.py`), whose arithmetic this repeats where it is learning.
    """
    for i in range(len(noise)):
        now = size[NOW_SIZE] if learning else np.exp(size[LOG_MEAN])
        trajectory(density, at, reals, m_at, metric, tree, found, seed, noise[i], now, max_depth)
        for j in range(noise.shape[1]):
            points[i, j], slopes[i, j] = tree[KEPT, j], tree[KEPT + 1, j]
        for j in range(ENERGIES):
            told[i, j] = found[j]
        told[i, ENERGIES] = now
        if learning:
            size[COUNT] += 1.0
            t = size[COUNT]
            size[ERROR] += (size[TARGET] - found[ACCEPTANCE] - size[ERROR]) / (t + T0)
            log_size = size[MU] - np.sqrt(t) / GAMMA * size[ERROR]
            size[LOG_MEAN] += t**-KAPPA * (log_size - size[LOG_MEAN])
            size[NOW_SIZE] = np.exp(log_size)
