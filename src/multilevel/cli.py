"""The command line, thin over the library: ``multilevel fit DATA FORMULA``, ``describe``, ``predict``, ``demo``.

    exit status   0 done                      3 data or formula          130 interrupted
                  1 internal failure          4 not converged, or refused under --strict
                  2 usage, unreadable input   5 output file, saved fit or database

A failure is one sentence on standard error (with ``--json`` one JSON object: code, message, hint); a traceback only
with ``--debug``. Warnings are single lines there. Everything heavy is imported by the command that needs it, so that
``multilevel --help`` answers at once: this is why the parser is argparse.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from . import errors
from .errors import MultilevelError, MultilevelWarning, printable

if TYPE_CHECKING:
    from .fit.fit import Fit
    from .model.model import Model

Run = Callable[[argparse.Namespace], int]
DONE, INTERNAL, USAGE, DATA, NOT_CONVERGED, FILE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
LONGEST = 600  # characters of a line on standard error
FORMULA_STARTERS = ("=", "+", "-", "@", "\t", "\r")  # of a cell that a spreadsheet would execute
FAILING = (errors.SingularFitWarning, errors.ConvergenceWarning)  # warnings that --strict turns into status 4
EPILOG = "exit status: 0 done, 1 internal, 2 usage, 3 data or formula, 4 not converged or --strict, 5 file, 130 stopped"


class UsageError(MultilevelError):
    """The command itself is wrong, or names an input file that cannot be read."""

    default_code = "E_USAGE"


class RefusedError(MultilevelError):
    """A fit that ``--strict`` does not accept; its files were written."""

    default_code = "E_STRICT"


STATUS: tuple[tuple[type[MultilevelError], int], ...] = (  # the first that matches
    (UsageError, USAGE),
    (errors.SettingError, USAGE),
    (errors.ConvergenceError, NOT_CONVERGED),
    (RefusedError, NOT_CONVERGED),
    (errors.BackendError, FILE),
    (errors.FileError, FILE),
    (MultilevelError, DATA),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process otherwise.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    _encode_leniently()
    try:
        status = _run(arguments)
        _flush()
    except BrokenPipeError:  # the reader has what it wanted: `multilevel fit … | head -1`
        _discard_output()
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        return _fail(error, arguments)
    return status


def _run(arguments: list[str]) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as leaving:  # --help, --version
        return int(leaving.code or DONE)
    if options.quiet:
        os.environ["MULTILEVEL_QUIET"] = "1"
    with _warnings_as_lines():
        status: int = options.run(options)
    return status


# --- parser ------------------------------------------------------------------------------------------------------
class _Parser(argparse.ArgumentParser):
    """Errors are raised, to be one line like all others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f'See "{self.prog} --help".')


