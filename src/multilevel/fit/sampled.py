"""How sure a posterior is: every answer is read off the draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceWarning
from ..numerics.diagnostics import Diagnosis
from .chains import Chains, parameters
from .diagnostics import diagnose, sampler_warnings
from .estimates import Certainty, Combination, Estimates, Spread, correlation_pairs
from .sample import Sample

if TYPE_CHECKING:
    from ..model.model import Model

CHUNK = 2**22  # numbers held at once where combinations of draws are formed


@dataclass(frozen=True)
class SampledCertainty(Certainty):
    """Posterior covariances, intervals and spreads from draws."""

    drawn: Sample

    @property
    def sample(self) -> Sample:
        return self.drawn

    @cached_property
    def chains(self) -> Chains:
        """Draws of every parameter but the group effects."""
        return parameters(self.drawn)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """R̂ and effective draws of these."""
        return diagnose(self.drawn, self.chains.draws)

    def beta_covariance(self) -> np.ndarray:
        return np.atleast_2d(np.cov(self.sample.flat(self.sample.beta), rowvar=False))

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        return np.full(len(contrasts), np.inf)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        out = []
        for draws in self.sample.effects:
            b = self.sample.flat(draws)
            centred = b - b.mean(axis=0)
            out.append(np.einsum("slj,slk->ljk", centred, centred) / max(len(b) - 1, 1))
        return tuple(out)

    def combinations(self, rows: Combination, rng: np.random.Generator | None = None) -> np.ndarray:
        """Draws (C·S, m) of each combination; new levels are drawn from their population, a draw each."""
        sample = self.sample
        beta = np.nan_to_num(sample.flat(sample.beta))
        out = beta @ rows.x.T
        rng = rng or np.random.default_rng(0)
        for codes, z, effects, covariances in zip(rows.codes, rows.z, sample.effects, sample.covariances, strict=True):
            known, new = np.flatnonzero(codes >= 0), np.flatnonzero(codes == -2)
            b = sample.flat(effects)
            step = max(1, CHUNK // max(len(known) * b.shape[2], 1))
            for at in range(0, len(b), step):
                part = b[at : at + step][:, codes[known]]
                out[at : at + step, known] += np.einsum("smk,mk->sm", part, z[known])
            if len(new):
                variance = np.einsum("mj,sjk,mk->sm", z[new], sample.flat(covariances), z[new])
                out[:, new] += np.sqrt(np.maximum(variance, 0.0)) * rng.standard_normal(variance.shape)
        return np.asarray(out)

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        step = max(1, CHUNK // (self.sample.chains * self.sample.draws))
        parts = [np.zeros(0)]
        for at in range(0, len(rows.x), step):
            parts.append(np.var(self.combinations(_rows(rows, slice(at, at + step))), axis=0, ddof=1))
        variance = np.concatenate(parts)
        return Spread(variance, np.full(len(variance), np.inf))

    def covariance(self, rows: Combination) -> np.ndarray:
        return np.atleast_2d(np.cov(self.combinations(rows), rowvar=False))

    def _sd_draws(self, t: int) -> np.ndarray:
        return np.sqrt(np.einsum("skk->sk", self.sample.flat(self.sample.covariances[t])))

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        terms = [_intervals(self._sd_draws(t), level) for t in range(len(self.sample.covariances))]
        sigma = self.sample.sigma
        return terms, (np.nan, np.nan) if sigma is None else _intervals(sigma.reshape(-1, 1), level)[0]

    def correlation_draws(self, t: int) -> np.ndarray:
        """(C·S, pairs) of a term, in the order of `correlation_pairs`."""
        covariance, sd = self.sample.flat(self.sample.covariances[t]), self._sd_draws(t)
        pairs = correlation_pairs(sd.shape[1])
        return np.column_stack([covariance[:, i, j] / (sd[:, i] * sd[:, j]) for i, j in pairs] or [np.zeros(len(sd))])

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        return [
            _intervals(self.correlation_draws(t), level) if c.shape[-1] > 1 else []
            for t, c in enumerate(self.sample.covariances)
        ]

    def sd_errors(self) -> tuple[list[list[float]], float]:
        terms = [self._sd_draws(t).std(axis=0, ddof=1).tolist() for t in range(len(self.sample.covariances))]
        sigma = self.sample.sigma
        return terms, np.nan if sigma is None else float(np.std(sigma, ddof=1))

    def constants(self, level: float) -> Mapping[str, tuple[float, float, float, float]]:
        out = {}
        for name, draws in self.sample.constants.items():
            low, high = _intervals(draws.reshape(-1, 1), level)[0]
            out[name] = (float(draws.mean()), float(draws.std(ddof=1)), low, high)
        return out

    def effect_variance(self, rows: Combination) -> np.ndarray:
        return self.spread(replace(rows, x=np.zeros_like(rows.x))).variance

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """`n` of the draws, with repetition only where there are fewer."""
        sample = self.sample
        total = sample.chains * sample.draws
        index = rng.permutation(total)[:n] if n < total else np.arange(n) % total
        out: dict[str, Any] = {
            "beta": sample.flat(sample.beta)[index],
            "covariances": tuple(sample.flat(c)[index] for c in sample.covariances),
            "effects": tuple(sample.flat(e)[index] for e in sample.effects),
            "constants": {name: sample.flat(v)[index] for name, v in sample.constants.items()},
        }
        if sample.sigma is not None:
            out["sigma"] = sample.flat(sample.sigma)[index]
        return out


def _rows(rows: Combination, at: slice) -> Combination:
    """Some of the combinations."""
    return Combination(rows.x[at], tuple(c[at] for c in rows.codes), tuple(z[at] for z in rows.z))


def _intervals(draws: np.ndarray, level: float) -> list[tuple[float, float]]:
    """Equal-tailed intervals of the columns."""
    ends = np.quantile(draws, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
    return [(float(a), float(b)) for a, b in ends.T]


def estimates_of(model: Model, sample: Sample, warnings: tuple[Any, ...] = ()) -> Estimates:
    """Posterior means as estimates, the draws as certainty; warnings of the draws follow those given.

    The fit counts as converged when nothing speaks against its draws (`diagnostics.sampler_warnings`).
    """
    certainty = SampledCertainty(sample)
    sds = [np.sqrt(np.einsum("csjj->csj", c)).mean(axis=(0, 1)) for c in sample.covariances]
    count = sum(len(scale.kinds()) for scale in model.scales)
    found = sampler_warnings(model, sample, certainty.diagnosis)
    return Estimates(
        criterion="posterior",
        beta=sample.beta.mean(axis=(0, 1)),
        sigma=None if sample.sigma is None else float(sample.sigma.mean()),
        covariances=tuple(c.mean(axis=(0, 1)) for c in sample.covariances),
        effects=sample.effect_means,
        log_likelihood=np.nan,
        objective=np.nan,
        n_parameters=int(np.isfinite(sample.beta[0, 0]).sum())
        + count
        + int(sample.sigma is not None)
        + len(sample.constants),
        certainty=certainty,
        converged=not any(isinstance(w, ConvergenceWarning) for w in found),
        warnings=(*warnings, *found),
        notes={"method": sample.info.get("sampler", ""), "sds": [s.tolist() for s in sds]},
        dispersion={name: float(v.mean()) for name, v in sample.constants.items()},
    )
