"""Writes a golden file for the format version of this package: run once for each version, then never again.

python tests/fit/golden/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import multilevel as ml
from multilevel.fit.container import VERSION

HERE = Path(__file__).parent


def main() -> None:
    rng = np.random.default_rng(VERSION)
    g, x = np.repeat(np.arange(8), 5), rng.normal(size=40)
    f = np.array(["low", "mid", "high"])[np.arange(40) % 3]
    y = 1.0 + x + rng.normal(size=8)[g] * (1.0 + 0.6 * rng.normal(size=40)) + 0.5 * rng.normal(size=40)
    n = rng.integers(2, 9, 40)
    k = rng.binomial(n, 1.0 / (1.0 + np.exp(-x - rng.normal(size=8)[g])))
    data = {"y": y, "x": x, "f": f, "g": g, "n": n, "k": k}
    keep(f"version_{VERSION}.fit", ml.fit("y ~ poly(x, 2) + f + (1 | g)", data))
    keep(f"version_{VERSION}_trials.fit", ml.fit("k | trials(n) ~ x + (1 | g)", data, family="binomial"))


def keep(name: str, fit: ml.Fit) -> None:
    """The file, and what its predictions are to be."""
    fit.save(HERE / name)
    predicted = fit.predict()
    path = HERE / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    expected[name] = {column: predicted[column].tolist() for column in ("estimate", "std_error")}
    path.write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
