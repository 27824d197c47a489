"""Elementary functions and random numbers that compilers turn into vector instructions: plain arithmetic, no calls.

    exp x = 2ⁿ exp r,   n = [x / log 2],   |r| ≤ ½ log 2,    a polynomial in r
    log x = n log 2 + 2 artanh s,   x = 2ⁿ m,   m ∈ [√½, √2),   s = (m − 1)/(m + 1),    an odd polynomial in s

Both to the last digit or two, four times as fast in loops as the library's, which is called number by number. exp
stays finite: x is kept within ±700. Random numbers are a function of a counter (splitmix64), so that they do not depend
on who asks first: work may be shared between threads in any way.

References: Cody & Waite (1980), Software Manual for the Elementary Functions; Steele, Lea & Flood (2014), OOPSLA.
"""

from __future__ import annotations

import numpy as np

from .compiled import bit_casts, kernel

bits_of, number_of = bit_casts()
HIGH, LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # log 2 in two parts
PER_LOG_2 = 1.4426950408889634
ROUNDING = 6755399441055744.0  # 1.5 · 2⁵²: added to a number and taken away, it leaves the nearest integer
FAR = 700.0
SHIFT, ONE, BIAS = np.uint64(52), np.uint64(0x3FF0000000000000), np.uint64(1023)
HALF_ROOT, ROUNDING_BITS = np.uint64(0x3FE6A09E667F3BCD), np.uint64(0x4338000000000000)  # of √½ and of 1.5 · 2⁵²
STEP = np.uint64(0x9E3779B97F4A7C15)  # of the counter
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
A30, A27, A31, A12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)
TURN = 2.0 * np.pi
JUST_BELOW_ONE = 1.0 - 2.0**-53
FUSED = {"contract"}  # products and sums may share a rounding


@kernel("float64(float64)", fastmath=FUSED)
def exp(x):
    """exp x, x within ±700."""
    shifted = min(max(x, -FAR), FAR) * PER_LOG_2 + ROUNDING
    n = shifted - ROUNDING
    r = (min(max(x, -FAR), FAR) - n * HIGH) - n * LOW
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * number_of((bits_of(shifted) + BIAS) << SHIFT)


@kernel("float64(float64)", fastmath=FUSED)
def log(x):
    """log x of a positive number; about −709 for zero."""
    bits = bits_of(x)
    power = (bits - HALF_ROOT + ((BIAS + np.uint64(1)) << SHIFT)) >> SHIFT  # n + 1024
    n = number_of(power | ROUNDING_BITS) - ROUNDING - 1024.0
    m = number_of(bits - ((power - (BIAS + np.uint64(1))) << SHIFT))
    s = (m - 1.0) / (m + 1.0)
    w = s * s
    p = 2.0 / 19.0
    p = p * w + 2.0 / 17.0
    p = p * w + 2.0 / 15.0
    p = p * w + 2.0 / 13.0
    p = p * w + 2.0 / 11.0
    p = p * w + 2.0 / 9.0
    p = p * w + 2.0 / 7.0
    p = p * w + 2.0 / 5.0
    p = p * w + 2.0 / 3.0
    p = p * w + 2.0
    return n * HIGH + (s * p + n * LOW)


@kernel("float64(uint64)", fastmath=FUSED)
def uniform(counter):
    """A number strictly between 0 and 1, a function of the counter; counters of one stream differ by `STEP`."""
    z = (counter ^ (counter >> A30)) * FIRST
    z = (z ^ (z >> A27)) * SECOND
    z = z ^ (z >> A31)
    return number_of((z >> A12) | ONE) - JUST_BELOW_ONE


@kernel("float64(float64)", fastmath=FUSED)
def sine(turns):
    """sin of 2π `turns`, to about 1e-15."""
    r = turns - ((turns + ROUNDING) - ROUNDING)
    r = 0.5 - r if r > 0.25 else r
    r = -0.5 - r if r < -0.25 else r
    y = TURN * r
    w = y * y
    p = -1.0 / 121645100408832000.0
    p = p * w + 1.0 / 355687428096000.0
    p = p * w - 1.0 / 1307674368000.0
    p = p * w + 1.0 / 6227020800.0
    p = p * w - 1.0 / 39916800.0
    p = p * w + 1.0 / 362880.0
    p = p * w - 1.0 / 5040.0
    p = p * w + 1.0 / 120.0
    p = p * w - 1.0 / 6.0
    return y * (p * w + 1.0)


@kernel("float64(uint64, float64)", fastmath=FUSED)
def normal(counter, quarter):
    """A standard normal number, a function of the counter and the next; independent ones for `quarter` 0 and ¼.

    Box & Muller (1958): √(−2 log U) times the cosine or sine of a random angle.
    """
    return np.sqrt(-2.0 * log(uniform(counter))) * sine(uniform(counter + STEP) + quarter)
