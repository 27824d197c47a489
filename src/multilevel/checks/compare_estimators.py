"""One model by every estimator that applies, side by side: ``ml.compare_estimators(model)``.

    difference / sd        how far two estimates are apart, in posterior standard deviations
    Monte Carlo error      of samplers: 4 combined standard errors are the band within which they must agree

Where a likelihood estimate and a posterior mean differ by more than a tenth of the posterior's standard deviation, the
reasons that can be computed are named, the largest first:

    skewness     mean less mode of the posterior, γ sd / 2 to first order: an estimate is a mode, a mean is not
    prior        −Cov(θ, log prior): how far the mean would move if the prior's weight were taken away, to first order
    REML, ML     maximum likelihood does not allow for the coefficients it estimates: its variances are smaller

References: Kallioinen, Paananen, Bürkner & Vehtari (2024), Stat. Comput. 34; Harville (1977), JASA 72.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import MultilevelError, MultilevelWarning, SettingError, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.html import to_html
from ..fit.tables import has_correlations
from ..inference.hypothesis import PosteriorDraws
from ..inference.quantities import Address
from ..registry import make_estimator, member, members

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model

LINEAR = ("reml", "ml", "map", "collapsed", "gibbs", "nuts")
OTHERS = ("laplace", "agq", "map", "nested_laplace", "collapsed", "gibbs", "nuts")
APART = 0.1  # posterior standard deviations worth a sentence
BAND = 4.0  # combined Monte Carlo standard errors
COLUMNS = ("parameter", "group", "term", "estimator", "estimate", "std_error", "mcse_mean")
NAN = float("nan")
OF_ML = "maximum likelihood does not allow for the coefficients it estimates"


@dataclass(frozen=True)
class Value:
    """An estimate with its standard error (posterior sd) and Monte Carlo standard error (0 where nothing is drawn)."""

    estimate: float
    std_error: float
    mcse: float = 0.0


@dataclass(frozen=True, eq=False)
class EstimatorComparison:
    """Estimates of one model by several estimators.

    Parameters
    ----------
    fits : dict
        By name of the estimator.
    values : dict
        Address of a parameter → estimator → `Value`.
    differences : tuple of str
        Sentences about what differs, and why; empty when all agree.
    skipped : dict
        Estimators that do not apply, with the reason.
    """

    fits: dict[str, Fit]
    values: dict[Address, dict[str, Value]]
    differences: tuple[str, ...]
    skipped: dict[str, str]
    native: str = "pandas"

    @property
    def agree(self) -> bool:
        """Whether nothing differs by more than Monte Carlo error, or by a tenth of a posterior standard deviation."""
        return not self.differences

    @property
    def table(self) -> Any:
        """Table: parameter, group, term, estimator, estimate, std_error, mcse_mean."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for address, row in self.values.items():
            for name, value in row.items():
                cells = (*_split(address), name, value.estimate, value.std_error, value.mcse)
                for column, cell in zip(columns.values(), cells, strict=True):
                    column.append(cell)
        return frame(self.native, columns)

    def _blocks(self) -> list[Block]:
        names = list(self.fits)
        rows = []
        for address, row in self.values.items():
            cells = [_cell(row[name]) if name in row else "" for name in names]
            rows.append((printable(label(address), 40), *cells))
        seconds = tuple(f"{fit.seconds:.2g}" for fit in self.fits.values())
        grid = Grid("Estimates, with standard errors (posterior sds):", ("", *names), (*rows, ("seconds", *seconds)))
        said = self.differences or ("All agree: nothing differs by more than Monte Carlo error and a tenth of its sd.",)
        left = tuple(f"{name} was left out: {reason}" for name, reason in self.skipped.items())
        return [grid, Lines("", (*said, *left))]

    def summary(self) -> str:
        """The table and what differs, as text."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())


def _split(address: Address) -> tuple[str, str, str]:
    if address[0] == "beta":
        return "fixed", "", address[1]
    return (address[1], "", "") if address[0] == "constant" else (address[0], address[1], " ".join(address[2:]))


def label(address: Address) -> str:
    """How `Fit.hypothesis` writes a parameter."""
    return address[1] if address[0] in ("beta", "constant") else f"{address[0]}[{', '.join(address[1:])}]"


def _cell(value: Value) -> str:
    error = f" ({numbers.fixed(value.std_error, 3)})" if np.isfinite(value.std_error) else ""
    return f"{numbers.fixed(value.estimate, 3)}{error}"


def compare_estimators(
    model: Model, estimators: Sequence[str] | None = None, *, seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None, **common: Any,
) -> EstimatorComparison:  # fmt: skip
    """A model by several estimators: what they agree on, where they differ, and why.

    Parameters
    ----------
    model : Model
    estimators : sequence of str, optional
        All that apply otherwise: likelihood (REML, ML, Laplace, quadrature), posterior mode, and samplers.
    seed : int
        Of the samplers.
    settings : mapping, optional
        Settings by estimator: ``{"nuts": {"draws": 2000}}``.
    common :
        Settings of every estimator that has them: ``draws``, ``tune``, ``chains``.

    Returns
    -------
    EstimatorComparison
        `.table`, `.differences`, `.fits`; prints as one table.

    Raises
    ------
    SettingError
        When none of the estimators applies.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> found = ml.compare_estimators(model, ["reml", "ml"])
    >>> sorted(found.fits)
    ['ml', 'reml']
    """
    known = set(members("estimators"))
    asked = list(estimators) if estimators is not None else [
        name for name in (LINEAR if model.is_linear else OTHERS) if name in known
    ]  # fmt: skip
    fits, skipped = {}, {}
    for name in asked:
        chosen = {"seed": seed, **common}
        fields = getattr(member("estimators", name), "__dataclass_fields__", {})
        own = {key: value for key, value in chosen.items() if key in fields} | dict((settings or {}).get(name, {}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            try:
                fits[name] = make_estimator(name, own).fit(model)
            except (MultilevelError, np.linalg.LinAlgError) as error:
                skipped[name] = str(error)
    if not fits:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())[:300]
        raise SettingError("none of the estimators applies to this model", hint=why)
    by_fit = {name: parameters(fit) for name, fit in fits.items()}
    addresses = dict.fromkeys(address for found in by_fit.values() for address in found)
    values = {a: {name: found[a] for name, found in by_fit.items() if a in found} for a in addresses}
    return EstimatorComparison(fits, values, tuple(_differences(fits, values)), skipped, model.native)


# --- parameters --------------------------------------------------------------------------------------------------
def addresses(fit: Fit) -> list[Address]:
    """All parameters of a fit but the effects of single levels."""
    design = fit.model.design
    known = np.isfinite(fit.estimates.beta)
    out: list[Address] = [("beta", name) for name, ok in zip(design.fixed_names, known, strict=True) if ok]
    for t, g in enumerate(design.groups):
        out += [("sd", g.label, name) for name in g.names]
        pairs = [(i, j) for i in range(len(g.names)) for j in range(i)] if has_correlations(fit, t) else []
        out += [("cor", g.label, g.names[j], g.names[i]) for i, j in pairs]
    if fit.sigma is not None:
        out.append(("constant", "sigma"))
    return out + [("constant", name) for name in fit.estimates.dispersion]


def parameters(fit: Fit) -> dict[Address, Value]:
    """Every parameter of a fit with its uncertainty."""
    return _of_draws(fit) if fit.sampled else _of_estimates(fit)


def _of_draws(fit: Fit) -> dict[Address, Value]:
    from ..numerics.diagnostics import mcse_mean

    draws, sample = PosteriorDraws(fit), fit.estimates.certainty.sample
    assert sample is not None
    out = {}
    for address in addresses(fit):
        x = draws(address)
        mcse = float(np.ravel(mcse_mean(x.reshape(sample.chains, sample.draws, 1)))[0])
        out[address] = Value(float(x.mean()), float(x.std(ddof=1)), mcse)
    return out


def _of_estimates(fit: Fit) -> dict[Address, Value]:
    terms, sigma = fit.sd_errors if fit.model.design.groups else ([], NAN)
    constants = fit.estimates.certainty.constants(fit.level)
    errors = dict(zip(fit.model.design.fixed_names, fit.std_errors.tolist(), strict=True))
    out = {}
    for address in addresses(fit):
        kind, name, *rest = address
        if kind == "beta":
            out[address] = Value(fit.coefficients[name], errors[name])
        elif kind == "constant":
            found = constants.get(name, (fit.estimates.dispersion.get(name, NAN), NAN))
            out[address] = Value(float(fit.sigma or NAN), sigma) if name == "sigma" and fit.sigma else Value(*found[:2])
        else:
            out[address] = _of_term(fit, address, terms, rest)
    return out


def _of_term(fit: Fit, address: Address, terms: Sequence[Sequence[float]], rest: Sequence[str]) -> Value:
    groups = fit.model.design.groups
    t = next(t for t, g in enumerate(groups) if g.label == address[1] and all(name in g.names for name in rest))
    places = [groups[t].names.index(name) for name in rest]
    covariance = fit.estimates.covariances[t]
    sd = np.sqrt(np.diag(covariance))
    if address[0] == "sd":
        return Value(float(sd[places[0]]), float(terms[t][places[0]]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Value(float(covariance[places[0], places[1]] / (sd[places[0]] * sd[places[1]])), NAN)


# --- differences -------------------------------------------------------------------------------------------------
def _differences(fits: Mapping[str, Fit], values: Mapping[Address, Mapping[str, Value]]) -> list[str]:
    """What differs: samplers among each other beyond Monte Carlo error, the others from the posterior."""
    drawn = [name for name, fit in fits.items() if fit.sampled]
    exact = [name for name in drawn if fits[name].estimates.certainty.sample.info.get("exact", True)]  # type: ignore[union-attr]
    reference = next(iter(exact or drawn), None)
    out = []
    for address, row in values.items():
        for name in row:
            if reference is None or name == reference or reference not in row:
                continue
            found = _between(fits, address, name, row, reference)
            if found:
                out.append(found)
        if reference is None and "reml" in row and "ml" in row:
            out += _of_ml(address, row["reml"], row["ml"])
    return out


def _between(
    fits: Mapping[str, Fit], address: Address, name: str, row: Mapping[str, Value], reference: str
) -> str:
    """One sentence where an estimator differs from the reference; empty where it does not."""
    value, posterior = row[name], row[reference]
    difference = value.estimate - posterior.estimate
    allowed = BAND * float(np.hypot(value.mcse, posterior.mcse))
    if not np.isfinite(difference) or abs(difference) <= allowed:
        return ""
    size = abs(difference) / posterior.std_error if posterior.std_error > 0.0 else np.inf
    fit = fits[name]
    if not fit.sampled and size <= APART:
        return ""
    what = f"{printable(label(address), 40)}: {name} is {abs(difference):.3g} {'above' if difference > 0 else 'below'} "
    what += f"{reference} ({size:.2g} posterior sds"
    if fit.sampled:
        approximate = not fit.estimates.certainty.sample.info.get("exact", True)  # type: ignore[union-attr]
        why = "one of them has not converged: look at R̂ and ESS"
        if approximate:
            why = f"{name} approximates the posterior"
        return f"{what}, {BAND * abs(difference) / allowed:.2g} Monte Carlo errors): {why}."
    lost = value.estimate - row["reml"].estimate if "reml" in row and fit.model.is_linear else 0.0
    return f"{what}): {_why(fits[reference], address, difference, lost)}."


def _why(fit: Fit, address: Address, difference: float, lost: float) -> str:
    """The reasons that can be computed, the largest first; `lost` is what is missing against REML."""
    draws, sample = PosteriorDraws(fit), fit.estimates.certainty.sample
    assert sample is not None
    x, log_prior = draws(address), sample.flat(sample.log_prior)
    sd = float(x.std())
    centred = (x - x.mean()) / sd
    reasons = {"the posterior is skewed, its mean is not its mode": -0.5 * float(np.mean(centred**3)) * sd}
    if np.isfinite(log_prior).all() and np.ptp(log_prior) > 0.0:
        reasons["the prior moves it"] = -float(np.mean((x - x.mean()) * (log_prior - log_prior.mean())))
    if address[0] in ("sd", "constant"):
        reasons[OF_ML] = lost
    same = {text: size for text, size in reasons.items() if size * difference > 0.0 and abs(size) > 0.02 * sd}
    ranked = sorted(same, key=lambda text: -abs(same[text]))
    if not ranked:
        return "a mode and a mean, or an approximation of the likelihood"
    return " and ".join(ranked[:2])


def _of_ml(address: Address, reml: Value, ml: Value) -> list[str]:
    difference = ml.estimate - reml.estimate
    if address[0] not in ("sd", "constant") or not abs(difference) > APART * reml.std_error:
        return []
    size = f"{abs(difference):.3g} {'above' if difference > 0.0 else 'below'} reml"
    return [f"{printable(label(address), 40)}: ml is {size}: {OF_ML}."]
