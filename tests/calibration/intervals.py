"""Coverage of the default 95 % intervals of REML fits over a grid of designs.

    y_ij = 1 + 0.5 x_ij + 0.3 w_j + b_j + ε_ij,   b_j ~ N(0, τ²),  ε_ij ~ N(0, 1)

`python tests/calibration/intervals.py [repetitions]` writes docs/coverage.md; `test_coverage.py` (slow) asserts the
bands.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import multilevel as ml

GROUPS, SIZES, TAUS = (3, 5, 8, 15, 30), (5, 20), (0.0, 0.5, 1.0)
COLUMNS = ("intercept", "x", "w", "sd", "sigma", "sd reaches 0", "known group", "new group", "new observation")


@dataclass(frozen=True)
class Cell:
    """One design: `groups` levels of `size` rows (unbalanced: half and one and a half times that), sd `tau`."""

    groups: int
    size: int
    tau: float
    balanced: bool = True

    @property
    def formula(self) -> str:
        # with three groups a group-level predictor would leave one degree of freedom between groups
        return "y ~ x + w + (1 | g)" if self.groups > 3 else "y ~ x + (1 | g)"


def run(cell: Cell, repetitions: int, seed: int) -> np.ndarray:
    """Shares of intervals that hold the truth, in the order of COLUMNS (NaN where it does not apply)."""
    rng = np.random.default_rng(seed)
    hits = np.array([once(cell, rng) for _ in range(repetitions)])
    return np.asarray(hits.mean(axis=0))


def once(cell: Cell, rng: np.random.Generator) -> list[float]:
    """Simulate, fit, and compare every interval with the truth."""
    sizes = np.full(cell.groups, cell.size)
    if not cell.balanced:
        sizes = np.where(np.arange(cell.groups) % 2 == 0, cell.size // 2 + 1, cell.size + cell.size // 2)
    g = np.repeat(np.arange(cell.groups), sizes)
    w = np.linspace(-1.0, 1.0, cell.groups)[g] if cell.groups > 3 else np.zeros(len(g))
    x, b = rng.normal(size=len(g)), rng.normal(size=cell.groups) * cell.tau
    y = 1.0 + 0.5 * x + 0.3 * w + b[g] + rng.normal(size=len(g))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit(cell.formula, {"y": y, "x": x, "w": w, "g": g})
    fixed = fit.fixed_effects
    truth = dict(zip(("Intercept", "x", "w"), (1.0, 0.5, 0.3), strict=True))
    out = [
        float(low <= truth[term] <= high)
        for term, low, high in zip(fixed["term"], fixed["lower"], fixed["upper"], strict=True)
    ]
    out += [np.nan] * (3 - len(out))
    parts = fit.variance_components
    low, high = np.asarray(parts["lower"]), np.asarray(parts["upper"])
    out += [float(low[0] <= cell.tau <= high[0]), float(low[1] <= 1.0 <= high[1]), float(low[0] == 0.0)]
    return out + _predictions(cell, fit, b, w[0], rng)


def _predictions(cell: Cell, fit: ml.Fit, b: np.ndarray, w: float, rng: np.random.Generator) -> list[float]:
    row = {"x": [0.2], "w": [w], "g": [0]}
    base = 1.1 + 0.3 * w
    new = base + rng.normal() * cell.tau
    truths = [
        (base + b[0], "conditional", "mean"),
        (new, "new_group", "mean"),
        (new + rng.normal(), "new_group", "response"),
    ]
    hits = []
    for truth, target, kind in truths:
        table = fit.predict(row, target=target, kind=kind)
        hits.append(float(table["lower"][0] <= truth <= table["upper"][0]))
    return hits


def grid() -> list[Cell]:
    cells = [Cell(j, n, tau) for j in GROUPS for n in SIZES for tau in TAUS]
    return cells + [Cell(j, 10, 0.5, balanced=False) for j in GROUPS]


def table(repetitions: int, seed: int = 1) -> str:
    """The grid as a Markdown table."""
    lines = ["| J | n | τ/σ | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 3)]
    for i, cell in enumerate(grid()):
        shares = run(cell, repetitions, seed + i)
        shown = ["" if np.isnan(s) else f"{100 * s:.1f}" for s in shares]
        size = str(cell.size) if cell.balanced else f"{cell.size // 2 + 1}/{cell.size + cell.size // 2}"
        lines.append(f"| {cell.groups} | {size} | {cell.tau:g} | " + " | ".join(shown) + " |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


HEAD = """# Coverage of the default intervals

Share (%) of nominal 95 % intervals that hold the truth, over {n} simulated data sets a row (Monte Carlo error about
{error:.1f} points). Model: `y ~ x + w + (1 | g)` by REML with `w` a group-level predictor (left out at J = 3); J groups
of n rows (two numbers: unbalanced, alternating), residual sd 1. Fixed effects: t with Satterthwaite's degrees of
freedom. Standard deviations: profile likelihood. Predictions: `known group` is `target="conditional"`, `new group` and
`new observation` are `target="new_group"` with `kind="mean"` and `kind="response"`.

Made by `python tests/calibration/intervals.py {n}`; `make calibration` makes it anew with 1000.

{table}

What to read from it:
- Fixed effects hold their level from three groups on, slightly conservative where the between-group variance is zero.
- `sd reaches 0` is the share of intervals for the group sd that begin at exactly 0; at τ = 0 it is their coverage.
- The *mean of a new group* is hard with few groups and a small τ: the estimate is often exactly zero, and an interval
  built on it is then too short (rows J ≤ 8, n = 5, τ = 0.5). A single new observation is not affected. With fewer than
  about ten groups a prior on the group sd is the remedy.
"""


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    text = HEAD.format(n=n, error=100 * np.sqrt(0.05 * 0.95 / n), table=table(n))
    (Path(__file__).parents[2] / "docs" / "coverage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
