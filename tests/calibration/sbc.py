"""Simulation-based calibration of every sampler on the models of the hierarchy's textbook shapes.

`python tests/calibration/sbc.py [simulations] [model …]` writes docs/calibration.md; `test_sbc.py` (slow) asserts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import multilevel as ml
from multilevel.checks.calibration import Calibration

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("sbc.json")
NORMAL = {"Intercept": "normal(0, 1)", "sd": "half_normal(1)", "sigma": "half_normal(1)"}


def _codes(groups: int, size: int) -> np.ndarray:
    return np.repeat(np.arange(groups), size)


def _x(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=n)


def one_way() -> ml.Model:
    """Eight groups of five."""
    return ml.Model("y ~ 1 + (1 | g)", {"y": np.arange(40.0), "g": _codes(8, 5)}, priors=NORMAL)


def random_slopes() -> ml.Model:
    """Twenty groups of six with correlated slopes."""
    table = {"y": np.arange(120.0), "x": _x(120), "g": _codes(20, 6)}
    return ml.Model("y ~ x + (x | g)", table, priors={**NORMAL, "beta": "normal(0, 1)", "cor": "lkj(2)"})


def crossed() -> ml.Model:
    """Eight by six, two rows a cell."""
    g, h = _codes(8, 12), np.tile(_codes(6, 2), 8)
    return ml.Model("y ~ 1 + (1 | g) + (1 | h)", {"y": np.arange(96.0), "g": g, "h": h}, priors=NORMAL)


def nested() -> ml.Model:
    """Six schools of four classes of four."""
    school, room = _codes(6, 16), _codes(24, 4)
    table = {"y": np.arange(96.0), "school": school, "room": room}
    return ml.Model("y ~ 1 + (1 | school) + (1 | room)", table, priors=NORMAL)


def bernoulli() -> ml.Model:
    """Twenty groups of five."""
    chosen = {"Intercept": "normal(0, 1)", "sd": "half_normal(1)"}
    table = {"y": np.arange(100) % 2, "g": _codes(20, 5)}
    return ml.Model("y ~ 1 + (1 | g)", table, family="bernoulli", priors=chosen)


def poisson() -> ml.Model:
    """Ten groups of five with exposures."""
    chosen = {"Intercept": "normal(0.5, 0.5)", "beta": "normal(0, 0.5)", "sd": "half_normal(0.5)"}
    t = np.random.default_rng(2).uniform(0.5, 3.0, 50)
    table = {"y": np.arange(50) % 7, "x": _x(50), "g": _codes(10, 5), "t": t}
    return ml.Model("y ~ x + offset(log(t)) + (1 | g)", table, family="poisson", priors=chosen)


def negative_binomial() -> ml.Model:
    """Ten groups of six."""
    chosen = {"Intercept": "normal(1, 0.5)", "beta": "normal(0, 0.5)", "sd": "half_normal(0.5)", "shape": "gamma(4, 1)"}
    table = {"y": np.arange(60) % 7, "x": _x(60), "g": _codes(10, 6)}
    return ml.Model("y ~ x + (1 | g)", table, family="negative_binomial", priors=chosen)


def meta_analysis() -> ml.Model:
    """Ten studies with known standard errors."""
    se = np.random.default_rng(3).uniform(0.3, 1.5, 10)
    chosen = {"Intercept": "normal(0, 1)", "sd": "half_normal(1)"}
    return ml.Model("y | se(s) ~ 1 + (1 | g)", {"y": np.arange(10.0), "s": se, "g": np.arange(10)}, priors=chosen)


MODELS = {
    "one-way normal": one_way, "random slopes": random_slopes, "crossed": crossed, "nested": nested,
    "Bernoulli": bernoulli, "Poisson with offset": poisson, "negative binomial": negative_binomial,
    "meta-analysis": meta_analysis,
}  # fmt: skip
LINEAR = ("one-way normal", "random slopes", "crossed", "nested", "meta-analysis")
SETTINGS = {
    "gibbs": {"draws": 25, "tune": 120, "chains": 16},
    "gibbs by factors": {"draws": 25, "tune": 120, "chains": 16, "blocks": "factors"},
    "collapsed": {"draws": 500, "chains": 2},
    "nuts": {"draws": 200, "tune": 300, "chains": 2},
    "nested_laplace": {"draws": 200, "chains": 2},
}


def samplers(model: str) -> list[str]:
    """The samplers that serve a model."""
    if model in LINEAR:
        crossed_too = ["gibbs by factors"] if model in ("crossed", "nested") else []
        return ["gibbs", *crossed_too, "collapsed", "nuts"]
    gibbs = [] if model == "Poisson with offset" else ["gibbs"]
    return [*gibbs, "nuts", "nested_laplace"]


def run(model: str, sampler: str, n: int, seed: int = 1, parallel: int = 1) -> tuple[Calibration, float]:
    """One cell of the table, and its seconds."""
    from multilevel.registry import member

    name = sampler.split()[0]
    known = set(getattr(member("estimators", name), "__dataclass_fields__", {}))
    settings = {key: value for key, value in SETTINGS[sampler].items() if key in known}
    clock = time.perf_counter()
    found = ml.calibrate(MODELS[model](), name, n=n, seed=seed, parallel=parallel, **settings)
    return found, time.perf_counter() - clock


HEAD = """# Calibration of the samplers

