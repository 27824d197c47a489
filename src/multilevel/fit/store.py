"""Saving fits and loading them: ``fit.save("school.fit")``, ``ml.load("school.fit")``.

A file holds the columns of the design (missing rows already dropped), what is needed to rebuild them for new data, the
estimator's settings and the estimates. `container.py` has the bytes. The certainty is computed again when it is asked
for. A loaded fit predicts what the saved one did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors
from ..errors import FileError, MultilevelError, MultilevelWarning, printable
from .container import damaged, foreign, pack, unpack
from .output import check_output, write_whole
from .stored_response import agree, response_record, stored_response
from .stored_sample import priors_record, sample_record, stored_sample

if TYPE_CHECKING:
    from ..formula.design import Column, Design
    from ..model.model import Model
    from .estimates import Estimates
    from .fit import Fit

__all__ = ["check_output", "load", "save"]

HEAD = 64  # bytes that tell another kind of file before all of it is read
NUMBERS = ("sigma", "log_likelihood", "objective", "n_parameters", "converged", "scaled_gradient")
SCALARS = ("criterion", *NUMBERS, "iterations", "evaluations")
WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, MultilevelError)


# --- saving ------------------------------------------------------------------------------------------------------
def save(fit: Fit, path: Any, overwrite: bool = False) -> None:
    """Write a fit to a file; see `Fit.save`."""
    from .. import __version__

    check_output(path, overwrite)
    arrays = _Arrays()
    record = {
        "model": _model_record(fit.model, arrays),
        "estimator": {"name": fit.estimator.name, "settings": _settings(fit.estimator)},
        "estimates": _estimates_record(fit.estimates, arrays),
        "seconds": fit.seconds,
        "level": fit.level,
    }
    write_whole(path, pack({"fit": record}, arrays.by_name, str(__version__)), overwrite)


class _Arrays:
    """Arrays by name; one that is used twice (in the fixed part and in a group term) is stored once."""

    def __init__(self) -> None:
        self.by_name: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def add(self, array: np.ndarray | None) -> str | None:
        if array is None:
            return None
        if id(array) not in self._names:
            name = f"arrays/{len(self.by_name)}"
            self._names[id(array)], self.by_name[name] = name, np.asarray(array)
        return self._names[id(array)]


def _model_record(model: Model, arrays: _Arrays) -> dict[str, Any]:
    design = model.design
    return {
        "formula": model.formula.text or str(model.formula),
        "family": model.family,
        "link": model.link,
        "rank": model.rank,
        "separation": model.separation,
        "priors": priors_record(model.__dict__.get("given_priors")),
        "native": model.native,
        "memory": design.memory.to_dict(),
        "response_name": design.response_name,
        "response": arrays.add(design.response),
        "fixed_names": list(design.fixed_names),
        "fixed_columns": [arrays.add(c) for c in design.fixed_columns],
        "groups": [
            {"names": list(g.names), "columns": [arrays.add(c) for c in g.columns], "codes": arrays.add(g.codes)}
            for g in design.groups
        ],
        "fixed_predictor": design.fixed_predictor.tolist(),
        "offset": arrays.add(design.offset),
        "offsets": [arrays.add(o) for o in design.offsets],
        "observations": response_record(design.observations, arrays.add),
        "weights": arrays.add(design.weights),
        "weights_kind": design.weights_kind,
        "known_se": arrays.add(design.known_se),
        "n_rows_given": design.n_rows_given,
        "missing": [list(pair) for pair in design.missing],
        "variables": list(design.variables),
        "warnings": [_warning_record(w) for w in model.warnings],
    }


def _estimates_record(e: Estimates, arrays: _Arrays) -> dict[str, Any]:
    return {
        **{name: _scalar(getattr(e, name)) for name in SCALARS},
        "beta": arrays.add(e.beta),
        "covariances": [arrays.add(c) for c in e.covariances],
        "effects": [arrays.add(b) for b in e.effects],
        "dispersion": {name: _scalar(value) for name, value in e.dispersion.items()},
        "boundary": list(e.boundary),
        "warnings": [_warning_record(w) for w in e.warnings],
        "hessian": arrays.add(e.certainty.hessian),
        "sample": sample_record(e.certainty.sample, arrays.add, _jsonable),
        "profiles": bool(e.certainty.profiles),
        "notes": {name: value for name, note in e.notes.items() if (value := _jsonable(note)) is not None},
    }


def _settings(estimator: Any) -> dict[str, Any]:
    return {f.name: _jsonable(getattr(estimator, f.name)) for f in fields(estimator)}


def _scalar(value: Any) -> Any:
    """A number as JSON has it; NaN is null."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def _jsonable(value: Any) -> Any:
    """Numbers, text, lists and dictionaries of them; None for anything else."""
    if isinstance(value, (bool, int, float, str, np.generic)) or value is None:
        return _scalar(value)
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    return None


