"""The draws of a sampled fit as an ArviZ DataTree, for its plots and statistics.

    posterior             beta (term), sd (sd_dim), cor (cor_dim), sigma, constants, r_<group> (<group>, <group>_term)
    sample_stats          lp, diverging, energy, tree_depth, acceptance_rate, step_size, n_steps: what the sampler has
    observed_data         the response                   log_likelihood        of every row and draw
    posterior_predictive  on request                     prior                 on request, where priors are proper

Names and coordinates of the posterior are those of `Fit.draws`: ``sd_dim`` has the labels ``"Subject, Days"`` and the
coordinates sd_group and sd_term.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BackendError
from .diagnostics import sample_of

if TYPE_CHECKING:
    from .fit import Fit
    from .sample import Sample

MOST_NUMBERS = 20_000_000  # log densities that are computed without being asked for
RESERVED = ("chain", "draw", "term", "row", "beta", "sd", "cor", "sigma")  # no names of groups' dimensions
STATS = {  # ours → ArviZ's
    "divergent": "diverging",
    "tree_depth": "tree_depth",
    "energy": "energy",
    "acceptance": "acceptance_rate",
    "step_size": "step_size",
    "n_steps": "n_steps",
}


def to_arviz(
    fit: Fit,
    log_likelihood: bool | None = None,
    posterior_predictive: bool = False,
    prior: bool = False,
    seed: int | None = 0,
) -> Any:
    """The draws of a sampled fit as an ArviZ DataTree.

    Parameters
    ----------
    fit : Fit
    log_likelihood : bool, optional
        Log densities of every row in every draw; left out by itself beyond 20 million numbers.
    posterior_predictive : bool
        A response of every row from every draw.
    prior : bool
        As many draws from the priors, which have to be proper.
    seed : int, optional
        Of what is simulated.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    BackendError
        E_ARVIZ: arviz-base is not installed.
    SettingError
        E_NOT_SAMPLED: the fit is no sample; E_PRIOR_IMPROPER: priors to draw from are flat.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> tree = model.fit("collapsed", draws=500).to_arviz(log_likelihood=False)
    >>> list(tree.children), tree["posterior"]["r_school"].dims
    (['posterior', 'sample_stats', 'observed_data'], ('chain', 'draw', 'school', 'school_term'))
    """
    sample = sample_of(fit, "ArviZ data")
    base = _arviz_base()
    coords, dims = _labels(fit)
    draws = fit.draws
    groups: dict[str, dict[str, Any]] = {
        "posterior": {name: draws.by_chain(name) for name in draws if draws[name].size},
        "sample_stats": _stats(sample),
        "observed_data": {_response(fit): fit.model.observations.y},
    }
    row = "row" if _response(fit) != "row" else "row_"
    dims[_response(fit)] = [row]
    coords[row] = np.arange(fit.model.design.n)
    if log_likelihood is None:
        log_likelihood = sample.chains * sample.draws * fit.model.design.n <= MOST_NUMBERS
    groups |= _of_rows(fit, sample, log_likelihood, posterior_predictive, seed)
    if prior:
        groups["prior"] = _prior(fit, sample, seed)
    tree = base.from_dict(groups, coords=coords, dims=dims, attrs={"/": _attributes(fit)})
    return _with_parts(fit, tree)


def _arviz_base() -> Any:
    try:
        import arviz_base
    except ImportError as error:
        raise BackendError(
            "to_arviz needs the library arviz-base, which is not installed",
            code="E_ARVIZ",
            hint='pip install "multilevel[arviz]"',
        ) from error
    return arviz_base


def _response(fit: Fit) -> str:
    return str(fit.model.design.response_name)


def _stats(sample: Sample) -> dict[str, np.ndarray]:
    out = {"lp": sample.log_posterior}
    return out | {STATS.get(name, name): np.asarray(values) for name, values in sample.stats.items()}


def _attributes(fit: Fit) -> dict[str, Any]:
    from .. import __version__

    return {
        "inference_library": "multilevel",
        "inference_library_version": str(__version__),
        "formula": fit.model.formula.text or str(fit.model.formula),
        "estimator": fit.estimator.name,
        "partial": int(fit.partial),
    }


# --- labels ----------------------------------------------------------------------------------------------------------
def _labels(fit: Fit) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Coordinates by dimension, and the dimensions of every variable."""
    known = fit.draws.coordinates
    coords: dict[str, Any] = {"term": known["beta"]["term"]}
    dims = {"beta": ["term"]}
    for name in ("sd", "cor"):
        if known[name]["group"]:
            coords[f"{name}_dim"] = [", ".join(labels) for labels in zip(*known[name].values(), strict=True)]
            dims[name] = [f"{name}_dim"]
    for label in fit.model.groups:
        at = known[f"r_{label}"]
        levels = label if label not in RESERVED else f"{label}_"
        coords[levels], coords[f"{label}_term"] = at["level"], at["term"]
        dims[f"r_{label}"] = [levels, f"{label}_term"]
    return coords, dims


def _with_parts(fit: Fit, tree: Any) -> Any:
    """Group and coefficient of each standard deviation and correlation as coordinates of their own."""
    for place in ("posterior", "prior"):
        if place not in tree:
            continue
        dataset = tree[place].to_dataset()
        for name in ("sd", "cor"):
            parts: Mapping[str, list[str]] = fit.draws.coordinates[name]
            if f"{name}_dim" in dataset.dims:
                added = {f"{name}_{part}": (f"{name}_dim", labels) for part, labels in parts.items()}
                dataset = dataset.assign_coords(added)
        tree[place] = dataset
    return tree


# --- rows and priors -------------------------------------------------------------------------------------------------
def _of_rows(fit: Fit, sample: Sample, densities: bool, replicated: bool, seed: int | None) -> dict[str, Any]:
    from ..predictions import pointwise

    shape = (sample.chains, sample.draws, fit.model.design.n)
    out: dict[str, Any] = {}
    if densities:
        out["log_likelihood"] = {_response(fit): pointwise.log_densities(fit).reshape(shape)}
    if replicated:
        out["posterior_predictive"] = {_response(fit): pointwise.replicates(fit, seed).reshape(shape)}
    return out


def _prior(fit: Fit, sample: Sample, seed: int | None) -> dict[str, np.ndarray]:
    """As many draws from the priors, as one chain."""
    from ..core.coordinates import coordinates
    from ..samplers.from_prior import draw_parameters
    from .draws import Draws

    model, n = fit.model, sample.chains * sample.draws
    drawn = draw_parameters(
        model, coordinates(model, model.priors, not model.is_linear), n, np.random.default_rng(seed)
    )
    names = ("beta", "sigma", "covariances", "effects", "constants")
    draws = Draws.named(fit, {name: getattr(drawn, name) for name in names}, n)
    return {name: draws.by_chain(name) for name in draws if draws[name].size}
