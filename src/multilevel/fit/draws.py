"""Draws of all parameters of a fit, by name.

    beta        (draws, p)       coordinate term
    sd          (draws, sds)     coordinates group, term
    cor         (draws, pairs)   coordinates group, term_1, term_2
    sigma       (draws,)         unless every row's standard error is known; of other families their constants by name
    r_<group>   (draws, L, k)    coordinates level, term

Of a sampled fit these are all its draws, the chains one after another; of others, draws from the approximate joint
distribution that the estimator provides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import correlation_pairs
from .tables import has_correlations, terms_by_group

if TYPE_CHECKING:
    from .fit import Fit

Coordinates = dict[str, list[str]]


@dataclass(frozen=True)
class Draws(Mapping[str, np.ndarray]):
    """Named arrays of draws; `coordinates[name]` labels the entries of each draw, `chains` says how many there are."""

    arrays: dict[str, np.ndarray]
    coordinates: dict[str, Coordinates]
    chains: int = 1

    @classmethod
    def of(cls, fit: Fit, n: int, rng: np.random.Generator) -> Draws:
        """`n` draws from the approximate joint distribution that the estimator provides."""
        return cls.named(fit, fit.estimates.certainty.draw(n, rng), n)

    @classmethod
    def of_sample(cls, fit: Fit) -> Draws:
        """All draws of a sampled fit."""
        sample = fit.estimates.certainty.sample
        assert sample is not None
        drawn = {
            "beta": sample.flat(sample.beta),
            "covariances": [sample.flat(c) for c in sample.covariances],
            "effects": [sample.flat(b) for b in sample.effects],
            "constants": {name: sample.flat(v) for name, v in sample.constants.items()},
            "sigma": None if sample.sigma is None else sample.flat(sample.sigma),
        }
        return cls.named(fit, drawn, sample.chains * sample.draws, sample.chains)

    @classmethod
    def named(cls, fit: Fit, drawn: Mapping[str, Any], n: int, chains: int = 1) -> Draws:
        """`n` draws of a fit's parameters (beta, sigma, covariances, effects, constants) by their names."""
        out = cls({"beta": drawn["beta"]}, {"beta": {"term": list(fit.model.design.fixed_names)}}, chains)
        _add_covariances(out, fit, drawn["covariances"], n)
        if fit.sigma is not None:
            out.arrays["sigma"], out.coordinates["sigma"] = drawn["sigma"], {}
        for name in fit.estimates.dispersion:
            if name in drawn.get("constants", {}):
                out.arrays[name], out.coordinates[name] = drawn["constants"][name], {}
        for label, terms in terms_by_group(fit).items():
            groups = [fit.model.design.groups[t] for t in terms]
            names = [name for g in groups for name in g.names]
            out.arrays[f"r_{label}"] = np.concatenate([drawn["effects"][t] for t in terms], axis=2)
            out.coordinates[f"r_{label}"] = {"level": list(groups[0].levels), "term": names}
        return out

    @property
    def n(self) -> int:
        """Number of draws."""
        return len(self.arrays["beta"])

    def by_chain(self, name: str) -> np.ndarray:
        """One array with its chains apart: (chains, draws a chain, …)."""
        a = self.arrays[name]
        return a.reshape(self.chains, -1, *a.shape[1:])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.arrays.items())
        return f"Draws({shapes})" if self.chains == 1 else f"Draws({self.chains} chains: {shapes})"


def _add_covariances(out: Draws, fit: Fit, covariances: Any, n: int) -> None:
    """Standard deviations of all terms, and correlations of those that have any."""
    sds, correlations = [np.zeros((n, 0))], [np.zeros((n, 0))]
    of_sds: Coordinates = {"group": [], "term": []}
    of_correlations: Coordinates = {"group": [], "term_1": [], "term_2": []}
    for label, terms in terms_by_group(fit).items():
        for t in terms:
            names, part = fit.model.design.groups[t].names, covariances[t]
            sd = np.sqrt(np.einsum("nkk->nk", part))
            sds.append(sd)
            of_sds["group"] += [label] * len(names)
            of_sds["term"] += names
            for i, j in correlation_pairs(len(names)) if has_correlations(fit, t) else ():
                with np.errstate(divide="ignore", invalid="ignore"):
                    correlations.append((part[:, i, j] / (sd[:, i] * sd[:, j]))[:, None])
                of_correlations["group"].append(label)
                of_correlations["term_1"].append(names[j])
                of_correlations["term_2"].append(names[i])
    out.arrays["sd"], out.coordinates["sd"] = np.concatenate(sds, axis=1), of_sds
    out.arrays["cor"], out.coordinates["cor"] = np.concatenate(correlations, axis=1), of_correlations
