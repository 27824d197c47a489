"""Writes functions.json: functions of one variable and their four derivatives with 60 digits (needs mpmath)."""

import json
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
CASES = {
    "log1pexp": (lambda x: mp.log1p(mp.exp(x)), [-700, -40, -1, 0, 0.3, 40, 700]),
    "log_loglog": (lambda x: mp.log(-mp.expm1(-mp.exp(x))), [-600, -40, -5, -2.31, -2.29, 0, 1, 3, 5]),
    "log_log1pexp": (lambda x: mp.log(mp.log1p(mp.exp(x))), [-600, -40, -30, -5, 0, 3, 40, 700]),
    "log1mexp": (lambda x: mp.log(-mp.expm1(-x)), [1e-8, 0.1, 0.69, 0.7, 5, 40, 600]),
    "log_ndtr": (lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2), [-700, -100, -30, -4.01, -3.99, -3, 0, 2, 8, 30]),
    "ndtr": (lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, [-8, -1, 0, 0.5, 5]),
    "lgamma": (mp.loggamma, [1e-5, 0.5, 2, 50, 1e6]),
    "stirling_error": (
        lambda t: mp.loggamma(mp.exp(t)) - (mp.exp(t) - 0.5) * t + mp.exp(t) - mp.log(2 * mp.pi) / 2,
        [-30, -11, -0.5, 0.7, 2.48, 2.49, 4, 14, 27],
    ),
    "log": (mp.log, [1e-9, 0.5, 30, 1e9]),
    "log1p": (mp.log1p, [-0.5, 1e-9, 0.5, 30]),
    "exp": (mp.exp, [-30, 0, 2]),
    "expm1": (mp.expm1, [-30, 1e-9, 2]),
    "sqrt": (mp.sqrt, [0.01, 4, 1e6]),
}


def numbers(f, x):
    series = mp.taylor(f, mp.mpf(x), 4)
    return [float(c * mp.factorial(k)) for k, c in enumerate(series)]


if __name__ == "__main__":
    table = {name: [[x, numbers(f, x)] for x in points] for name, (f, points) in CASES.items()}
    Path(__file__).with_name("functions.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