class _Version(argparse.Action):
    """Asked for only when needed: reading the metadata takes as long as the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from . import __version__

        print(f"multilevel {__version__}")
        parser.exit(DONE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="multilevel", description="Hierarchical (multilevel, mixed-effects) models.", epilog=EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_describe(commands)
    _add_predict(commands)
    _add_demo(commands)
    return parser


def _command(commands: Any, name: str, run: Run, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=run)
    parser.add_argument("--quiet", action="store_true", help="print no summary, and nothing about progress")
    parser.add_argument("--debug", action="store_true", help="print the traceback of a failure")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="CSV, TSV, Parquet, Feather or Arrow file, or duckdb:FILE#TABLE")
    parser.add_argument("formula", metavar="FORMULA", help='such as "y ~ x + (x | group)"')
    parser.add_argument("--family", default="gaussian", metavar="F", help="distribution of the response (gaussian)")
    parser.add_argument("--link", metavar="L", help="link of the family (its usual one)")
    parser.add_argument("--weights", metavar="COL", help="column of precisions; frequencies: y | weights(COL) ~ …")
    parser.add_argument("--offset", metavar="COL", help="column added to the linear predictor")


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace output files that exist")


def _add_fit(commands: Any) -> None:
    parser = _command(commands, "fit", _fit, "fit a model and print its summary")
    _add_model(parser)
    parser.add_argument("--estimator", metavar="E", help="reml (with groups), complete (without), ml, none, …")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a setting of the estimator")
    parser.add_argument("--level", metavar="P", type=float, default=0.95, help="coverage of intervals (0.95)")
    parser.add_argument("--json", metavar="FILE|-", help="write the fit as JSON; - is standard output, without summary")
    parser.add_argument("--save", metavar="FILE", help="save the fit for `multilevel predict` and ml.load")
    parser.add_argument("--strict", action="store_true", help="status 4 for a singular fit too")
    _add_force(parser)


def _add_describe(commands: Any) -> None:
    parser = _command(commands, "describe", _describe, "print the model, its sizes and advice, without fitting")
    _add_model(parser)


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", _predict, "predictions of a saved fit for new rows, as CSV")
    parser.add_argument("fit", metavar="FIT", help="file that `multilevel fit --save` wrote")
    parser.add_argument("data", metavar="NEWDATA", help="table with the formula's columns except the response")
    parser.add_argument(
        "--target", metavar="T", action="append", default=[],
        help="conditional (default), new_group, reference or marginal; GROUP=T for one grouping factor",
    )  # fmt: skip
    parser.add_argument("--kind", metavar="K", default="mean", help="mean (default), linear, or response: one row")
    parser.add_argument("--interval", metavar="P", default="0.95", help="coverage of intervals (0.95), or none")
    parser.add_argument("--output", metavar="FILE", help="write to this file instead of standard output")
    _add_force(parser)


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "the bundled schools example, end to end")
    parser.add_argument("--output", metavar="DIR", default="demo-output", help="directory of its files (./demo-output)")


# --- commands ----------------------------------------------------------------------------------------------------
def _fit(options: argparse.Namespace) -> int:
    _check_outputs([options.json if options.json != "-" else None, options.save], options.data, options.force)
    settings = _settings(options.set)
    from .fit.tables import check_level

    level = check_level(options.level)
    fit = _at_level(_model(options).fit(options.estimator, **settings), level)
    if options.save:
        fit.save(options.save, overwrite=options.force)
    if options.json:
        _write_json(fit, options)
    if not options.quiet and options.json != "-":
        print(fit.summary())
    if options.strict:
        _insist(fit)
    return DONE


def _describe(options: argparse.Namespace) -> int:
    model = _model(options)
    if not options.quiet:
        print(model)
    return DONE


def _predict(options: argparse.Namespace) -> int:
    _check_outputs([options.output], options.data, options.force)
    from .data.tables import as_table
    from .fit.store import load

    with _input_errors():
        fit = load(options.fit)
        table = as_table(options.data)
    target, interval = _target(options.target), _interval(options.interval)
    predictions = fit.predict(table, target=target, kind=options.kind, interval=interval)
    columns = {**_labels(fit, table), **{name: predictions[name].tolist() for name in predictions}}
    text = _csv(columns, escape=options.output is None)
    if options.output is None:
        sys.stdout.write(text)
    else:
        from .fit.output import write_whole

        write_whole(options.output, text.encode("utf-8", "backslashreplace"), options.force)
    return DONE


def _demo(options: argparse.Namespace) -> int:
    from .demo import run

    lines = run(options.output)
    if not options.quiet:
        print("\n".join(lines))
    return DONE


# --- parts of commands -------------------------------------------------------------------------------------------
def _model(options: argparse.Namespace) -> Model:
    from .data.tables import as_table
    from .model.model import Model

    with _input_errors():
        table = as_table(options.data)
    return Model(
        options.formula,
        table,
        family=options.family,
        link=options.link,
        weights=options.weights,
        offset=options.offset,
    )


@contextmanager
def _input_errors() -> Iterator[None]:
    """An input file that cannot be read is a fault of the command; a damaged fit or a database is not."""
    try:
        yield
    except errors.FileError as error:
        if type(error) is not errors.FileError:
            raise
        raise UsageError(error.message, hint=error.hint) from error


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
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


def _at_level(fit: Fit, level: float) -> Fit:
    from .fit.fit import Fit

    return fit if level == fit.level else Fit(fit.model, fit.estimator, fit.estimates, fit.seconds, level=level)


def _insist(fit: Fit) -> None:
    """Refuse a fit that did not converge or lost a rank."""
    failing = [w for w in fit.warnings if isinstance(w, FAILING)]
    if failing or not fit.converged:
        reason = failing[0].message if failing else "the fit has not converged"
        raise RefusedError(f"refused under --strict: {reason}")


def _write_json(fit: Fit, options: argparse.Namespace) -> None:
    """ASCII only: labels may hold characters that a terminal would obey."""
    text = json.dumps(fit.to_dict(), indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        from .fit.output import write_whole

        write_whole(options.json, text.encode("ascii"), options.force)


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
    names = dict.fromkeys(name for term in fit.model.formula.groups for name in term.levels if name in table)
    out = {}
    for name in names:
        factor = table.factor(name)
        out[name] = [factor.levels[code] if code >= 0 else "" for code in factor.codes.tolist()]
    return out


def _csv(columns: dict[str, list[Any]], escape: bool) -> str:
    """Columns as CSV; NaN is an empty cell. With `escape`, characters that a terminal would obey are written out."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name, escape) for name in columns])
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value, escape) for value in row])
    return out.getvalue()


