"""Statements about parameters, answered by the posterior: ``fit.hypothesis("Days > 0")``.

    θ > 0, θ < 0    P(θ > 0 | y), and the evidence ratio P/(1 − P)
    θ = 0           Savage and Dickey's density ratio p(θ = 0 | y) / p(θ = 0), the Bayes factor for the equality; its
                    posterior probability when both were equally likely before

θ is the left side less the right one. The ratio at a point needs proper priors of everything in θ; it is an estimate
from the draws near that point, and says little where there are none.

References: Dickey & Lientz (1970), Ann. Math. Statist. 41; Wagenmakers, Lodewyckx, Kuriyal & Grasman (2010), Cognitive
Psychology 60.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.estimates import correlation_pairs
from ..fit.html import to_html
from ..fit.tables import has_correlations, terms_by_group
from .prior_density import PriorDraws, density_at
from .quantities import Address, Hypothesis, Names, parse

if TYPE_CHECKING:
    from ..fit.fit import Fit

PRIOR_DRAWS = 40_000
COLUMNS = ("hypothesis", "estimate", "std_error", "lower", "upper", "evidence_ratio", "probability")


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Answers to one statement or several.

    Parameters
    ----------
    columns : dict
        The table: hypothesis, estimate, std_error, lower, upper, evidence_ratio, probability.
    draws : (S, m) array
        Left side less right side in every draw.
    notes : tuple of str
        Why there is no evidence ratio, where there is none.
    """

    columns: dict[str, Any]
    draws: np.ndarray
    level: float
    notes: tuple[str, ...] = ()
    native: str = "pandas"

    @property
    def table(self) -> Any:
        """One row for each statement."""
        return frame(self.native, self.columns)

    def _blocks(self) -> list[Block]:
        from ..glossary import interval_headings

        heads = ("", "Estimate", "Est.Error", *interval_headings(self.level), "Evidence ratio", "Probability")
        rows = []
        for i, text in enumerate(self.columns["hypothesis"]):
            cells = [_cell(self.columns[name][i]) for name in COLUMNS[1:]]
            rows.append((printable(text, 70), *cells))
        return [Grid("Hypotheses:", heads, tuple(rows)), *([Lines("", self.notes)] if self.notes else [])]

    def summary(self) -> str:
        """The table as text."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())


def _cell(value: float) -> str:
    if np.isnan(value):
        return ""
    return "∞" if np.isinf(value) else numbers.fixed(value, 3) if abs(value) < 1e4 else f"{value:.3g}"


def hypothesis(fit: Fit, *statements: str | Sequence[str], level: float | None = None, seed: int = 0) -> Hypotheses:
    """Posterior probabilities of statements about the parameters.

        ``"x > 0"``    ``"a = b"``    ``"sd[g] > 1"``    ``"exp(x) / sigma < 2"``

    Parameters
    ----------
    fit : Fit
        By an estimator that samples.
    statements : str
        Arithmetic of coefficients by name, ``sd[g, x]``, ``cor[g, x, y]``, ``r[g, level, x]``, ``sigma`` and other
        constants; compared by ``>``, ``<`` or ``=``, or alone (an estimate without a question). See `quantities.py`.
    level : float, optional
        Coverage of the equal-tailed intervals; that of the fit otherwise.
    seed : int
        Of the draws from the prior that an equality asks for.

    Returns
    -------
    Hypotheses
        `estimate` is the posterior mean of the left side less the right one.

    Raises
    ------
    SettingError
        E_HYPOTHESIS for text that cannot be read; E_NOT_SAMPLED for a fit without posterior draws.

    Notes
    -----
    An evidence ratio beyond what the number of draws can tell (all of them on one side) is infinite or zero.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="collapsed")
    >>> found = fit.hypothesis("sd[school] > 3", "Intercept = 70")
    >>> bool(found.table["probability"][0] > 0.9)
    True

    References
    ----------
    Dickey & Lientz (1970), Ann. Math. Statist. 41.
    """
    from ..fit.tables import check_level

    if not fit.sampled:
        raise SettingError(
            f'hypothesis() asks the posterior, and "{fit.estimator.name}" has none',
            code="E_NOT_SAMPLED",
            hint='Fit with "nuts" or "collapsed"; fit.test() tests the terms of this fit.',
        )
    flat: list[Any] = [s for given in statements for s in (given if isinstance(given, list | tuple) else [given])]
    if not flat:
        raise SettingError("hypothesis() needs a statement", code="E_HYPOTHESIS", hint='Write "x > 0".')
    chosen = fit.level if level is None else check_level(level)
    known = names_of(fit)
    posterior = PosteriorDraws(fit)
    prior = PriorDraws(fit.model, PRIOR_DRAWS, np.random.default_rng(seed))
    found = [_answered(parse(text, known), posterior, prior, chosen) for text in flat]
    columns: dict[str, Any] = {"hypothesis": [row[0] for row in found]}
    for j, name in enumerate(COLUMNS[1:], start=1):
        columns[name] = np.array([row[j] for row in found], dtype=float)
    notes = tuple(row[7] for row in found if row[7])
    return Hypotheses(columns, np.column_stack([row[8] for row in found]), chosen, notes, fit.model.native)


def names_of(fit: Fit) -> Names:
    """What the parameters of a fit are called."""
    groups, correlated = {}, {}
    for label, terms in terms_by_group(fit).items():
        parts = [fit.model.design.groups[t] for t in terms]
        groups[label] = (tuple(parts[0].levels), tuple(name for g in parts for name in g.names))
        correlated[label] = tuple(
            (g.names[j], g.names[i])
            for t, g in zip(terms, parts, strict=True) if has_correlations(fit, t)
            for i, j in correlation_pairs(len(g.names))
        )  # fmt: skip
    constants = (*(["sigma"] if fit.sigma is not None else []), *fit.estimates.dispersion)
    return Names(tuple(fit.model.design.fixed_names), tuple(constants), groups, correlated)


class PosteriorDraws:
    """Draws of one parameter of a sampled fit, by its address."""

    def __init__(self, fit: Fit) -> None:
        sample = fit.estimates.certainty.sample
        assert sample is not None
        self.fit, self.sample = fit, sample

    def __call__(self, address: Address) -> np.ndarray:
        kind, name, *rest = address
        sample, groups = self.sample, self.fit.model.design.groups
        if kind == "beta":
            return sample.beta[:, :, self.fit.model.design.fixed_names.index(name)].ravel()
        if kind == "constant":
            known = sample.sigma if name == "sigma" and sample.sigma is not None else sample.constants[name]
            return known.ravel()
        terms = rest[1:] if kind == "r" else rest
        t = next(t for t, g in enumerate(groups) if g.label == name and all(term in g.names for term in terms))
        places = [groups[t].names.index(term) for term in terms]
        if kind == "r":
            return sample.effects[t][:, :, groups[t].levels.index(rest[0]), places[0]].ravel()
        covariance = sample.covariances[t]
        sd = np.sqrt(covariance[:, :, places[0], places[0]])
        if kind == "sd":
            return np.asarray(sd.ravel())
        other = np.sqrt(covariance[:, :, places[1], places[1]])
        return np.asarray((covariance[:, :, places[0], places[1]] / (sd * other)).ravel())


def _answered(asked: Hypothesis, posterior: PosteriorDraws, prior: PriorDraws, level: float) -> tuple[Any, ...]:
    """The row of one statement, a remark, and the draws."""
    if not (asked.left.needs or asked.right.needs):
        raise SettingError(
            f'the hypothesis "{printable(asked.text, 60)}" is about no parameter', code="E_HYPOTHESIS",
            hint='Name one: "x > 0", "sd[g] > 1".',
        )  # fmt: skip
    total = posterior.sample.chains * posterior.sample.draws
    with np.errstate(all="ignore"):
        value = np.asarray(asked.left.value(posterior), dtype=float) - asked.right.value(posterior)
    draws = np.broadcast_to(value, (total,))
    good = draws[np.isfinite(draws)]
    if not len(good):
        raise SettingError(
            f'the hypothesis "{printable(asked.text, 60)}" has no finite value in any draw', code="E_HYPOTHESIS",
            hint="Look for a division by zero, or the logarithm of something negative.",
        )  # fmt: skip
    low, high = np.quantile(good, [0.5 - level / 2.0, 0.5 + level / 2.0])
    ratio, probability, note = _evidence(asked, good, prior)
    if len(good) < total:
        note = f'"{printable(asked.text, 60)}" is not defined in {total - len(good)} of {total} draws. {note}'.strip()
    spread = float(good.std(ddof=1)) if len(good) > 1 else float("nan")
    return asked.text, float(good.mean()), spread, float(low), float(high), ratio, probability, note, draws


def _evidence(asked: Hypothesis, draws: np.ndarray, prior: PriorDraws) -> tuple[float, float, str]:
    """Evidence ratio, posterior probability, and why there is none."""
    if asked.relation == "":
        return float("nan"), float("nan"), ""
    if asked.relation in "<>":
        above = float(np.mean(draws > 0.0) if asked.relation == ">" else np.mean(draws < 0.0))
        return above / (1.0 - above) if above < 1.0 else float("inf"), above, ""
    needed = dict.fromkeys((*asked.left.needs, *asked.right.needs))
    flat = [address[-1] for address in needed if prior(address) is None]
    if flat:
        text = f'"{printable(asked.text, 60)}" has no evidence ratio: the prior of {printable(flat[0], 40)} is flat.'
        return float("nan"), float("nan"), text
    with np.errstate(all="ignore"):
        left, right = (side.value(prior) for side in (asked.left, asked.right))  # type: ignore[arg-type]
    before = np.broadcast_to(np.asarray(left - right, dtype=float), (prior.n,))
    bottom, top = density_at(before, 0.0), density_at(draws, 0.0)
    if bottom == 0.0:
        return float("nan"), float("nan"), f'"{printable(asked.text, 60)}": the prior rules it out.'
    ratio = top / bottom
    return ratio, ratio / (1.0 + ratio), ""
