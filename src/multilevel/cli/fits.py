"""Commands that fit, describe and predict, and what every command does with models."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import errors
from ..errors import printable
from .status import DONE, RefusedError, UsageError
from .streams import check_outputs, csv_text, write_json

if TYPE_CHECKING:
    from ..data.tables import Table
    from ..fit.fit import Fit
    from ..model.model import Model

FAILING = (errors.SingularFitWarning, errors.ConvergenceWarning)  # warnings that --strict turns into status 4


# --- commands ----------------------------------------------------------------------------------------------------
def fit(options: argparse.Namespace) -> int:
    outputs = [options.json if options.json != "-" else None, options.save, options.report]
    check_outputs(outputs, options.data, options.force)
    settings = estimator_settings(options)
    from ..fit.tables import check_level

    level = check_level(options.level)
    table = table_of(options)
    found = _at_level(model_of(options, table).fit(options.estimator, **settings), level)
    if options.save:
        found.save(options.save, overwrite=options.force)
    if options.report:
        write_report(found, options.report, options, table)
    if options.json:
        write_json(found.to_dict(), options)
    if not options.quiet and options.json != "-":
        print(found.summary())
    if options.strict:
        insist(found)
    return DONE


def describe(options: argparse.Namespace) -> int:
    model = model_of(options, table_of(options))
    if not options.quiet:
        print(model)
    return DONE


def predict(options: argparse.Namespace) -> int:
    check_outputs([options.output], options.data, options.force)
    from ..data.tables import as_table
    from ..fit.store import load

    with input_errors():
        found = load(options.fit)
        table = as_table(options.data)
    target, interval = _target(options.target), _interval(options.interval)
    predictions = found.predict(table, target=target, kind=options.kind, interval=interval)
    columns = {**_labels(found, table), **{name: predictions[name].tolist() for name in predictions}}
    text = csv_text(columns, escape=options.output is None)
    if options.output is None:
        sys.stdout.write(text)
    else:
        from ..fit.output import write_whole

        write_whole(options.output, text.encode("utf-8", "backslashreplace"), options.force)
    return DONE


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {"fit": fit, "describe": describe, "predict": predict}


# --- models and fits -----------------------------------------------------------------------------------------------
def table_of(options: argparse.Namespace) -> Table:
    """The table that the command names."""
    from ..data.tables import as_table

    with input_errors():
        return as_table(options.data)


def model_of(options: argparse.Namespace, table: Table, formula: str | None = None) -> Model:
    """The model of a table; its formula is that of the command unless another is given."""
    from ..model.model import Model

    text = formula or options.formula
    return Model(
        text if options.trials is None else with_trials(text, options.trials),
        table,
        family=options.family,
        link=options.link,
        weights=options.weights,
        offset=options.offset,
        priors=priors_of(vars(options).get("prior") or []),
    )


def priors_of(given: Sequence[str]) -> Any:
    """What `--prior` says, as `Model` takes it: a set's name, priors by parameter, or both; None without any."""
    sets = [text.strip() for text in given if "=" not in text and "~" not in text]
    pairs = [text for text in given if "=" in text or "~" in text]
    if len(sets) > 1:
        raise UsageError(f"--prior takes one set, not {errors.listed(sets)}")
    if sets:
        pairs = [f"set={sets[0]}", *pairs]
    return pairs or None


def with_trials(formula: str, column: str) -> str:
    """The formula with ``trials(column)`` behind its response; unchanged if it has no tilde, for the parser to say so.

    Examples
    --------
    >>> with_trials("k ~ x + (1 | site)", "n")
    'k | trials(n) ~ x + (1 | site)'
    """
    from ..formula.formula import quoted
    from ..formula.tokens import tokens

    found = tokens(formula)
    tilde = next((t.at for t in found if t.value == "~" and t.kind == "operator"), None)
    if tilde is None:
        return formula
    barred = any(t.value == "|" and t.kind == "operator" and t.at < tilde for t in found)
    left = formula[:tilde].rstrip()
    return f"{left} {'+' if barred else '|'} trials({quoted(column)}) {formula[tilde:]}"


