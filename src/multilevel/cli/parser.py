"""Commands and their options. Nothing heavy is imported here: a command's function is imported when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from .status import DONE, EPILOG, UsageError

Run = Callable[[argparse.Namespace], int]
JSON_HELP = "write the result as JSON; - (or no name) is standard output, without the text"


class _Parser(argparse.ArgumentParser):
    """Errors are raised, to be one line like all others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f'See "{self.prog} --help".')


class _Version(argparse.Action):
    """Asked for only when needed: reading the metadata takes as long as the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from .. import __version__

        print(f"multilevel {__version__}")
        parser.exit(DONE)


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="multilevel", description="Hierarchical (multilevel, mixed-effects) models.", epilog=EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_describe(commands)
    _add_predict(commands)
    _add_pooling(commands)
    _add_check(commands)
    _add_compare(commands)
    _add_report(commands)
    _add_demo(commands)
    return parser


def later(name: str) -> Run:
    """A command of `fits.py` or `answers.py`, imported when it runs."""

    def run(options: argparse.Namespace) -> int:
        from . import answers, fits

        return {**fits.COMMANDS, **answers.COMMANDS}[name](options)

    return run


def _command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=later(name))
    parser.add_argument("--quiet", action="store_true", help="print no summary, and nothing about progress")
    parser.add_argument("--debug", action="store_true", help="print the traceback of a failure")
    return parser


def _add_model(parser: argparse.ArgumentParser, formulas: str | None = None) -> None:
    parser.add_argument("data", metavar="DATA", help="CSV, TSV, Parquet, Feather or Arrow file, or duckdb:FILE#TABLE")
    parser.add_argument("formula", metavar="FORMULA", nargs=formulas, help='such as "y ~ x + (x | group)"')
    _add_columns(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    """A saved fit, or data and formula."""
    parser.add_argument("data", metavar="FIT|DATA", help="a saved fit, or with a formula the data to fit it to")
    parser.add_argument("formula", metavar="FORMULA", nargs="?", help='such as "y ~ x + (x | group)"')
    _add_columns(parser)
    _add_estimator(parser)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--family", default="gaussian", metavar="F", help="distribution of the response (gaussian)")
    parser.add_argument("--link", metavar="L", help="link of the family (its usual one)")
    parser.add_argument("--trials", metavar="COL", help="column of trials, of which the response counts the successes")
    parser.add_argument("--weights", metavar="COL", help="column of precisions; frequencies: y | weights(COL) ~ …")
    parser.add_argument("--offset", metavar="COL", help="column added to the linear predictor")
    _add_priors(parser)


def _add_estimator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--estimator", metavar="E", help="reml or laplace (with groups), complete (without), nuts, …")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a setting of the estimator")
    parser.add_argument("--draws", metavar="N", type=int, help="of samplers: draws kept of each chain (1000)")
    parser.add_argument("--tune", metavar="N", type=int, help="of samplers: draws of each chain before these (1000)")
    parser.add_argument("--chains", metavar="N", type=int, help="of samplers: number of chains (4)")


def _add_priors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prior", metavar="NAME=DIST", action="append", default=[],
        help='"sd[school]=exponential(1)", once for each; or a set: brms, rstanarm, flat',
    )  # fmt: skip


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of whatever is drawn or simulated (0)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE|-", nargs="?", const="-", help=JSON_HELP)
    _add_force(parser)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace output files that exist")


def _add_fit(commands: Any) -> None:
    parser = _command(commands, "fit", "fit a model and print its summary")
    _add_model(parser)
    _add_estimator(parser)
    parser.add_argument("--level", metavar="P", type=float, default=0.95, help="coverage of intervals (0.95)")
    parser.add_argument("--json", metavar="FILE|-", help="write the fit as JSON; - is standard output, without summary")
    parser.add_argument("--save", metavar="FILE", help="save the fit for `multilevel predict` and ml.load")
    parser.add_argument("--report", metavar="FILE.html", help="write the report, one HTML file that needs no network")
    _add_seed(parser)
    parser.add_argument("--strict", action="store_true", help="status 4 for a singular fit or bad draws too")
    _add_force(parser)


def _add_describe(commands: Any) -> None:
    parser = _command(commands, "describe", "print the model, its sizes and advice, without fitting")
    _add_model(parser)


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", "predictions of a saved fit for new rows, as CSV")
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


def _add_pooling(commands: Any) -> None:
    parser = _command(commands, "pooling", "none, complete and partial pooling side by side")
    _add_model(parser)
    parser.add_argument("--group", metavar="G", help="grouping factor to compare by (that with the fewest levels)")
    _add_seed(parser)
    _add_json(parser)


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", "every check that applies to a fit, worst first")
    _add_source(parser)
    _add_seed(parser)
    parser.add_argument("--strict", action="store_true", help="status 4 when a check finds a problem")
    _add_json(parser)


def _add_compare(commands: Any) -> None:
    parser = _command(commands, "compare", "fit several formulas to the same data and rank them")
    _add_model(parser, formulas="+")
    _add_estimator(parser)
    parser.add_argument("--group", metavar="G", help="grouping factor whose levels are left out (that with the fewest)")
    _add_seed(parser)
    _add_json(parser)


def _add_report(commands: Any) -> None:
    parser = _command(commands, "report", "write the report of a fit as one HTML file")
    _add_source(parser)
    parser.add_argument("-o", "--output", metavar="FILE.html", required=True, help="the file to write")
    parser.add_argument("--title", metavar="TEXT", help="heading of the report")
    _add_seed(parser)
    _add_force(parser)


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", "the bundled schools example, end to end, with its report")
    parser.add_argument("--output", metavar="DIR", default="demo-output", help="directory of its files (./demo-output)")
