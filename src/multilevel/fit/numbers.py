"""Numbers as people read them: as many digits as the standard error supports, no scientific noise.

An estimate is shown to the digit that is the `DIGITS`-th significant one of its standard error. What rounds to zero is
shown as zero, without a sign. Only numbers that would need more than `WIDE` characters are written with an exponent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DIGITS = 4
WIDE = 9
MISSING = "NA"


def decimals(scale: float, digits: int = DIGITS) -> int | None:
    """Decimal places that show `digits` significant digits of `scale`; None when an exponent serves better."""
    if not math.isfinite(scale) or scale == 0.0:
        return None
    magnitude = math.floor(math.log10(abs(scale)))
    places = digits - 1 - magnitude
    return None if places > WIDE or magnitude > WIDE else max(places, 0)


def fixed(value: float, places: int | None, digits: int = DIGITS) -> str:
    """The value with that many decimal places; significant digits if `places` is None."""
    if value != value:
        return MISSING
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if places is None:
        return significant(value, digits)
    if abs(value) >= 10.0 ** (WIDE + 3):
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def significant(value: float, digits: int = DIGITS) -> str:
    """The value to so many significant digits: ``612.1``, ``0.0350``, ``1.2e-12``."""
    if value != value or math.isinf(value) or value == 0.0:
        return "0" if value == 0.0 else fixed(value, 0)
    places = decimals(value, digits)
    if places is None:
        return f"{value:.{digits - 1}e}"
    return fixed(value, places)


def measured(values: Sequence[float], error: float, digits: int = DIGITS) -> list[str]:
    """Values that share one standard error, to the digits it supports; to their own digits without one."""
    if not (math.isfinite(error) and error > 0.0):
        return [significant(v, digits) for v in values]
    places = decimals(error, digits)
    if places is None and max((abs(v) for v in values if math.isfinite(v)), default=0.0) >= error * 10.0**8:
        places = 0
    return [fixed(v, places, digits) for v in values]


def probability(p: float) -> str:
    """A p-value: four decimals, ``<0.0001`` below."""
    if p != p:
        return MISSING
    return "<0.0001" if p < 5e-5 else f"{p:.4f}"


def degrees(df: float) -> str:
    """Degrees of freedom: ``17.00``, ``161.0``, ``Inf``."""
    if df != df or math.isinf(df) or df >= 1e6:
        return MISSING if df != df else "Inf"
    return f"{df:.2f}" if df < 100.0 else f"{df:.1f}"


def criterion(value: float) -> str:
    """Likelihoods and information criteria: two decimals, whatever their size."""
    if value != value or math.isinf(value):
        return MISSING
    return f"{value:.2f}" if abs(value) < 10.0**12 else f"{value:.6g}"


def count(n: float) -> str:
    """A number of rows or levels."""
    return f"{n:.0f}" if n == int(n) else f"{n:g}"


def elapsed(seconds: float) -> str:
    """A duration: ``3 ms``, ``1.24 s``."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