def fit_of(options: argparse.Namespace) -> tuple[Fit, Table | None]:
    """The fit of data and formula, with its table; or the saved fit that is named."""
    if options.formula is not None:
        table = table_of(options)
        return model_of(options, table).fit(options.estimator, **estimator_settings(options)), table
    from ..fit.store import load

    with input_errors():
        return load(options.data), None


def write_report(found: Fit, path: str, options: argparse.Namespace, table: Table | None) -> None:
    """The HTML report of a fit."""
    from ..reports.report import report

    title = vars(options).get("title")
    report(found, path, title=title, seed=options.seed, overwrite=options.force, data=table)


@contextmanager
def input_errors() -> Iterator[None]:
    """An input file that cannot be read is a fault of the command; a damaged fit or a database is not."""
    try:
        yield
    except errors.FileError as error:
        if type(error) is not errors.FileError:
            raise
        raise UsageError(error.message, hint=error.hint) from error


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """``["maxiter=50"]`` as keywords; values are JSON, or else text."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name.isidentifier() and equals):
            raise UsageError(f'--set takes NAME=VALUE, not "{printable(pair)}"')
        try:
            out[name] = json.loads(value)
        except ValueError:
            out[name] = value
    return out


SAMPLING = ("draws", "tune", "chains")


def estimator_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the estimator: ``--set``, and of samplers ``--draws``, ``--tune``, ``--chains`` and ``--seed``."""
    given = {name: value for name in SAMPLING if (value := vars(options).get(name)) is not None}
    if given and options.estimator is None:
        raise UsageError(f"--{next(iter(given))} is a setting of samplers", hint="Name one: --estimator nuts.")
    if options.estimator is not None and "seed" in _fields(options.estimator):
        given["seed"] = options.seed
    return given | settings_of(options.set)


def _fields(estimator: str) -> tuple[str, ...]:
    """Names of an estimator's settings; none of an unknown one, which fitting will refuse."""
    from dataclasses import fields

    from ..registry import member, members

    name = estimator.lower().replace("-", "_")
    return tuple(f.name for f in fields(member("estimators", name))) if name in members("estimators") else ()


def _at_level(fit: Fit, level: float) -> Fit:
    from ..fit.fit import Fit

    return fit if level == fit.level else Fit(fit.model, fit.estimator, fit.estimates, fit.seconds, level=level)


def insist(fit: Fit) -> None:
    """Refuse a fit that did not converge or lost a rank, and draws that failed their diagnostics."""
    failing = [w for w in fit.warnings if isinstance(w, FAILING)]
    if failing or not fit.converged:
        reason = failing[0].message if failing else "the fit has not converged"
        raise RefusedError(f"refused under --strict: {reason}")


def _target(given: Sequence[str]) -> str | dict[str, str]:
    """One target for all grouping factors, or ``GROUP=TARGET`` for some."""
    if not given:
        return "conditional"
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    pairs = [text.rpartition("=") for text in given]
    if not all(equals for _, equals, _ in pairs):
        raise UsageError("--target takes one target, or GROUP=TARGET once for each grouping factor")
    return {group: target for group, _, target in pairs}


def _interval(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f'--interval takes a coverage such as 0.9, or none, not "{printable(text)}"') from None


def _labels(fit: Fit, table: Any) -> dict[str, list[str]]:
    """The grouping columns of new data as text; a missing label is empty."""
    formula = fit.model.formula
    terms = [*formula.groups, *(term for part in formula.further for term in part.groups)]
    names = dict.fromkeys(name for term in terms for name in term.levels if name in table)
    out = {}
    for name in names:
        factor = table.factor(name)
        out[name] = [factor.levels[code] if code >= 0 else "" for code in factor.codes.tolist()]
    return out