def _warning_record(warning: MultilevelWarning) -> dict[str, str]:
    return {"class": type(warning).__name__, **warning.to_dict()}


# --- loading -----------------------------------------------------------------------------------------------------
def load(path: Any) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Fit
        With the same estimates, tables and predictions.

    Raises
    ------
    FileError
        There is no such file.
    CorruptFileError
        It is something else, damaged, or declares sizes that it does not hold.
    VersionError
        A newer version of this package wrote it.
    """
    shown = printable(path, 120)
    records, arrays = unpack(_read(Path(path), shown), shown)
    try:
        return _fit(records["fit"], arrays)
    except WRONG as error:
        why = f"its content is inconsistent ({type(error).__name__}), though its checksum holds"
        raise damaged(shown, why) from error


def _read(path: Path, shown: str) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.startswith(b"P") and b"manifest.json" not in head:
                raise foreign(shown)
            return head + file.read()
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f'cannot read the fit file "{shown}": {error.strerror or type(error).__name__}') from error


def _fit(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> Fit:
    from ..registry import make_estimator
    from .fit import Fit

    model = _model(record["model"], arrays)
    estimator = make_estimator(str(record["estimator"]["name"]), dict(record["estimator"]["settings"]))
    estimates = _estimates(record["estimates"], arrays, model, estimator)
    return Fit(model, estimator, estimates, float(record["seconds"]), level=record["level"])


def _model(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> Model:
    from ..formula.grammar import parse
    from ..model.model import Model
    from ..registry import member

    formula, family = parse(record["formula"]), member("families", str(record["family"]))
    model = Model.__new__(Model)  # the design is there already: nothing is to be built or checked again
    model.__dict__.update(
        formula=formula,
        design=_design(record, arrays, formula, family),
        family=str(record["family"]),
        link=family.link(record["link"]),
        rank="raise" if record["rank"] == "raise" else "drop",
        separates="raise" if record.get("separation") == "raise" else "warn",
        given_priors=record.get("priors"),
        native=str(record["native"]),
        warnings=tuple(_warning(w) for w in record["warnings"]),
    )
    return model


def _design(record: dict[str, Any], arrays: dict[str, np.ndarray], formula: Any, family: Any) -> Design:
    from ..formula.design import Design
    from ..formula.layout import Layout, layout_of
    from ..formula.memory import DesignMemory

    memory = DesignMemory.from_dict(record["memory"])
    agree(memory.formula == formula, "two formulas")
    response = _column(arrays[record["response"]])
    n = len(response)
    observed = stored_response(record.get("observations"), arrays, n)
    layout = Layout() if observed is None else layout_of(family, observed)
    agree(layout == memory.layout, "linear predictors")

    def columns(names: list[str | None]) -> tuple[Column, ...]:
        return tuple(None if name is None else _column(arrays[name], n) for name in names)

    offset, weights, known_se = columns([record["offset"], record["weights"], record["known_se"]])
    fixed_names = _texts(record["fixed_names"])
    agree(len(fixed_names) == len(record["fixed_columns"]), "fixed columns")
    owner = np.array(record.get("fixed_predictor", [0] * len(fixed_names)), dtype=np.int64)
    agree(owner.shape == (len(fixed_names),) and bool(np.isin(owner, range(len(layout.names))).all()), "predictors")
    offsets = columns(record.get("offsets", [record["offset"]]))
    agree(len(offsets) == len(layout.names), "offsets")
    agree(record["weights_kind"] in ("precision", "frequency"), "weights")
    agree(all(v is None or bool((v > 0.0).all()) for v in (weights, known_se)), "weights")
    return Design(
        response_name=str(record["response_name"]),
        response=response,
        fixed_names=fixed_names,
        fixed_columns=columns(record["fixed_columns"]),
        groups=_groups(record["groups"], columns, arrays, memory, n),
        offset=offset,
        weights=weights,
        weights_kind=record["weights_kind"],
        known_se=known_se,
        n_rows_given=int(record["n_rows_given"]),
        missing=tuple((str(name), int(count)) for name, count in record["missing"]),
        memory=memory,
        variables=_texts(record["variables"]),
        layout=layout,
        fixed_predictor=owner,
        offsets=offsets,
        observations=observed,
    )


def _groups(
    records: list[dict[str, Any]], columns: Any, arrays: dict[str, np.ndarray], memory: Any, n: int
) -> tuple[Any, ...]:
    """Group terms: labels and covariance from the formula, levels from the memory, columns from the file."""
    from ..formula.design import GroupColumns
    from ..formula.predictors import group_terms

    out = []
    for (predictor, _, term), r in zip(group_terms(memory.formula, memory.layout), records, strict=True):
        names, codes, levels = _texts(r["names"]), arrays[r["codes"]], memory.labels(term.levels)
        agree(len(names) == len(r["columns"]), "columns of a group")
        agree(codes.dtype == np.int32 and codes.shape == (n,), "codes of a group")
        agree(int(codes.min()) >= 0 and int(codes.max()) < len(levels), "levels of a group")
        values = columns(r["columns"])
        out.append(GroupColumns(term.label, names, values, codes, _texts(levels), term.scale, term.options, predictor))
    return tuple(out)


def _column(array: np.ndarray, n: int | None = None) -> np.ndarray:
    """A column of finite numbers, one a row."""
    agree(array.dtype == np.float64 and array.ndim == 1 and len(array) == (n or len(array)) > 0, "a column")
    agree(bool(np.isfinite(array).all()), "a column")
    return array


def _texts(values: Any) -> tuple[str, ...]:
    agree(all(isinstance(v, str) for v in values), "names")
    return tuple(values)


def _estimates(record: dict[str, Any], arrays: dict[str, np.ndarray], model: Model, estimator: Any) -> Estimates:
    from .estimates import Estimates
    from .recomputed import Kept, recomputed
    from .sampled import SampledCertainty

    groups = model.design.groups
    beta = arrays[record["beta"]]
    covariances = tuple(arrays[name] for name in record["covariances"])
    effects = tuple(arrays[name] for name in record["effects"])
    agree(beta.shape == (len(model.design.fixed_names),), "fixed effects")
    for g, covariance, b in zip(groups, covariances, effects, strict=True):
        k = len(g.names)
        agree(covariance.shape == (k, k) and b.shape == (len(g.levels), k), "group effects")
    notes = dict(record["notes"])
    _check_optimum(notes, model)
    hessian = None if record.get("hessian") is None else arrays[record["hessian"]]
    agree(hessian is None or (hessian.ndim == 2 and bool(np.isfinite(hessian).all())), "hessian")
    kept = Kept(hessian, bool(record["profiles"])) if "profiles" in record else None
    sample = stored_sample(record.get("sample"), arrays, model)
    again = recomputed(model, estimator, notes, kept) if sample is None else SampledCertainty(sample)
    dispersion = {
        str(name): float("inf") if value is None else float(value)
        for name, value in record.get("dispersion", {}).items()
    }
    return Estimates(
        criterion=str(record["criterion"]),
        beta=beta,
        sigma=None if record["sigma"] is None else float(record["sigma"]),
        covariances=covariances,
        effects=effects,
        log_likelihood=_number(record["log_likelihood"]),
        objective=_number(record["objective"]),
        n_parameters=int(record["n_parameters"]),
        certainty=again,
        converged=bool(record["converged"]),
        boundary=_texts(record["boundary"]),
        iterations=int(record["iterations"]),
        evaluations=int(record["evaluations"]),
        scaled_gradient=_number(record["scaled_gradient"]),
        warnings=tuple(_warning(w) for w in record["warnings"]),
        notes=notes,
        dispersion=dispersion,
    )


def _check_optimum(notes: dict[str, Any], model: Model) -> None:
    """Parameters of a likelihood fit: as many as the model has, those on the boundary among them."""
    n = sum(len(scale.kinds()) for scale in model.scales)
    if notes.get("phi") is not None:
        phi = np.array(notes["phi"], dtype=float)
        most = n + len(model.design.fixed_names) + len(model.distribution.links)
        agree(phi.ndim == 1 and n <= len(phi) <= most and bool(np.isfinite(phi).all()), "phi")
        agree(all(type(j) is int and 0 <= j < n for j in notes["zeros"]), "zeros")
    if "theta" in notes:
        agree(np.array(notes["theta"], dtype=float).shape == (n,), "theta")
        agree(all(type(j) is int and 0 <= j < n for j in notes["zeros"]), "zeros")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _warning(record: dict[str, str]) -> MultilevelWarning:
    """A stored warning; one of a class that is not known any more is a plain one."""
    kind = WARNINGS.get(record["class"], MultilevelWarning)
    return kind(str(record["message"]), code=str(record["code"]), hint=str(record["hint"]))


WARNINGS: dict[str, type[MultilevelWarning]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MultilevelWarning)
}
