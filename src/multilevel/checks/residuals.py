"""Checks of the residuals: outliers, curvature, spread.

    quantile_residuals(fit)     Φ⁻¹(F(y_i)) of the marginal or the conditional distribution
    outliers                    largest externally studentised residual, Bonferroni
    curvature                   score test of the squared fitted value and of each squared predictor
    spread                      squared residuals against fitted values and predictors (Breusch & Pagan, Koenker)
    spread between groups       absolute residuals by level (Levene), calibrated on replicates

References: Cook & Weisberg (1982), *Residuals and Influence in Regression*; Tukey (1949), Biometrics 5;
Koenker (1981), J. Econometrics 17; Levene (1960); Dunn & Smyth (1996), J. Comput. Graph. Stat. 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, listed, nearest, printable
from ..predictions.integrals import average, root
from ..predictions.linear import linear_predictors, training_rows
from ..predictions.uncertain import uncertain
from .base import ALPHA, Finding, holm, p_text, percent, quote
from .case import Case
from .score_tests import column_scores

if TYPE_CHECKING:
    from ..fit.fit import Fit

KINDS = ("marginal", "conditional")
LEAST_SHARE = 0.01  # of the variance that a curve must explain to be reported
LEAST_RATIO = 1.3  # of standard deviations, one sd above against one sd below
LEAST_CV = 0.1  # of the groups' residual standard deviations


def quantile_residuals(fit: Fit, kind: str | None = None, *, seed: int | None = 0) -> np.ndarray:
    """Residuals that are standard normal when the model is right: Φ⁻¹(F(y_i)).

        r_i = Φ⁻¹(u_i),    u_i uniform between P(Y_i < y_i) and P(Y_i ≤ y_i)

    Parameters
    ----------
    fit : Fit
    kind : {"marginal", "conditional"}
        F of a row in a new group, averaged over N(0, Σ̂), or in its own, given b̂. Marginal ones of one group are
        correlated, conditional ones a little too small. Linear models have marginal ones unless told otherwise, others
        conditional ones.
    seed : int or None
        Of u, for discrete responses and censored rows; None draws anew each time.

    Returns
    -------
    (n,) array

    Raises
    ------
    SettingError
        For an unknown kind.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> bool(abs(quantile_residuals(fit).std() - 1) < 0.1)
    True

    References
    ----------
    Dunn & Smyth (1996), *Randomized Quantile Residuals*, J. Comput. Graph. Stat. 5.
    """
    linear = fit.model.is_linear
    kind = kind or ("marginal" if linear else "conditional")
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS) or "Use marginal or conditional."
        raise SettingError(f'unknown kind of quantile residuals "{printable(kind)}"', hint=hint)
    closed = linear and not fit.sampled
    return _linear_quantiles(fit, kind) if closed else _randomised_quantiles(fit, kind, seed)


def _randomised_quantiles(fit: Fit, kind: str, seed: int | None) -> np.ndarray:
    from scipy.special import ndtri

    low, high = _steps(fit, kind)
    u = low + (high - low) * np.random.default_rng(seed).random(len(low))
    return np.asarray(ndtri(np.clip(u, 1e-300, 1.0 - 1e-16)))


def _steps(fit: Fit, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """P(Y < y) and P(Y ≤ y) of the rows; of sampled fits averaged over their draws."""
    if fit.sampled:
        from ..predictions.from_draws import distribution_of_rows

        return distribution_of_rows(fit, kind == "marginal")
    distribution, obs = fit.model.distribution, fit.model.observations
    with np.errstate(all="ignore"):
        if kind == "conditional":
            return distribution.cdf(obs, linear_predictors(fit))
        rows = training_rows(fit)
        everywhere = dict.fromkeys(fit.model.groups, "marginal")
        some = uncertain(fit, rows, everywhere, False, False)

        def both(eta: np.ndarray, which: np.ndarray) -> np.ndarray:
            return np.stack(distribution.cdf(obs.take(which), eta), axis=1)

        found = average(both, some.eta, root(some.averaged.covariance))
    return found[:, 0], found[:, 1]


def _linear_quantiles(fit: Fit, kind: str) -> np.ndarray:
    design = fit.model.design
    target = "reference" if kind == "marginal" else "conditional"
    mean = np.asarray(fit.predict(target=target, interval=None)["estimate"], dtype=float)
    variance = row_variances(fit)
    if kind == "marginal":
        for group, covariance in zip(design.groups, fit.estimates.covariances, strict=True):
            for i, a in enumerate(group.columns):
                for j, b in enumerate(group.columns):
                    both = (1.0 if a is None else a) * (1.0 if b is None else b)
                    variance = variance + covariance[i, j] * both
    return np.asarray((design.response - mean) / np.sqrt(variance))


def row_variances(fit: Fit) -> np.ndarray:
    """σ²/w_i, or se_i² where the standard errors are known."""
    design = fit.model.design
    out = np.full(design.n, 1.0 if fit.sigma is None else fit.sigma**2)
    if design.known_se is not None:
        out = out * design.known_se**2
    if design.weights is not None and design.weights_kind == "precision":
        out = out / design.weights
    return out


def residual_findings(case: Case) -> list[Finding]:
    """All checks of this file that apply."""
    found = [_curvature(case)] if case.solvable else []
    if case.by_row:
        found += [_outliers(case)]
        found += [_spread(case), _spread_between(case)] if case.shaped else []
    return [finding for finding in found if finding is not None]


# --- outliers ------------------------------------------------------------------------------------------------------
def _outliers(case: Case) -> Finding:
    from scipy.special import stdtr

    s, n = case.studentized, case.design.n
    nu = case.adjusted.products.n - case.adjusted.products.p
    if case.fit.sigma is None:
        t, df = np.abs(s), 1e9
    else:  # s² ≤ ν: the residual of a row that σ̂ itself rests on
        t, df = np.abs(s) * np.sqrt((nu - 1.0) / np.maximum(nu - s**2, 1e-9)), max(nu - 1.0, 1.0)
    p = np.minimum(2.0 * n * stdtr(df, -t), 1.0)
    rows = np.flatnonzero(p < ALPHA)
    rows = rows[np.argsort(-t[rows])]
    worst = int(np.argmax(t))
    places = given_rows(case, rows[:20])
    values: dict[str, Any] = {"rows": places, "largest": float(s[worst]), "p_value": float(p[worst])}
    if not len(rows):
        text = f"the largest of {n} studentised residuals is {s[worst]:.2f} ({p_text(p[worst])} for the largest)."
        return Finding("N_OUTLIERS", "ok", "no outlying rows", text, values=values)
    shown = listed((f"{row} ({s[i]:.1f} sd)" for row, i in zip(places, rows[:20], strict=True)), 3)
    errors = " for normal errors" if case.model.is_linear else ""
    text = f"{len(rows)} of {n} residuals are too large{errors}: row {shown}; {p_text(p[worst])}."
    remedy = "Look at these rows (typing errors, other units); refit without them and see what changes."
    severity = "problem" if t[worst] > 8.0 else "caution"
    return Finding("N_OUTLIERS", severity, "outlying rows", text, remedy, {**values, "n": len(rows)})


def given_rows(case: Case, rows: np.ndarray) -> list[int]:
    """Positions of rows in the data that the model was given."""
    kept = case.design.kept
    return [int(i) for i in (rows if kept is None else kept[rows])]


# --- curvature -----------------------------------------------------------------------------------------------------
def _curvature(case: Case) -> Finding | None:
    columns = {quote(name): _unit(x) for name, x in case.predictors.items() if _several(x)}
    if len(columns) > 1:
        columns["the fitted values"] = _unit(case.reference)
    if not columns:
        return None
    scores = column_scores(case, np.column_stack([x**2 for x in columns.values()]))
    tested = {name: score for name, score in zip(columns, scores, strict=True) if score is not None}
    if not tested:
        return None
    p = holm([score.p_value for score in tested.values()])
    pairs = sorted(zip(p, tested.items(), strict=True), key=lambda item: item[0])
    bent = [(name, q, s) for q, (name, s) in pairs if q < ALPHA and s.share > LEAST_SHARE]
    least, (name, score) = pairs[0]
    values = {"p_values": {name: float(q) for q, (name, _) in pairs}, "share": score.share}
    if not bent:
        text = f"the strongest bend, against {name}, explains {percent(score.share)} of the variance ({p_text(least)})."
        return Finding("N_CURVATURE", "ok", "no curvature", text, values=values)
    name, q, score = bent[0]
    more = f" (also against {listed((other for other, _, _ in bent[1:]), 3)})" if bent[1:] else ""
    size = f"{percent(score.share)} of the variance ({p_text(q)})"
    text = f"residuals bend against {name}{more}: a square explains {size}."
    remedy = f"Add a curve: poly({name.strip(chr(34))}, 2) or bs(…), or transform the column or the response."
    if name == "the fitted values":
        remedy = "Transform the response (log, sqrt), or add curves or interactions."
        if not case.model.is_linear:
            remedy = "Add curves or interactions, or try another link."
    return Finding("N_CURVATURE", "problem" if score.share > 0.1 else "caution", "curvature", text, remedy, values)


def _several(x: np.ndarray) -> bool:
    """More than two distinct values: two have no curve."""
    return bool(np.any((x != x.min()) & (x != x.max())))


def _unit(x: np.ndarray) -> np.ndarray:
    sd = float(x.std())
    return (x - x.mean()) / (sd or 1.0)


# --- spread --------------------------------------------------------------------------------------------------------
def _spread(case: Case) -> Finding | None:
    """Correlation of squared residuals with each column, over its scatter in replicates."""
    columns = {quote(name): _unit(x) for name, x in case.predictors.items()}
    columns["the fitted values"] = _unit(case.fit.fitted_values if case.model.is_linear else case.reference)
    z = np.column_stack([x for x in columns.values()])
    r, scatter = _correlations(z, case.studentized**2), _correlations(z, case.replicated**2).std(axis=0)
    from scipy.special import ndtr

    p = holm(2.0 * ndtr(-np.abs(r[0]) / np.maximum(scatter, 1e-12)))
    slope = r[0] * (case.studentized**2).std() / float(np.mean(case.studentized**2))
    ratio = np.sqrt(np.clip(1.0 + slope, 0.05, None) / np.clip(1.0 - slope, 0.05, None))
    names = list(columns)
    size = np.maximum(ratio, 1.0 / ratio)
    uneven = np.flatnonzero((p < ALPHA) & (size > LEAST_RATIO))
    j = int(uneven[np.argmax(size[uneven])]) if len(uneven) else int(np.argmin(p))
    values = {"p_values": dict(zip(names, p.tolist(), strict=True)), "ratio": float(ratio[j])}
    if not len(uneven):
        text = f"against {names[j]} the residual sd changes by a factor {ratio[j]:.2f} over two sd ({p_text(p[j])})."
        return Finding("N_SPREAD", "ok", "even spread of the residuals", text, values=values)
    what = "grows" if ratio[j] > 1.0 else "falls"
    text = f"the residual sd {what} by a factor {size[j]:.2f} over two sd of {names[j]} ({p_text(p[j])})."
    remedy = "Transform the response (log, sqrt) or weight the rows; standard errors and intervals assume one sd."
    if not case.model.is_linear:
        remedy = "Let the dispersion depend on it (shape ~ …, phi ~ …), or use a family with another variance."
    severity = "problem" if size[j] > 2.0 else "caution"
    return Finding("N_SPREAD", severity, "spread of the residuals changes", text, remedy, values)


def _correlations(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(draws, columns) correlations of unit columns with each column of values."""
    v = values if values.ndim == 2 else values[:, None]
    v = v - v.mean(axis=0)
    v = v / np.maximum(v.std(axis=0), 1e-300)
    return np.asarray(v.T @ columns / len(columns))


