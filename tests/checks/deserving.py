"""Simulated tables: healthy ones, and one for each advice that deserves it. Used by several files of this folder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from multilevel.predictions.targets import matrix

FORMULA = "y ~ x + w + (1 | g)"


def healthy(seed: int, levels: int = 30, rows: int = 10, tau: float = 0.8) -> pd.DataFrame:
    """Exactly the model y = 1 + x/2 + 0.3 w + b_g + e, beside five columns that have nothing to do with y."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    n = len(g)
    x, w = rng.normal(size=n) + 0.5 * rng.normal(size=levels)[g], rng.normal(size=levels)[g]
    y = 1 + 0.5 * x + 0.3 * w + tau * rng.normal(size=levels)[g] + rng.normal(size=n)
    unused = {
        "noise_text": rng.choice(list("abcdefgh"), n),
        "noise_count": rng.integers(0, 30, n),
        "noise_group": rng.normal(size=levels)[g],
        "noise_region": rng.integers(0, 5, levels)[g].astype(str),
        "noise_code": rng.integers(1, 4, levels)[g],
    }
    return pd.DataFrame({"y": y, "g": [f"g{i}" for i in g], "x": x, "w": w, **unused})


def codes(data: pd.DataFrame) -> np.ndarray:
    return pd.factorize(data["g"])[0]


def unhealthy(what: str, seed: int = 0) -> pd.DataFrame:
    """A healthy table with one thing changed."""
    data = healthy(seed, levels=40, rows=12)
    rng = np.random.default_rng(seed + 999)
    g, n = codes(data), len(data)
    return CHANGES[what](data, g, n, rng)


def _class_left_out(d, g, n, rng):
    room = g * 3 + rng.integers(0, 3, n)
    return d.assign(room=[f"r{i}" for i in room], y=d["y"] + 0.8 * rng.normal(size=room.max() + 1)[room])


def _crossed_left_out(d, g, n, rng):
    rater = rng.integers(0, 12, n)
    return d.assign(rater=rater, y=d["y"] + 0.6 * rng.normal(size=12)[rater])


def _district_left_out(d, g, n, rng):
    district = g // 5
    return d.assign(district=[f"d{i}" for i in district], y=d["y"] + 1.5 * rng.normal(size=8)[district])


def _factor_left_out(d, g, n, rng):
    return d.assign(sex=rng.choice(["f", "m"], n)).assign(y=lambda t: t["y"] + 1.0 * (t["sex"] == "f"))


def _group_predictor(d, g, n, rng):
    size = rng.normal(size=40)[g]
    return d.assign(funding=size, y=d["y"] + 0.8 * size)


def _slope(d, g, n, rng):
    return d.assign(y=d["y"] + 0.6 * rng.normal(size=40)[g] * d["x"])


def _contextual(d, g, n, rng):
    means = d["x"].groupby(g).transform("mean").to_numpy()
    return d.assign(y=d["y"] + 1.5 * means)


def _two_kinds(d, g, n, rng):
    kind = rng.permutation(np.repeat([0.0, 1.0], 20))[g]
    return d.assign(y=d["y"] + 4.0 * kind)


def _curve(d, g, n, rng):
    return d.assign(y=d["y"] + 0.4 * d["x"] ** 2)


def _spread(d, g, n, rng):
    return d.assign(y=d["y"] + rng.normal(size=n) * 0.8 * np.exp(0.7 * d["x"]))


def _spread_by_group(d, g, n, rng):
    return d.assign(y=d["y"] + rng.normal(size=n) * rng.choice([0.0, 2.5], 40)[g])


def _outlier(d, g, n, rng):
    y = d["y"].to_numpy().copy()
    y[17] += 9.0
    return d.assign(y=y)


def _heavy(d, g, n, rng):
    return d.assign(y=d["y"] + 1.2 * rng.standard_t(2.2, size=n))


def _skew_groups(d, g, n, rng):
    return d.assign(y=d["y"] + 3.0 * (rng.exponential(size=40) ** 2)[g])


def _far_group(d, g, n, rng):
    return d.assign(y=d["y"] + 7.0 * (g == 3))


def _serial(d, g, n, rng):
    e = rng.normal(size=n)
    for i in range(1, n):
        if g[i] == g[i - 1]:
            e[i] = 0.6 * e[i - 1] + 0.8 * e[i]
    return d.assign(y=d["y"] - 0.0 + 1.5 * e)


def _floor(d, g, n, rng):
    return d.assign(y=np.where(g == 7, d["y"] + 5.0 * rng.normal(size=n), d["y"]))


CHANGES = {
    "class left out": _class_left_out,
    "crossed left out": _crossed_left_out,
    "district left out": _district_left_out,
    "factor left out": _factor_left_out,
    "group predictor": _group_predictor,
    "slope": _slope,
    "contextual": _contextual,
    "two kinds": _two_kinds,
    "curve": _curve,
    "spread": _spread,
    "spread by group": _spread_by_group,
    "outlier": _outlier,
    "heavy tails": _heavy,
    "skew groups": _skew_groups,
    "far group": _far_group,
    "serial": _serial,
    "wild group": _floor,
}
EXPECTED = {
    "class left out": "N_LEFT_OUT_GROUP",
    "crossed left out": "N_LEFT_OUT_GROUP",
    "district left out": "N_LEFT_OUT_GROUP",
    "factor left out": "N_LEFT_OUT_GROUP",
    "group predictor": "N_GROUP_PREDICTOR",
    "slope": "N_OMITTED_SLOPE",
    "contextual": "N_WITHIN_BETWEEN",
    "two kinds": "N_MIXTURE",
    "curve": "N_CURVATURE",
    "spread": "N_SPREAD",
    "spread by group": "N_SPREAD_GROUPS",
    "outlier": "N_OUTLIERS",
    "heavy tails": "N_RESIDUAL_SHAPE",
    "skew groups": "N_EFFECT_SHAPE",
    "far group": "N_OUTLYING_LEVELS",
    "serial": "N_AUTOCORRELATION",
    "wild group": "N_PREDICTIVE",
}


def dense(fit):
    """V over σ² and P̃ as matrices."""
    design = fit.model.design
    sigma2 = 1.0 if fit.sigma is None else fit.sigma**2
    w = np.ones(design.n) if design.weights is None else design.weights
    w = w if design.known_se is None else w / design.known_se**2
    x = matrix(design.fixed_columns, design.n)
    v = np.diag(1.0 / w)
    for group, covariance in zip(design.groups, fit.estimates.covariances, strict=True):
        z = matrix(group.columns, design.n)
        v += np.einsum("ik,kl,jl->ij", z, covariance / sigma2, z) * (group.codes[:, None] == group.codes)
    inverse = np.linalg.inv(v)
    projection = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    return v, projection
