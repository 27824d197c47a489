"""The table of ``docs/approximations.md``: ``python docs/make_approximations.py`` computes and writes it.

Binary clusters, logit P(y = 1) = β + u, u ~ N(0, τ²), with β = 0.5. The exact likelihood is computed here by other
means than the package's: clusters with k successes share one integral, over 200 Gauss–Hermite nodes of N(0, τ²).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

import multilevel as ml

PAGE = Path(__file__).with_name("approximations.md")
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
SIZES, SDS, GROUPS, BETA = (2, 5, 20), (0.5, 1.0, 2.0), 1000, 0.5


def clusters(size: int, tau: float) -> np.ndarray:
    """Successes of each cluster."""
    rng = np.random.default_rng([size, int(10 * tau)])
    p = 1.0 / (1.0 + np.exp(-BETA - tau * rng.standard_normal(GROUPS)))
    return rng.binomial(size, p)


def exact(successes: np.ndarray, size: int) -> tuple[float, float]:
    """Maximum of the exact log-likelihood of the single rows, and τ there."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    log_weights = np.log(weights / weights.sum())
    k, counts = np.unique(successes, return_counts=True)

    def loss(parameters: np.ndarray) -> float:
        eta = parameters[0] + np.exp(parameters[1]) * nodes
        terms = k[:, None] * eta - size * np.logaddexp(0.0, eta) + log_weights
        return -float(counts @ logsumexp(terms, axis=1))

    starts = [np.array([BETA, start]) for start in (-3.0, -1.0, 0.0, 1.0)]
    best = min((minimize(loss, s, method="BFGS", options={"gtol": 1e-8}) for s in starts), key=lambda found: found.fun)
    return -best.fun, float(np.exp(best.x[1]))


def fits(successes: np.ndarray, size: int) -> tuple[ml.Fit, ml.Fit, ml.Fit]:
    """Laplace, second order, quadrature."""
    y = (np.arange(size) < successes[:, None]).astype(float).ravel()
    data = {"y": y, "cluster": np.repeat(np.arange(GROUPS), size).astype(str)}
    model = ml.Model("y ~ 1 + (1 | cluster)", data, family="bernoulli")
    return model.fit("laplace"), model.fit("laplace", order=2), model.fit("agq")


def sd(fit: ml.Fit) -> float:
    return float(fit.estimates.covariances[0][0, 0] ** 0.5)


def line(size: int, tau: float) -> str:
    """One row of the table."""
    successes = clusters(size, tau)
    log_likelihood, best = exact(successes, size)
    laplace, second, quadrature = fits(successes, size)
    found = laplace.adequacy()
    row = list(found.columns["parameter"]).index("sd")
    foretold = sd(laplace) + found.columns["shift"][row]
    cells = [
        f"{size}",
        f"{tau:g}",
        f"{best:.3f}",
        *(f"{sd(fit):.3f}" for fit in (laplace, second, quadrature)),
        *(f"{fit.log_likelihood - log_likelihood:+.2f}" for fit in (laplace, second)),
        f"{quadrature.log_likelihood - log_likelihood:+.0e}",
        f"{quadrature.estimates.notes['nodes']}",
        f"{found.error:+.2f}",
        f"{foretold:.3f}",
        f"{found.columns['shift_se'][row]:+.2f}",
        found.verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Compute and write."""
    warnings.simplefilter("ignore")
    head = [
        "| rows | τ | τ̂ exact | Laplace | order 2 | AGQ | logLik: Laplace | order 2 | AGQ | nodes "
        "| adequacy: logLik | τ̂ | se | verdict |",
        "|" + "---|" * 14,
    ]
    lines = head + [line(size, tau) for size in SIZES for tau in SDS]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after, encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
