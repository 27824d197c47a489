"""Writes the bundled sets: run ``python make.py`` in this folder. Deterministic, so the files never change.

Each set is NAME.csv (the data) and NAME.json (where it comes from, its columns, and the true values if simulated).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def labels(letter: str, count: int) -> list[str]:
    """S01, S02, … so that sorting by text is sorting by number."""
    return [f"{letter}{i:02d}" for i in range(1, count + 1)]


def write(name: str, data: pd.DataFrame, **about: object) -> None:
    data.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
    (HERE / f"{name}.json").write_text(json.dumps({"name": name, "rows": len(data), **about}, indent=1) + "\n")


def schools() -> None:
    """30 schools of 50 students; the order of the legacy generator's draws matters."""
    names, students = labels("S", 30), 50
    legacy = np.random.RandomState(42)
    means = legacy.normal(70, 5, len(names))
    scores = np.concatenate([legacy.normal(mean, 10, students) for mean in means])
    write(
        "schools",
        pd.DataFrame({"score": scores, "school": np.repeat(names, students)}),
        title="Test scores of 1500 students in 30 schools",
        source="Simulated with NumPy's legacy generator, seed 42: school means N(70, 5), students N(school mean, 10).",
        formula="score ~ 1 + (1 | school)",
        columns={"score": "test score", "school": "school, S01 to S30"},
        truth={
            "fixed_effects": {"Intercept": 70.0},
            "sd": {"school": {"Intercept": 5.0}, "Residual": 10.0},
            "school_means": dict(zip(names, means.tolist(), strict=True)),
            "generator": "numpy.random.seed(42); means = normal(70, 5, 30); then normal(mean, 10, 50) school by school",
        },
    )


def eight_schools() -> None:
    write(
        "eight_schools",
        pd.DataFrame(
            {
                "school": list("ABCDEFGH"),
                "y": [28, 8, -3, 7, -1, 1, 18, 12],
                "sigma": [15, 10, 16, 11, 9, 11, 10, 18],
            }
        ),
        title="Effects of coaching on a scholastic aptitude test in eight schools",
        source="Rubin, D. B. (1981). Estimation in parallel randomized experiments. "
        "Journal of Educational Statistics 6(4), 377-401, table 1.",
        formula="y | se(sigma) ~ 1 + (1 | school)",
        columns={"school": "school, A to H", "y": "estimated effect, in points", "sigma": "its standard error"},
        truth=None,
    )


def classes() -> None:
    """Three levels, unbalanced, with a slope that varies among schools."""
    rng = np.random.default_rng(20250117)
    names = labels("S", 14)
    beta = {"Intercept": 60.0, "ses": 2.5, "funding": 1.5}
    covariance = np.array([[16.0, 1.6], [1.6, 1.0]])  # sd 4 and 1, correlation 0.4
    funding = np.round(rng.normal(size=len(names)), 2)
    effects = rng.multivariate_normal([0.0, 0.0], covariance, size=len(names))
    rows, class_effects = [], {}
    for school, resources, (intercept, slope) in zip(names, funding, effects, strict=True):
        for number in range(1, int(rng.integers(2, 7)) + 1):
            classroom = f"{school}C{number}"
            class_effects[classroom] = rng.normal(0, 2.5)
            ses = np.round(rng.normal(0.3 * intercept / 4, 1.0, size=rng.integers(5, 31)), 2)
            mean = beta["Intercept"] + intercept + class_effects[classroom] + beta["funding"] * resources
            scores = np.round(mean + (beta["ses"] + slope) * ses + rng.normal(0, 6.0, size=len(ses)), 1)
            rows += [(y, x, resources, school, classroom) for y, x in zip(scores, ses, strict=True)]
    write(
        "classes",
        pd.DataFrame(rows, columns=["score", "ses", "funding", "school", "classroom"]),
        title="Pupils in classes in schools, unbalanced",
        source="Simulated by bundled/make.py with NumPy's default_rng(20250117).",
        formula="score ~ ses + funding + (ses | school) + (1 | classroom)",
        columns={
            "score": "test score",
            "ses": "socio-economic status of the pupil, standardised; correlated with the school's effect",
            "funding": "resources of the school, standardised",
            "school": "school, S01 to S14",
            "classroom": "class, named uniquely: S01C1",
        },
        truth={
            "fixed_effects": beta,
            "sd": {"school": {"Intercept": 4.0, "ses": 1.0}, "classroom": {"Intercept": 2.5}, "Residual": 6.0},
            "correlation": {"school": {"Intercept:ses": 0.4}},
            "group_effects": {
                "school": {k: dict(zip(("Intercept", "ses"), v.tolist(), strict=True))
                           for k, v in zip(names, effects, strict=True)},
                "classroom": class_effects,
            },
        },
    )  # fmt: skip


def ratings() -> None:
    """Raters and items cross, but not every rater sees every item."""
    rng = np.random.default_rng(20250118)
    raters, items = labels("R", 40), labels("I", 25)
    beta = {"Intercept": 5.0, "familiarity": 0.4}
    severity = rng.normal(0, 0.8, size=len(raters))
    quality = rng.normal(0, 1.2, size=len(items))
    rows = []
    for i, rater in enumerate(raters):
        for j in np.sort(rng.choice(len(items), size=rng.integers(8, 23), replace=False)):
            familiarity = round(float(rng.normal()), 2)
            mean = beta["Intercept"] + beta["familiarity"] * familiarity + severity[i] + quality[j]
            rows.append((round(float(rng.normal(mean, 1.0)), 2), familiarity, rater, items[j]))
    write(
        "ratings",
        pd.DataFrame(rows, columns=["rating", "familiarity", "rater", "item"]),
        title="Ratings of items by raters, partially crossed and unbalanced",
        source="Simulated by bundled/make.py with NumPy's default_rng(20250118).",
        formula="rating ~ familiarity + (1 | rater) + (1 | item)",
        columns={
            "rating": "rating on a continuous scale",
            "familiarity": "how well the rater knows the item, standardised",
            "rater": "rater, R01 to R40",
            "item": "item, I01 to I25",
        },
        truth={
            "fixed_effects": beta,
            "sd": {"rater": {"Intercept": 0.8}, "item": {"Intercept": 1.2}, "Residual": 1.0},
            "group_effects": {
                "rater": dict(zip(raters, severity.tolist(), strict=True)),
                "item": dict(zip(items, quality.tolist(), strict=True)),
            },
        },
    )


if __name__ == "__main__":
    for make in (schools, eight_schools, classes, ratings):
        make()
