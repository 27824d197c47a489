"""The textbook's script for the same schools, replayed: moments by hand, estimates taken for true.

    σ̂² = mean of the schools' variances        τ̂² = max(variance of the schools' means − σ̂²/n, 0.01)
    λ  = τ̂² / (τ̂² + σ̂²/n)                      α̂_j = ȳ + λ (ȳ_j − ȳ),   "SE" = √(τ̂² (1 − λ))

The script draws one new school and ten students from the stream that made the data, so that its numbers can be
reproduced to the last digit. (As printed it does not run: a bracket too many, and one standard error for all schools
that it indexes by school.) What is wrong with its numbers, `answers.py` says beside each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEED, MEAN, BETWEEN, WITHIN = 42, 70.0, 5.0, 10.0
FLOOR = 0.01  # what the script puts in place of a negative variance


@dataclass(frozen=True)
class Script:
    """Every number that the script prints."""

    means: np.ndarray
    overall: float
    between: float
    within: float
    weight: float
    pooled: np.ndarray
    error: float
    error_alone: float
    icc: float
    new_school: float
    new_students: np.ndarray


def replay(schools: np.ndarray) -> Script:
    """The script's numbers for scores (schools, students).

    Examples
    --------
    >>> round(replay(simulate()).weight, 3)
    0.914
    """
    n = schools.shape[1]
    means, overall = schools.mean(axis=1), float(schools.mean())
    within = float(np.sqrt(np.mean(np.var(schools, axis=1, ddof=1))))
    between = float(np.sqrt(max(np.var(means, ddof=1) - within**2 / n, FLOOR)))
    weight = between**2 / (between**2 + within**2 / n)
    stream = np.random.RandomState(SEED)
    simulate(stream)
    new_school = stream.normal(overall, between)
    return Script(
        means=means,
        overall=overall,
        between=between,
        within=within,
        weight=weight,
        pooled=overall + weight * (means - overall),
        error=float(np.sqrt(between**2 * (1.0 - weight))),
        error_alone=within / float(np.sqrt(n)),
        icc=between**2 / (between**2 + within**2),
        new_school=float(new_school),
        new_students=stream.normal(new_school, within, 10),
    )


def simulate(stream: np.random.RandomState | None = None, schools: int = 30, students: int = 50) -> np.ndarray:
    """The script's data, (schools, students): the order of the legacy generator's draws matters."""
    stream = np.random.RandomState(SEED) if stream is None else stream
    means = stream.normal(MEAN, BETWEEN, schools)
    return np.array([stream.normal(mean, WITHIN, students) for mean in means])
