"""Samples made of synthetic draws: what a sampler would hand over, without one.

Draws are normal around the estimates of a likelihood fit with its own covariances, independent or autocorrelated: their
diagnostics have known answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import multilevel as ml
from multilevel.errors import warn
from multilevel.estimators.base import Estimator
from multilevel.estimators.bayesian import Bayesian
from multilevel.fit.fit import Fit
from multilevel.fit.sample import Sample
from multilevel.fit.sampled import estimates_of


def series(rng: np.random.Generator, shape: tuple[int, ...], rho: float = 0.0) -> np.ndarray:
    """Stationary AR(1) series of unit variance along the second axis: (chains, draws, …)."""
    e = rng.standard_normal(shape)
    if rho == 0.0:
        return e
    out = np.empty_like(e)
    out[:, 0] = e[:, 0]
    for t in range(1, shape[1]):
        out[:, t] = rho * out[:, t - 1] + np.sqrt(1.0 - rho**2) * e[:, t]
    return out


def sample_of(fit: Fit, chains: int = 4, draws: int = 500, rho: float = 0.0, seed: int = 0, **info: Any) -> Sample:
    """A sample around the estimates of a likelihood fit, with statistics as those of NUTS."""
    rng, e = np.random.default_rng(seed), fit.estimates
    size = (chains, draws)
    beta = e.beta + series(rng, (*size, len(e.beta)), rho) @ _root(fit.vcov).T
    covariances, effects = [], []
    parts = zip(e.covariances, e.effects, fit.effect_covariances, fit.model.scales, strict=True)
    for covariance, b, spread, kind in parts:
        k = len(covariance)
        scale = np.exp(0.15 * series(rng, (*size, k), rho))
        noise = np.eye(k) + 0.1 * series(rng, (*size, k, k), rho)
        noise *= np.eye(k) if set(kind.kinds()) == {"positive"} else 1.0  # a diagonal covariance stays one
        covariance = covariance + np.diag(np.where(np.diag(covariance) > 0.0, 0.0, 0.01))  # no variance is zero
        root = scale[..., None] * np.linalg.cholesky(covariance) @ noise
        covariances.append(root @ np.swapaxes(root, -1, -2))
        draw = series(rng, (*size, *b.shape), rho)
        effects.append(b + np.einsum("ljk,cslk->cslj", np.stack([_root(s) for s in spread]), draw))
    sigma = None if e.sigma is None else e.sigma * np.exp(0.05 * series(rng, size, rho))
    constants = {name: value * np.exp(0.1 * series(rng, size, rho)) for name, value in e.dispersion.items()}
    z = np.log(np.concatenate([np.sqrt(np.einsum("cskk->csk", c)) for c in covariances], axis=2))
    target = -0.5 * (z - z.mean(axis=(0, 1))) ** 2
    stats = {
        "divergent": np.zeros(size, dtype=bool),
        "tree_depth": rng.integers(2, 4, size),
        "energy": -target.sum(axis=2) + rng.chisquare(z.shape[2], size) / 2,
        "acceptance": rng.uniform(0.7, 1.0, size),
        "step_size": np.full(size, 0.6),
        "n_steps": rng.integers(3, 15, size),
    }
    told = {"sampler": "synthetic draws", "exact": True, "tune": 500, "seed": seed, **info}
    names = tuple(f"sd[{j}]" for j in range(z.shape[2]))
    return Sample(beta, tuple(covariances), tuple(effects), sigma, constants, z, names, target.sum(axis=2),
                  np.zeros(size), stats, told)  # fmt: skip


def _root(covariance: np.ndarray) -> np.ndarray:
    """Σ^½, with dropped columns left where they are."""
    values, vectors = np.linalg.eigh(np.nan_to_num(covariance))
    return vectors * np.sqrt(np.maximum(values, 0.0))


def fit_of(likelihood: Fit, sample: Sample, issue: bool = False) -> Fit:
    """The fit that a sampler would have made of these draws."""
    estimates = estimates_of(likelihood.model, sample)
    for warning in estimates.warnings if issue else ():
        warn(warning)
    return Fit(likelihood.model, stand_in(), estimates, 1.5)


def stand_in() -> Estimator:
    """Any Bayesian estimator of the package: its settings only are looked at."""
    from multilevel.registry import member, members

    for name in ("collapsed", *members("estimators")):
        if name in members("estimators"):
            kind = member("estimators", name)
            if issubclass(kind, Bayesian):
                return kind()
    return member("estimators", "reml")()


def sampled(formula: str, data: Any, family: str = "gaussian", **settings: Any) -> Fit:
    """A sampled fit of synthetic draws around the likelihood fit."""
    found = ml.fit(formula, data, family=family)
    return fit_of(found, sample_of(found, **settings))