Simulation-based calibration (Talts et al. 2018; Modrák et al. 2023): parameters are drawn from the prior, data from
them, and the truth is ranked among 99 thinned posterior draws. Ranked are every standard deviation, correlation,
coefficient and constant, three group effects, an observation that was held out, the joint log-likelihood and the log
prior. A cell passes when no p-value (χ² and simultaneous band of the ranks' distribution function, Holm's adjustment
over the quantities) is below 0.01.

The number of simulations N says what a cell can see: 100 find gross errors only (a sampler that ignores the data,
spreads wrong by a third), 1000 a bias of a fifth of a posterior standard deviation.

`worst` is the quantity with the smallest p-value and that p; `bias` and `spread` are the extremes over quantities of
the mean and standard deviation of the truths' normal scores (0 and 1 when calibrated; standard errors 1/√N and 1/√2N).
`short` counts simulations in which fewer than 99 of the draws were independent, `failed` those without draws.

{table}

Negative controls (`tests/checks/test_calibration.py`): a posterior with its standard deviation times 0.8 fails, one
moved by 0.3 standard deviations fails, and a sampler that ignores the data fails by its log-likelihood.

Made by `python tests/calibration/sbc.py N`, a cell at a time (`tests/calibration/sbc.json` keeps them);
`make calibration-tables` makes it anew with 1000. Your own model on your own design: `ml.calibrate(model, n=200)`.
"""


def text(cells: dict) -> str:
    """The page of all cells made so far."""
    lines = ["| model | sampler | N | verdict | worst | bias | spread | short | failed |", "|" + "---|" * 9]
    for model in MODELS:
        for sampler in samplers(model):
            cell = cells.get(f"{model}/{sampler}")
            if cell is None:
                lines.append(f"| {model} | {sampler} | – | not run | | | | | |")
                continue
            verdict = "passes" if cell["passed"] else "**fails**"
            lines.append(
                f"| {model} | {sampler} | {cell['n']} | {verdict} | {cell['worst']}: {cell['p']:.2g} | "
                f"{cell['bias']:+.2f} | {cell['spread']:.2f} | {cell['short']} | {cell['failed']} |"
            )
    return HEAD.format(table="\n".join(lines))


def cell(found: Calibration, seconds: float) -> dict:
    """What the table keeps of a result."""
    worst = int(np.argmin(found.adjusted))
    return {
        "n": found.n, "passed": found.passed, "worst": found.names[worst], "p": float(found.adjusted[worst]),
        "bias": float(found.bias[np.argmax(np.abs(found.bias))]),
        "spread": float(found.spread[np.argmax(np.abs(found.spread - 1.0))]),
        "short": int(found.short), "failed": int(found.failed), "seconds": round(seconds, 1),
    }  # fmt: skip


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    wanted = sys.argv[2:] or [f"{m}/{s}" for m in MODELS for s in samplers(m)]
    cells = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in wanted:
        model, sampler = name.split("/")
        try:
            found, seconds = run(model, sampler, n)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        cells[name] = cell(found, seconds)
        print(name, cells[name], flush=True)
        RESULTS.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (ROOT / "docs" / "calibration.md").write_text(text(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
