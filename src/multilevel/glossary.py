"""The only place where output columns are named: each name with its meaning.

Tables, summaries, JSON and reports take their column names from here, and a test holds them to it.
"""

from __future__ import annotations

MEANING: dict[str, str] = {
    "term": "coefficient, named as its column: Intercept, Days, sex[female], a:b",
    "group": 'grouping factor: Subject, batch:cask; "Residual" is the variation within all groups',
    "level": "label of one level of a grouping factor",
    "term_1": "first coefficient of a correlation",
    "term_2": "second coefficient of a correlation",
    "parameter": "kind or name of a parameter: fixed, sd, sigma, correlation; shape, phi, zi, … of the family; its "
    "address where there is one row a parameter: beta[x], sd[g, x], cor[g, x, z], r_g[level, x]",
    "estimate": "point estimate (posterior mean for samplers); probabilities of categories have one column each, "
    "estimate[good]",
    "std_error": "standard error of the estimate (posterior standard deviation for samplers)",
    "df": "degrees of freedom of the t statistic (Satterthwaite), infinite when the variance is known; of a likelihood "
    "ratio: parameters that the larger model has more",
    "statistic": "estimate divided by its standard error (z where df is infinite); for tests of terms the likelihood "
    "ratio or F",
    "p_value": "two-sided p-value of the hypothesis that the coefficient is zero",
    "lower": "lower end of the interval",
    "upper": "upper end of the interval",
    "category": "the most probable category of a new observation",
    "probability": "its probability; of a hypothesis, given the data",
    "sd": "standard deviation of the coefficient between levels of the group",
    "variance": "square of sd",
    "correlation": "correlation of two coefficients between levels of the group",
    "n": "number of rows",
    "lambda": "weight of a level's own data, 1 − conditional variance / variance: 0 is complete pooling, 1 is none",
    "severity": "problem (conclusions may change), caution, note or ok",
    "code": "stable name of a finding, listed in docs/errors.md",
    "title": "what was found, in a few words",
    "evidence": "one sentence with the numbers",
    "remedy": "what to do",
    "quantity": "what was compared: mean, sd, min or max of a group's rows",
    "observed": "the value in the data",
    "expected": "its mean in data simulated from the fit",
    "outside": "whether it is beyond what simulated data show",
    "lag": "rows apart within a group",
    "against": "the smaller model it is tested against",
    "model": "formula, or the name given to a fit",
    "estimator": "how it was estimated",
    "method": "how the p-value was found",
    "n_parameters": "fixed effects, variance parameters and the residual standard deviation",
    "log_likelihood": "log-likelihood at the estimates (restricted for REML)",
    "aic": "−2 log-likelihood + 2 parameters",
    "bic": "−2 log-likelihood + log(rows) parameters",
    "caic": "conditional AIC: −2 log p(y | b̂) + 2 effective parameters",
    "effective_parameters": "tr ∂ŷ/∂y, estimated variances included",
    "delta_aic": "AIC less the least one",
    "delta_caic": "conditional AIC less the least one",
    "weight": "Akaike weight",
    "df_residual": "denominator degrees of freedom of F",
    "bias": "mean of the refits less the estimate",
    "basic_lower": "lower end of the basic bootstrap interval",
    "basic_upper": "upper end of the basic bootstrap interval",
    "loo": "expected log predictive density of rows left out",
    "logo": "expected log predictive density of groups left out",
    "loo_difference": "to the best",
    "loo_se": "standard error of that difference",
    "logo_difference": "to the best",
    "logo_se": "standard error of that difference",
    "cooks_distance": "squared change of the fixed effects without the unit, in their own standard errors",
    "component": 'where variance sits: a grouping factor, or "Residual"',
    "share": "part of the total variance",
    "kind": "which of several definitions",
    "value": "value of the predictor",
    "icc": "intraclass correlation",
    "n_mean": "rows in the group of an average row (Kish)",
    "design_effect": "variance of a mean over that of as many independent rows",
    "effective_n": "independent rows that would know the mean as well",
    "own": "the level's effect from its own rows, other terms held",
    "own_se": "standard error of `own`",
    "moved": "estimate less own",
    "distance": "own over the standard deviation between levels",
    "noise": "own_se over the standard deviation between levels",
    "borrowed": "1 − (std_error / own_se)²: precision that comes from the other levels",
    "shift": "how far the estimate would move with a better approximation of the likelihood",
    "shift_se": "shift in standard errors of the estimate",
    "known": "whether the level was in the data of the fit",
    "mcse_mean": "Monte Carlo standard error of the estimate: what more draws would change",
    "mcse_sd": "Monte Carlo standard error of std_error",
    "unit": "label of a row, group or fold that is left out",
    "elpd": "log predictive density of the unit given all others",
    "error": "prediction error of the unit's mean",
    "pareto_k": "Pareto's k̂ of the importance weights that leave the unit out",
    "stacking": "weight in the best mixture of the models' predictions",
    "pseudo_bma": "weight by how sure the ranking of the scores is",
    "log_evidence": "log p(y), where every prior is proper",
    "bayes_factor": "evidence over that of the best model",
    "hypothesis": "a statement about parameters",
    "evidence_ratio": "posterior odds of a direction; of an equality its Bayes factor",
    "rhat": "potential scale reduction of the draws",
    "ess_bulk": "effective number of draws for the centre of the distribution",
    "ess_tail": "effective number of draws for its tails",
}

FIXED_EFFECTS = ("term", "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper")
GROUP_EFFECTS = ("level", "term", "estimate", "std_error", "lower", "upper")
VARIANCE_COMPONENTS = ("group", "term", "sd", "variance", "std_error", "lower", "upper")
CORRELATIONS = ("group", "term_1", "term_2", "correlation", "lower", "upper")
INTERVALS = ("parameter", "group", "term", "estimate", "lower", "upper")
SHRINKAGE = ("group", "level", "n", "lambda")
GROUP_UPDATE = ("group", "level", "term", "n", "known", "estimate", "std_error", "lower", "upper")
DISPERSION = ("parameter", "estimate", "std_error", "lower", "upper")
DIAGNOSTICS = ("rhat", "ess_bulk", "ess_tail")
DRAWS = ("parameter", "estimate", "std_error", "mcse_mean", "mcse_sd", *DIAGNOSTICS)

RESIDUAL = "Residual"  # the group name of the residual standard deviation; its term is the empty string
SIGMA = "sigma"

SHORT: dict[str, str] = {  # headings of printed tables, where the column's name would be long
    "estimate": "Estimate",
    "std_error": "Std.Error",
    "statistic": "t value",
    "z": "z value",
    "p_value": "p value",
    "sd": "Std.Dev.",
    "variance": "Variance",
    "group": "Group",
    "term": "Term",
    "correlation": "Corr",
}

SAMPLED: dict[str, str] = {"rhat": "Rhat", "ess_bulk": "Bulk_ESS", "ess_tail": "Tail_ESS"}  # as in brms


def interval_headings(level: float) -> tuple[str, str]:
    """Headings of an interval: ``l-95% CI`` and ``u-95% CI``."""
    percent = f"{100.0 * level:.4g}%"
    return f"l-{percent} CI", f"u-{percent} CI"
