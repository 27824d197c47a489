"""What is wrong with the draws of a fit, if anything: warnings that name the worst parameters, and the remedy.

    R̂ > 1.01        the chains disagree                      W_RHAT          k̂ too large         W_KHAT
    ESS < 100·chains  means or tails are not known well        W_ESS           interrupted         W_PARTIAL
    divergences       a part of the posterior was not entered  W_DIVERGENT     tree depth          W_TREE_DEPTH
    E-BFMI < 0.3      the energy hardly moves                  W_EBFMI

All group effects are screened by their split R̂ of moments, and those that look worst are looked at in full. The largest
R̂ of many exceeds 1.01 by chance: an effect counts where its effective draws are few as well, or above 1.05.

References: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16, section 4; Betancourt (2017),
arXiv:1701.02434; Vehtari, Simpson, Gelman, Yao & Gabry (2024), Journal of Machine Learning Research 25 (k̂).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceWarning, MultilevelWarning, listed, printable
from ..numerics import diagnostics as numbers
from . import chains as of
from .sample import Sample

if TYPE_CHECKING:
    from ..model.model import Model
    from .fit import Fit

MOST_RHAT, HIGH_RHAT = 1.01, 1.05
LEAST_ESS = 100  # for each chain
LEAST_EBFMI = 0.3
DEEPEST = 10  # of trees, where the sampler does not say
OFTEN = 0.01  # share of draws that may end at that depth
SUSPECTS = 20  # group effects of each term that are looked at in full
CELLS = 4_000_000  # draws screened at once


def diagnose(sample: Sample, draws: np.ndarray) -> numbers.Diagnosis:
    """R̂ and effective draws; weighted draws that were dealt to chains are worth no more than their weights say."""
    found = numbers.diagnose(draws)
    most = sample.info.get("ess")
    if not isinstance(most, int | float) or not most > 0.0:
        return found
    bulk = np.minimum(found.ess_bulk, float(most))
    tail = np.minimum(found.ess_tail, float(sample.info.get("ess_tail", most)))
    return numbers.Diagnosis(found.rhat, bulk, tail, found.mcse_mean)


@dataclass(frozen=True)
class Worst:
    """Diagnostics of the parameters, and of the group effects that look worst."""

    chains: of.Chains
    found: numbers.Diagnosis
    suspects: of.Chains
    suspected: numbers.Diagnosis

    def high_rhat(self, enough: float) -> list[tuple[of.Key, float]]:
        """Parameters with too large an R̂, the worst first."""
        bad = self.found.rhat > MOST_RHAT
        rhat, few = self.suspected.rhat, self.suspected.ess_bulk < enough
        also = (rhat > HIGH_RHAT) | ((rhat > MOST_RHAT) & few)
        return _ranked(self.chains, self.found.rhat, bad, -1.0) + _ranked(self.suspects, rhat, also, -1.0)

    def low_ess(self, enough: float) -> list[tuple[of.Key, float]]:
        """Parameters with too few effective draws, the worst first."""
        out = []
        for chains, found in ((self.chains, self.found), (self.suspects, self.suspected)):
            ess = np.fmin(found.ess_bulk, found.ess_tail)
            out += _ranked(chains, ess, ess < enough, 1.0)
        return out


def worst(sample: Sample, found: numbers.Diagnosis | None = None) -> Worst:
    """Diagnostics of what matters; `found` are those of the parameters where they are known."""
    chains = of.parameters(sample)
    screened = 0 if _dealt(sample) else len(sample.effects)  # of independent draws none is worse but by chance
    parts = [_suspects(sample, t) for t in range(screened)]
    suspects = of.Chains((), np.zeros((sample.chains, sample.draws, 0)))
    for part in parts:
        suspects = suspects + part
    return Worst(chains, found or diagnose(sample, chains.draws), suspects, diagnose(sample, suspects.draws))


def _suspects(sample: Sample, t: int) -> of.Chains:
    draws = sample.effects[t]
    levels, k = draws.shape[2:]
    half = sample.draws // 2
    if half < 2:
        order = np.arange(min(levels * k, SUSPECTS))
    else:
        step = max(1, CELLS // (2 * half * sample.chains * k))
        ratio = np.concatenate([_split(draws[:, :, at : at + step], half) for at in range(0, levels, step)])
        order = np.argsort(-ratio, kind="stable")[:SUSPECTS]
    keys: tuple[of.Key, ...] = tuple(("r", t, int(i) // k, int(i) % k) for i in order)
    return of.Chains(keys, draws.reshape(*draws.shape[:2], -1)[:, :, order])


def _split(draws: np.ndarray, half: int) -> np.ndarray:
    """Variance between half chains over that within them, of every effect."""
    with np.errstate(all="ignore"):
        halves = np.concatenate([draws[:, :half], draws[:, -half:]])
        within = halves.var(axis=1, ddof=1).mean(axis=0)
        between = halves.mean(axis=1).var(axis=0, ddof=1)
        return np.nan_to_num((between / within).ravel(), nan=-1.0)


def _dealt(sample: Sample) -> bool:
    """Independent draws that were dealt to chains at random: R̂ would say nothing of the sampler."""
    return sample.info.get("ess") is not None and not sample.stats


def _ranked(chains: of.Chains, values: np.ndarray, bad: np.ndarray, sign: float) -> list[tuple[of.Key, float]]:
    order = sorted(np.flatnonzero(bad), key=lambda i: sign * values[i])
    return [(chains.keys[i], float(values[i])) for i in order]


# --- warnings ------------------------------------------------------------------------------------------------------
def sampler_warnings(model: Model, sample: Sample, found: numbers.Diagnosis | None = None) -> tuple[Any, ...]:
    """Everything that speaks against the draws; nothing for a healthy run."""
    return tuple(_warnings(model, sample, worst(sample, found)))


def _warnings(model: Model, sample: Sample, seen: Worst) -> Iterator[MultilevelWarning]:
    if sample.info.get("partial"):
        yield _partial(sample)
    enough = float(LEAST_ESS * sample.chains)
    divergent = int(np.sum(sample.stats.get("divergent", 0)))
    if divergent:
        yield _divergent(sample, divergent)
    high = [] if _dealt(sample) else seen.high_rhat(enough)
    if high:
        yield _disagreement(model, sample, high)
    low = seen.low_ess(enough)
    if low:
        yield _few(model, sample, low, enough)
    yield from _energy(sample)
    yield from _depth(sample)
    yield from _khat(sample)


def _partial(sample: Sample) -> MultilevelWarning:
    return ConvergenceWarning(
        f"sampling was interrupted: {sample.draws} draws a chain were kept",
        code="W_PARTIAL",
        hint="Run it to the end before reporting numbers.",
        draws=sample.draws,
    )


def _divergent(sample: Sample, count: int) -> MultilevelWarning:
    total = sample.chains * sample.draws
    return ConvergenceWarning(
        f"{count} of {total} transitions diverged: there is a part of the posterior that the sampler did not enter",
        code="W_DIVERGENT",
        hint="Raise target_accept (0.95, 0.99); if they stay, give the standard deviations a tighter prior or use "
        "another estimator. ml.plot.pair shows where they are.",
        divergent=count,
    )


def _named(model: Model, found: list[tuple[of.Key, float]], digits: str) -> str:
    shown = [f"{of.address(model, key)} ({value:{digits}})" for key, value in found]
    return listed(shown, 3)


def _longer(sample: Sample, factor: float) -> str:
    """How many draws would do."""
    wanted = sample.draws * factor
    unit = 10.0 ** max(math.floor(math.log10(wanted)) - 1, 0) if math.isfinite(wanted) and wanted > 0.0 else 1.0
    return f"draws={math.ceil(wanted / unit) * unit:.0f}" if math.isfinite(wanted) else "many more draws"


def _disagreement(model: Model, sample: Sample, found: list[tuple[of.Key, float]]) -> MultilevelWarning:
    names = _named(model, found, ".3f")
    nearly = max(value for _, value in found) < HIGH_RHAT
    remedy = f"Raise tune and draws ({_longer(sample, 2.0)})"
    stay = "chains that stay apart mean several modes, or a parameter that data and priors do not identify"
    return ConvergenceWarning(
        f"the chains have not {'quite ' if nearly else ''}mixed: R-hat above {MOST_RHAT} for {names}",
        code="W_RHAT",
        hint=f"{remedy}." if nearly else f"Do not use these draws. {remedy}, and look at ml.plot.trace: {stay}.",
        parameters=[of.address(model, key) for key, _ in found],
    )


def _few(model: Model, sample: Sample, found: list[tuple[of.Key, float]], enough: float) -> MultilevelWarning:
    factor = 1.2 * enough / max(found[0][1], 1.0)
    return ConvergenceWarning(
        f"fewer than {enough:.0f} effective draws for {_named(model, found, '.0f')}",
        code="W_ESS",
        hint=f"Means and intervals of these are rough; about {_longer(sample, factor)} would do.",
        parameters=[of.address(model, key) for key, _ in found],
    )


def _energy(sample: Sample) -> Iterator[MultilevelWarning]:
    energy = sample.stats.get("energy")
    if energy is None:
        return
    values = numbers.e_bfmi(np.asarray(energy, dtype=float))
    low = values[np.isfinite(values) & (values < LEAST_EBFMI)]
    if len(low):
        which = f"{len(low)} of {len(values)} chains" if len(values) > 1 else "the chain"
        yield ConvergenceWarning(
            f"E-BFMI is {low.min():.2f} (below {LEAST_EBFMI}) in {which}: the energy hardly moves",
            code="W_EBFMI",
            hint="Tails are visited rarely: raise tune, or give weakly identified parameters a tighter prior.",
            e_bfmi=[float(v) for v in values],
        )


def _depth(sample: Sample) -> Iterator[MultilevelWarning]:
    depth = sample.stats.get("tree_depth")
    if depth is None:
        return
    deepest = int(sample.info.get("max_depth") or DEEPEST)
    share = float(np.mean(np.asarray(depth) >= deepest))
    if share > OFTEN:
        yield MultilevelWarning(
            f"{100.0 * share:.0f}% of the trajectories ended at the greatest tree depth, {deepest}",
            code="W_TREE_DEPTH",
            hint="Slow, not wrong, where the other diagnostics are good: raise tune, or max_depth.",
            share=share,
        )


def most_khat(n: float) -> float:
    """The largest good k̂ of so many draws: min(1 − 1/log₁₀ S, 0.7)."""
    return min(1.0 - 1.0 / math.log10(max(n, 11.0)), 0.7)


def _khat(sample: Sample) -> Iterator[MultilevelWarning]:
    khat = sample.info.get("khat")
    if not isinstance(khat, int | float) or khat != khat:
        return
    most = most_khat(float(sample.info.get("points") or sample.chains * sample.draws))
    if khat > most:
        bad = "very bad" if khat > 1.0 else "bad"
        yield ConvergenceWarning(
            f"Pareto k-hat of the importance weights is {khat:.2f} ({bad}; good below {most:.2f}): a few draws carry "
            "the weight, and means and intervals are not reliable",
            code="W_KHAT",
            hint='Use estimator="nuts".',
            khat=float(khat),
        )


# --- what the sampler did ------------------------------------------------------------------------------------------
def sample_of(fit: Fit, what: str) -> Sample:
    """The draws of a sampled fit.

    Raises
    ------
    SettingError
        E_NOT_SAMPLED
    """
    from ..errors import SettingError

    sample = fit.estimates.certainty.sample
    if sample is None:
        raise SettingError(
            f'{what} are of draws, and the estimator "{printable(fit.estimator.name)}" draws none',
            code="E_NOT_SAMPLED",
            hint='Fit with a sampler, such as estimator="nuts".',
        )
    return sample


def sampler(sample: Sample) -> dict[str, Any]:
    """What the sampler did, as numbers, text and lists of numbers."""
    out: dict[str, Any] = {"sampler": str(sample.info.get("sampler", "")), "chains": sample.chains}
    out.update(draws=sample.draws, tune=sample.info.get("tune"), seed=sample.info.get("seed"))
    out["partial"] = bool(sample.info.get("partial", False))
    for name in ("exact", "khat", "ess", "ess_tail", "points", "log_evidence"):
        value = sample.info.get(name)
        if value is not None and value == value:
            out[name] = value
    stats = {name: np.asarray(values, dtype=float) for name, values in sample.stats.items()}
    if "divergent" in stats:
        out["divergent"] = int(stats["divergent"].sum())
    if "energy" in stats:
        out["e_bfmi"] = [float(v) for v in numbers.e_bfmi(stats["energy"])]
    if "tree_depth" in stats:
        out["tree_depth"] = int(stats["tree_depth"].max(initial=0))
    for name in ("acceptance", "step_size", "n_steps"):
        if name in stats:
            out[name] = float(stats[name].mean())
    return out
