"""How much the posterior owes to the priors: ``ml.prior_sensitivity(fit)``, by power-scaling.

    p(θ | y, α) ∝ p(θ)^α p(y | θ),    or    p(θ) p(y | θ)^α,    α near 1

The posterior under a slightly weaker or stronger prior (likelihood) is the draws with weights p(θ)^(α − 1), smoothed
by PSIS. How far a parameter's distribution moves is the cumulative Jensen-Shannon distance CJS between its
distribution functions, per doubling of α:

    D = [ CJS(α = 1/(1 + δ)) + CJS(α = 1 + δ) ] / (2 log₂(1 + δ)),    δ = 0.01

Sensitivity to the prior above 0.05 calls for a look. If the likelihood moves the parameter as well, prior and data pull
in different directions; if not, the data say little about it, and the prior decides.

Only the priors that `model.priors` lists are scaled, as densities of the parameters themselves (no Jacobian is raised
to a power); group effects given their covariance are part of the model. The likelihood is that of the rows given the
effects.

Reference: Kallioinen, Paananen, Bürkner & Vehtari (2024), Statistics and Computing 34, sections 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, printable
from ..fit.chains import address
from ..fit.chains import parameters as all_parameters
from ..numerics.psis import psis
from .powers import log_likelihood, log_prior

if TYPE_CHECKING:
    from ..fit.fit import Fit

DELTA = 0.01
SENSITIVE = 0.05
COLUMNS = ("parameter", "prior", "likelihood", "diagnosis")
CONFLICT, WEAK = "prior and data may disagree", "the prior decides"


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Sensitivity of every parameter.

    Attributes
    ----------
    parameters : names
    prior, likelihood : (P,) distance per doubling of the power
    khat : largest Pareto shape of the weights; above 0.7 the figures are rough
    """

    parameters: tuple[str, ...]
    prior: np.ndarray
    likelihood: np.ndarray
    khat: float
    native: str = "pandas"

    def diagnosis(self, i: int) -> str:
        """What the two figures of a parameter mean; empty where there is nothing to say."""
        if not self.prior[i] > SENSITIVE:
            return ""
        return CONFLICT if self.likelihood[i] > SENSITIVE else WEAK

    @property
    def table(self) -> Any:
        """Table: parameter, prior, likelihood, diagnosis."""
        said = [self.diagnosis(i) for i in range(len(self.parameters))]
        columns = (list(self.parameters), self.prior.tolist(), self.likelihood.tolist(), said)
        return frame(self.native, dict(zip(COLUMNS, columns, strict=True)))

    def summary(self) -> str:
        """One line a parameter."""
        names = [printable(name, 40) for name in self.parameters]
        width = max([len("parameter"), *(len(name) for name in names)])
        lines = ["Sensitivity to power-scaling (above 0.05: look)", f"{'parameter':<{width}}   prior  likelihood"]
        for i, name in enumerate(names):
            text = f"{name:<{width}}  {self.prior[i]:6.3f}  {self.likelihood[i]:10.3f}  {self.diagnosis(i)}"
            lines.append(text.rstrip())
        if self.khat > 0.7:
            lines.append(f"Pareto k = {self.khat:.2f}: the weights are uneven, and the figures rough.")
        return "\n".join(lines)

    __str__ = summary
    __repr__ = summary


def prior_sensitivity(fit: Fit, delta: float = DELTA) -> Sensitivity:
    """How far each parameter's posterior moves when prior or likelihood are made a little stronger or weaker.

    Parameters
    ----------
    fit : Fit
        By an estimator that draws from the posterior.
    delta : float
        How far: powers 1/(1 + δ) and 1 + δ.

    Returns
    -------
    Sensitivity
        Prints as a table.

    Raises
    ------
    SettingError
        For a fit without draws.

    Notes
    -----
    Distances are between marginal distributions: that two parameters depend on a prior together is not seen in either.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="collapsed")
    >>> float(prior_sensitivity(fit).prior.max()) < 0.05
    True
    """
    sample = fit.estimates.certainty.sample
    if sample is None:
        raise SettingError(
            f'the estimator "{fit.estimator.name}" has no draws, so that no prior can be scaled',
            code="E_NOT_SAMPLED",
            hint='Use one that samples, such as "collapsed" or "nuts".',
        )
    if not 0.0 < delta < 1.0:
        raise SettingError(f"delta={printable(repr(delta))} is not between 0 and 1")
    chains = all_parameters(sample)
    draws = sample.flat(chains.draws)
    moving = np.flatnonzero(np.ptp(draws, axis=0) > 0.0)  # dropped columns and known values do not
    prior, khat = distances(draws[:, moving], log_prior(fit), delta)
    likelihood, other = distances(draws[:, moving], log_likelihood(fit), delta)
    names = tuple(address(fit.model, chains.keys[i]) for i in moving)
    return Sensitivity(names, prior, likelihood, max(khat, other), fit.model.native)


def distances(draws: np.ndarray, log_part: np.ndarray, delta: float) -> tuple[np.ndarray, float]:
    """D of every column of draws (S, P) under powers of a part of the density, log_part (S,); and the largest k̂."""
    out, khat = np.zeros(draws.shape[1]), 0.0
    for power in (1.0 / (1.0 + delta), 1.0 + delta):
        smoothed = psis((power - 1.0) * log_part)
        khat = max(khat, float(smoothed.khat[0]))
        weights = np.exp(smoothed.log_weights)
        out += [cjs_distance(column, weights) for column in draws.T]
    return out / (2.0 * math.log2(1.0 + delta)), khat


def cjs_distance(x: np.ndarray, weights: np.ndarray) -> float:
    """Between the distribution of draws and that of the same draws weighted: in [0, 1], of x or −x, the larger.

    With distribution functions P and Q, CJS(P|Q) = ∫ P log₂(2P/(P + Q)) + (Q − P)/(2 ln 2) dx, made symmetric and
    divided by ∫ P + Q; the square root is the distance.
    """
    order = np.argsort(x, kind="stable")
    width = np.diff(x[order])
    p = np.arange(1, len(x)) / len(x)
    q = np.cumsum(weights[order])[:-1]
    q = np.clip(q / weights.sum(), 0.0, 1.0)
    return max(_cjs(p, q, width), _cjs(1.0 - p, 1.0 - q, width))


def _cjs(p: np.ndarray, q: np.ndarray, width: np.ndarray) -> float:
    middle = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(p > 0.0, p * np.log2(p / middle), 0.0)
        second = np.where(q > 0.0, q * np.log2(q / middle), 0.0)
    bound = float(width @ (p + q))
    return math.sqrt(max(float(width @ (first + second)), 0.0) / bound) if bound > 0.0 else 0.0