def _spread_between(case: Case) -> Finding | None:
    """Levene's statistic of each grouping factor against its moments in replicates."""
    from scipy.special import chdtrc

    found = []
    absolute, replicates = np.abs(case.studentized), np.abs(case.replicated)
    for label, sums in case.sums.items():
        if np.all(sums.counts < 2):
            continue
        statistic = _between(absolute[:, None], sums)[0]
        null = _between(replicates, sums)
        df = 2.0 * null.mean() ** 2 / null.var(ddof=1)
        p = float(chdtrc(df, df * statistic / null.mean()))
        # the share of the variance of |r| that lies between levels, as variation of their sds
        n0 = (len(absolute) - np.sum(sums.counts**2.0) / len(absolute)) / max(sums.levels - 1, 1)
        extra = (statistic - null.mean()) * float(absolute.var()) / (n0 * max(sums.levels - 1, 1))
        cv = float(np.sqrt(max(extra, 0.0)) / absolute.mean())
        found.append((label, p, cv, sums))
    if not found:
        return None
    adjusted = holm([p for _, p, _, _ in found])
    uneven = [(q, cv, label, sums) for q, (label, _, cv, sums) in zip(adjusted, found, strict=True)]
    uneven.sort(key=lambda item: (not (item[0] < ALPHA and item[1] > LEAST_CV), item[0]))
    q, cv, label, sums = uneven[0]
    values = {"group": label, "p_value": float(q), "cv": cv}
    if not (q < ALPHA and cv > LEAST_CV):
        text = f"residual standard deviations vary by {percent(cv)} between levels of {quote(label)} ({p_text(q)})."
        return Finding("N_SPREAD_GROUPS", "ok", "groups have the same residual spread", text, values=values)
    levels = next(g.levels for g in case.design.groups if g.label == label)
    sds = np.sqrt(sums.means(case.studentized**2))
    big, small = _extremes(sds, sums.counts)
    text = (
        f"residual standard deviations vary by {percent(cv)} between levels of {quote(label)} ({p_text(q)}): "
        f"{printable(levels[big], 30)} has {sds[big]:.2f} times the common one, {printable(levels[small], 30)} "
        f"{sds[small]:.2f} times."
    )
    remedy = "Shrinkage trusts noisy and quiet groups alike: transform the response, or weight the rows by group."
    if not case.model.is_linear:
        remedy = "Shrinkage trusts noisy and quiet groups alike: let the dispersion vary between them."
    severity = "problem" if cv > 0.4 else "caution"
    return Finding("N_SPREAD_GROUPS", severity, "groups differ in residual spread", text, remedy, values)


def _between(absolute: np.ndarray, sums: Any) -> np.ndarray:
    """Σ n_ℓ (ā_ℓ − ā)² over the variance of a, for each column."""
    deviation = sums.means(absolute) - absolute.mean(axis=0)
    return np.asarray((sums.counts[:, None] * deviation**2).sum(axis=0) / absolute.var(axis=0))


def _extremes(sds: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Levels of the largest and smallest spread among those with rows enough."""
    least = min(5, int(np.median(counts)))
    order = [int(i) for i in np.argsort(sds) if counts[i] >= least]
    return order[-1], order[0]
