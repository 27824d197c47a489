"""Gibbs sampling: blocks drawn in turn from their conditional distributions, all chains at once.

A sweep:

    1. what makes the response normal (Pólya–Gamma variables), constants of the family, σ
    2. for each group term: its covariance given its effects, then given its standardised effects (`gibbs_terms.py`)
    3. scales that priors of coefficients bring
    4. all coefficients and effects in one block (or factor by factor, coefficients with each)

Whatever prior a parameter has, the posterior is that of `model.priors`: conjugate draws where there are any, slices of
one coordinate elsewhere.

References: Gelfand & Smith (1990), JASA 85; Yu & Meng (2011); Polson, Scott & Windle (2013).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.coordinates import Coordinates
from ..fit.sample import Sample
from .from_prior import Parameters
from .from_prior import coordinates_of as _coordinates_of
from .gibbs_coefficients import CoefficientPriors
from .gibbs_linear import LinearSystem
from .gibbs_system import State, System, standardised, sums
from .gibbs_terms import TermUpdate

if TYPE_CHECKING:
    from ..model.model import Model


SETTLED = 0.4  # share of the warm-up after which autocorrelation is looked at
SHORTEST = 100  # sweeps that show it
WANTED = 250.0  # effective draws of a chain
MOST = 16


class Gibbs:
    """The sweeps of one model.

    Parameters
    ----------
    system : System
        The likelihood's part.
    model : Model
    interweave : bool
        Whether covariances are also updated given standardised effects.
    """

    def __init__(self, system: System, model: Model, interweave: bool = True) -> None:
        self.system, self.model, self.interweave = system, model, interweave
        self.coefficients = CoefficientPriors(model.priors)
        self.terms = [
            TermUpdate(block, prior, levels)
            for block, prior, levels in zip(system.coordinates.blocks, model.priors.terms, system.levels, strict=True)
        ]
        if isinstance(system, LinearSystem):
            system.scaled = [(t, update) for t, update in enumerate(self.terms) if update.needs_sigma]

    def sweep(self, state: State, rng: np.random.Generator) -> None:
        """One update of everything, in place."""
        self.system.augment(state, rng)
        for t in range(len(self.terms)):
            self.update_term(state, t, rng)
        if self.coefficients.extras:
            state.extras = self.coefficients.update_extras(state.beta, state.extras, rng)
        self.update_location(state, rng)

    def update_term(self, state: State, t: int, rng: np.random.Generator) -> None:
        """The covariance of one term, and with the second step its effects."""
        update, b = self.terms[t], state.effects[t]
        scatter = np.matmul(b.transpose(0, 2, 1), b)
        state.terms[t] = update.given_effects(state.terms[t], scatter, state.sigma, rng)
        if not self.interweave:
            return
        u = standardised(update.block.factor(state.terms[t]), b)
        linear, quadratic = sums(*self.system.information(state, t), u)
        state.terms[t] = update.given_standardised(state.terms[t], linear, quadratic, state.sigma, rng)
        state.effects[t] = np.matmul(u, update.block.factor(state.terms[t]).transpose(0, 2, 1))

    def update_location(self, state: State, rng: np.random.Generator) -> None:
        """Coefficients and effects; priors that are no mixtures of normals decide whether the draw is taken."""
        pseudo = self.coefficients.normal(state.beta, state.extras, rng)
        beta, effects = self.system.draw_location(state, pseudo, rng)
        if self.coefficients.others:
            gain = self.coefficients.log_others(beta, state.extras)
            gain = gain - self.coefficients.log_others(state.beta, state.extras)
            taken = np.log(rng.random(len(gain))) < gain
            beta = np.where(taken[:, None], beta, state.beta)
            pairs = zip(effects, state.effects, strict=True)
            effects = [np.where(taken[:, None, None], new, old) for new, old in pairs]
        state.beta, state.effects = beta, effects

    def stop_tuning(self) -> None:
        """Widths of slices stay as they are from here on."""
        for update in self.terms:
            update.stop_tuning()
        self.coefficients.stepper.tuning = False
        stepper = getattr(self.system, "stepper", None)
        if stepper is not None:
            stepper.tuning = False

    # --- a whole run ---------------------------------------------------------------------------------------------
    def run(
        self, draws: int, tune: int, chains: int, seed: int, thin: int | str = 1,
        tick: Callable[[int], None] | None = None,
    ) -> tuple[Recorder, bool]:  # fmt: skip
        """Tune, then keep every `thin`-th of draws × thin sweeps; the second value says whether it was interrupted."""
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        state = self.system.start(chains, rng)
        kept = Recorder(state, draws)
        done = 0
        path: list[np.ndarray] = []  # of the last sweeps of the warm-up
        try:
            for i in range(tune):
                self.sweep(state, rng)
                if thin == "auto" and i >= tune * SETTLED:
                    path.append(state.scales())
                done += 1
                if tick:
                    tick(done)
            self.stop_tuning()
            kept.thin = enough(path, draws) if isinstance(thin, str) else thin
            for _ in range(draws):
                for _ in range(kept.thin):
                    self.sweep(state, rng)
                kept.add(state)
                done += kept.thin
                if tick:
                    tick(done)
        except KeyboardInterrupt:
            if kept.n < 4:
                raise
            return kept, True
        return kept, False


def enough(path: list[np.ndarray], draws: int) -> int:
    """Sweeps a draw with which `draws` of them suffice, by the autocorrelation of a path (sweeps, C, d)."""
    from ..numerics.diagnostics import diagnose

    if len(path) < SHORTEST or path[0].shape[1] == 0:
        return 1
    x = np.array(path).transpose(1, 0, 2)
    x = x[:, :, np.ptp(x, axis=(0, 1)) > 0.0]
    if x.shape[2] == 0:
        return 1
    found = diagnose(x)
    effective = float(np.nanmin(np.minimum(found.ess_bulk, found.ess_tail)))
    share = effective / (x.shape[0] * x.shape[1])  # of one sweep
    wanted = min(WANTED / draws, 0.5)
    return int(np.clip(np.ceil(wanted / max(share, 1e-6)), 1, MOST))


class Recorder:
    """Draws kept, (C, S, …) each."""

    def __init__(self, state: State, draws: int) -> None:
        C = state.chains
        self.n, self.thin = 0, 1
        self.terms = [np.empty((C, draws, x.shape[1])) for x in state.terms]
        self.sigma = np.empty((C, draws))
        self.beta = np.empty((C, draws, state.beta.shape[1]))
        self.effects = [np.empty((C, draws, *b.shape[1:])) for b in state.effects]
        self.extras = np.empty((C, draws, state.extras.shape[1]))
        self.constants = {name: np.empty((C, draws)) for name in state.constants}

    def add(self, state: State) -> None:
        """Keep a copy of where the chains are."""
        s = self.n
        for out, x in zip(self.terms, state.terms, strict=True):
            out[:, s] = x
        for of_term, b in zip(self.effects, state.effects, strict=True):
            of_term[:, s] = b
        self.sigma[:, s], self.beta[:, s], self.extras[:, s] = state.sigma, state.beta, state.extras
        for name, values in self.constants.items():
            values[:, s] = state.constants[name]
        self.n += 1

    def cut(self) -> None:
        """Drop what was not reached."""
        n = self.n
        self.terms, self.effects = [x[:, :n] for x in self.terms], [b[:, :n] for b in self.effects]
        self.sigma, self.beta, self.extras = self.sigma[:, :n], self.beta[:, :n], self.extras[:, :n]
        self.constants = {name: v[:, :n] for name, v in self.constants.items()}


def coordinates_of(kept: Recorder, coords: Coordinates) -> np.ndarray:
    """z (C, S, d) of the draws."""
    n = kept.sigma.size
    flat = Parameters(
        kept.beta.reshape(n, kept.beta.shape[2]), kept.sigma.ravel(),
        tuple(x.reshape(n, x.shape[2]) for x in kept.terms), (), (),
        {name: v.ravel() for name, v in kept.constants.items()}, kept.extras.reshape(n, kept.extras.shape[2]),
    )  # fmt: skip
    return _coordinates_of(flat, coords).reshape(*kept.sigma.shape, coords.d)


def sample_of(
    model: Model, kept: Recorder, coords: Coordinates, log_posterior: np.ndarray, log_prior: np.ndarray, z: np.ndarray,
    info: dict[str, Any],
) -> Sample:  # fmt: skip
    """The draws as every sampler hands them over."""
    factors = [b.factor(x.reshape(-1, x.shape[2])) for b, x in zip(coords.blocks, kept.terms, strict=True)]
    beta = kept.beta.copy()
    beta[:, :, [j for j, _ in model.dropped]] = np.nan
    known = not model.is_linear or model.design.known_se is not None
    return Sample(
        beta=beta,
        covariances=tuple((f @ f.transpose(0, 2, 1)).reshape(*kept.sigma.shape, *f.shape[1:]) for f in factors),
        effects=tuple(kept.effects),
        sigma=None if known else kept.sigma,
        constants=kept.constants,
        z=z,
        names=coords.names,
        log_posterior=log_posterior,
        log_prior=log_prior,
        stats={},
        info=info,
    )
