"""Geweke's joint distribution test of a Gibbs sampler, block by block.

    (θ, y) ~ p(θ) p(y | θ)                                    marginal-conditional simulation
    θ ← one update given y,   y ~ p(y | θ),   again and again     successive-conditional simulation

If the update leaves p(θ | y) invariant, both simulate the same joint distribution. The second one is started from the
first and run many times anew: its ends are independent draws, so that no autocorrelation has to be estimated, and each
block can be tested on its own. Ends are compared with draws from the prior by their normal scores, means and squares,
for every coordinate, the size of the standardised effects, and the log-likelihood of the response.

References: Geweke (2004), JASA 99, 799-804; Gandy & Scott (2021), *Unit testing for MCMC and other Monte Carlo
methods*, arXiv 2001.06465.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..samplers.from_prior import Parameters, coordinates_of, draw_parameters
from ..samplers.gibbs_system import State, standardised
from .base import holm
from .simulated import Simulator

if TYPE_CHECKING:
    from ..model.model import Model
    from ..samplers.gibbs import Gibbs

LEVEL = 0.01
BLOCKS = ("sweep", "terms", "location", "scales")
MORE = 4  # draws from the prior for each end: they cost little
Update = Callable[["Gibbs", State, np.random.Generator], None]


@dataclass(frozen=True)
class Geweke:
    """Ends of successive-conditional simulation against the prior.

    Parameters
    ----------
    names : quantities compared
    scores : z-values of the difference, (quantities, 2): of the mean, and of the spread
    n, length : replicates, and updates of each
    """

    names: tuple[str, ...]
    scores: np.ndarray = field(repr=False)
    n: int
    length: int
    block: str
    native: str = "pandas"

    @property
    def p(self) -> np.ndarray:
        """p-values by quantity, both scores taken together and adjusted by Holm's method."""
        from scipy.special import ndtr

        raw = 2.0 * ndtr(-np.abs(self.scores))
        return np.asarray(holm(np.minimum(2.0 * raw.min(axis=1), 1.0)))

    @property
    def passed(self) -> bool:
        """No adjusted p-value below 0.01."""
        return bool(np.all(self.p > LEVEL))

    @property
    def table(self) -> Any:
        """Table: quantity, mean and spread (z-values), p (adjusted)."""
        columns = {"quantity": list(self.names), "mean": self.scores[:, 0], "spread": self.scores[:, 1], "p": self.p}
        return frame(self.native, columns)

    def summary(self) -> str:
        """One line, and a line for each quantity that fails."""
        verdict = "agrees" if self.passed else "does NOT agree"
        size = f"{self.n} replicates of {self.length} updates"
        lines = [f'Geweke test of "{self.block}": {verdict} with the prior ({size})']
        for name, z, p in zip(self.names, self.scores, self.p, strict=True):
            if p <= LEVEL:
                lines.append(f"  {name}: z = {z[0]:.1f} (mean), {z[1]:.1f} (spread), p = {p:.2g}")
        return "\n".join(lines)

    __str__ = summary
    __repr__ = summary