def _cell(value: Any, escape: bool) -> str:
    if not isinstance(value, str):
        return "" if value != value else repr(value)
    text = printable(value, limit=len(value) + 1) if escape else value
    return f"'{text}" if text.startswith(FORMULA_STARTERS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_outputs(paths: Sequence[str | None], data: str, force: bool) -> None:
    """Before any work: may these files be written, and are they not the input?"""
    from .fit.output import check_output

    seen = {os.path.realpath(data)}
    for path in filter(None, paths):
        check_output(path, force)
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError(f'the path "{printable(path)}" is named twice, as input and output or for two outputs')
        seen.add(real)


# --- streams -----------------------------------------------------------------------------------------------------
def _encode_leniently() -> None:
    """Characters that the terminal's encoding lacks are written as escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Point standard output nowhere: the interpreter flushes it again when it ends."""
    with suppress(OSError, ValueError, AttributeError):  # no real stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """This package's warnings, each once, as ``warning: …``; those of other libraries are for developers."""
    seen = set()

    def show(message: Any, *_: Any, **__: Any) -> None:
        text = printable(message, LONGEST)
        if text not in seen:
            seen.add(text)
            print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", MultilevelWarning)
        warnings.showwarning = show
        yield


# --- failures ----------------------------------------------------------------------------------------------------
def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    """One sentence (or JSON object) on standard error, and the exit status."""
    status, told = _told(error)
    if "--debug" in arguments:
        import traceback

        traceback.print_exception(error)
    if any(a == "--json" or a.startswith("--json=") for a in arguments):
        line = json.dumps(told.to_dict())
    else:
        what = "usage error" if status == USAGE else "error"
        line = f"multilevel: {what}: {printable(told, LONGEST)}"
    try:
        _flush()
    except OSError:
        _discard_output()
    print(line, file=sys.stderr)
    return status


def _told(error: BaseException) -> tuple[int, MultilevelError]:
    """Exit status, and the error in this package's form."""
    if isinstance(error, MultilevelError):
        return next(status for kind, status in STATUS if isinstance(error, kind)), error
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, MultilevelError(str(error) or "interrupted", code="E_INTERRUPTED")
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, OSError):
        return FILE, errors.FileError(f"cannot read or write: {printable(error.strerror or first, 200)}")
    message = f"internal error, {type(error).__name__}: {printable(first, 200)}"
    return INTERNAL, MultilevelError(message, hint="Please report it, with what --debug prints.")
