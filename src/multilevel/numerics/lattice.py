"""Points that fill the unit cube evenly: a rank-1 lattice, moved by a random vector.

    x_i = frac(φ(i) g + U),   i = 0, …, n − 1,   U uniform

φ(i) is i with its binary digits mirrored about the point (van der Corput). A power of two of them are the multiples of
1/n, so that the points are a lattice; other n are the beginning of a larger one, as even as a sequence can be. With
multiples of 1/n for every n the vector would be a bad one for some: averages were off by several standard errors.

The generating vector g was built component by component, for the smallest worst-case error P₂ with product weights
0.5 · 0.85^j, over n = 2¹⁰, …, 2¹⁶ at once. Averages over such points err by nearly
1/n where those of random ones err by 1/√n, and the shift makes them unbiased. Two lines of arithmetic in place of
direction numbers and scrambling, and of half a second to import them.

Reference: Dick, Kuo & Sloan (2013), Acta Numerica 22, sections 5–6.
"""

from __future__ import annotations

import numpy as np

GENERATOR = np.array(
    [1, 9611, 11985, 26565, 479, 41467, 50283, 13699, 29641, 9873, 45947, 57719, 31401, 7959, 23263, 24487, 27061,
     62997, 10207, 65191, 47801, 64371, 47057, 6649], dtype=np.int64,
)  # fmt: skip
MOST_POINTS = 2**16


def lattice(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """(n, d) points of the open unit cube; dimensions beyond the vector's, and points beyond 2¹⁶, are random.

    `n` need not be a power of two; other numbers are a little less even.
    """
    shift = rng.random(d)
    known = min(d, len(GENERATOR)) if n <= MOST_POINTS else 0
    order, size = mirrored(n)
    even = (order[:, None] * GENERATOR[:known] % size / size + shift[:known]) % 1.0
    return np.clip(np.concatenate([even, rng.random((n, d - known))], axis=1), 1e-16, 1.0 - 1e-16)


def mirrored(n: int) -> tuple[np.ndarray, int]:
    """0, …, n − 1 with the binary digits mirrored, as numerators of the power of two that follows n."""
    digits = max(n - 1, 0).bit_length()
    left, out = np.arange(n, dtype=np.int64), np.zeros(n, np.int64)
    for _ in range(digits):
        out = out * 2 + left % 2
        left //= 2
    return out, 1 << digits