def geweke(
    model: Model, block: str | Update = "sweep", n: int = 500, length: int = 3, *, seed: int = 0, blocks: str = "auto"
) -> Geweke:
    """Test a Gibbs update of a model.

    Parameters
    ----------
    model : Model
        With proper priors; its response is only a template.
    block : {"sweep", "terms", "location", "scales"}, or a function of (gibbs, state, rng)
        The update: all of it, covariances, coefficients and effects, or residual and family parameters.
    n : int
        Replicates.
    length : int
        Updates of each replicate, with a new response after each.
    seed : int
    blocks : str
        As of ``"gibbs"``.

    Returns
    -------
    Geweke
        `.passed`, `.table`, `.summary()`.

    Raises
    ------
    SettingError
        E_PRIOR_IMPROPER for priors that cannot be drawn from; E_NOT_CONJUGATE for models without conjugate blocks.
    """
    from ..estimators.gibbs import system_of
    from ..samplers.gibbs import Gibbs

    update = block if callable(block) else _named(block)
    model = model.with_priors(model.priors)
    rng = np.random.default_rng(seed)
    coords = system_of(model, blocks).coordinates
    simulator = Simulator(model)
    starts = draw_parameters(model, coords, n, rng)
    ends = []
    for i in range(n):
        state, y = _state(starts.take(slice(i, i + 1))), simulator.responses(starts.take(slice(i, i + 1)), rng)[0]
        for _ in range(length):
            fresh = simulator.with_response(y)
            gibbs = Gibbs(system_of(fresh, blocks), fresh)
            gibbs.stop_tuning()
            update(gibbs, state, rng)
            y = simulator.responses(_parameters(state, coords), rng)[0]
        ends.append(np.append(_quantities(_parameters(state, coords), coords),
                              simulator.log_likelihood(_parameters(state, coords), y)))  # fmt: skip
    prior = draw_parameters(model, coords, MORE * n, rng)
    responses = simulator.responses(prior, rng)
    log_likelihood = [simulator.log_likelihood(prior.take(slice(i, i + 1)), y)[0] for i, y in enumerate(responses)]
    expected = np.column_stack([_quantities(prior, coords), log_likelihood])
    names = (*coords.names, *(f"size of effects by {g.label}" for g in model.design.groups), "log likelihood")
    kept = np.ptp(expected, axis=0) > 0.0
    shown = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    scores = _scores(expected[:, kept], np.array(ends)[:, kept])
    return Geweke(shown, scores, n, length, block if isinstance(block, str) else "own", model.native)


def _named(block: str) -> Update:
    from ..errors import SettingError, printable

    def terms(gibbs: Gibbs, state: State, rng: np.random.Generator) -> None:
        gibbs.system.augment(state, rng)
        for t in range(len(gibbs.terms)):
            gibbs.update_term(state, t, rng)

    def location(gibbs: Gibbs, state: State, rng: np.random.Generator) -> None:
        gibbs.system.augment(state, rng)
        gibbs.update_location(state, rng)

    def scales(gibbs: Gibbs, state: State, rng: np.random.Generator) -> None:
        gibbs.system.augment(state, rng)
        if gibbs.coefficients.extras:
            state.extras = gibbs.coefficients.update_extras(state.beta, state.extras, rng)

    known: dict[str, Update] = {
        "sweep": lambda gibbs, state, rng: gibbs.sweep(state, rng), "terms": terms, "location": location,
        "scales": scales,
    }  # fmt: skip
    if block not in known:
        raise SettingError(f'block="{printable(block)}" is unknown', hint=f"Use {', '.join(BLOCKS)}.")
    return known[block]


def _state(p: Parameters) -> State:
    return State(
        [x.copy() for x in p.terms], p.sigma.copy(), p.beta.copy(), [b.copy() for b in p.effects], p.extras.copy(),
        {name: v.copy() for name, v in p.constants.items()},
    )  # fmt: skip


def _parameters(state: State, coords: Any) -> Parameters:
    factors = [b.factor(x) for b, x in zip(coords.blocks, state.terms, strict=True)]
    return Parameters(
        state.beta, state.sigma, tuple(state.terms), tuple(f @ f.transpose(0, 2, 1) for f in factors),
        tuple(state.effects), state.constants, state.extras,
    )  # fmt: skip


def _quantities(p: Parameters, coords: Any) -> np.ndarray:
    """Coordinates, and the mean square of the standardised effects of each term, (N, quantities)."""
    sizes = []
    for block, x, b in zip(coords.blocks, p.terms, p.effects, strict=True):
        u = standardised(block.factor(x), b)
        sizes.append((u**2).mean(axis=(1, 2)))
    return np.column_stack([coordinates_of(p, coords), *sizes])


def _scores(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """z-values of normal scores and of their squares, `found` (n, q) against `expected` (m, q)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    m = len(expected)
    both = np.concatenate([expected, found])
    normal = ndtri((rankdata(both, axis=0) - 0.5) / len(both))
    out = []
    for value in (normal, normal**2):
        a, b = value[:m], value[m:]
        error = np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))
        out.append((b.mean(axis=0) - a.mean(axis=0)) / error)
    return np.array(out).T
