"""Commands that say what a fit means: pooling, checks, comparison, the report, and the example with all of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from .fits import estimator_settings, fit_of, model_of, table_of, write_report
from .status import DONE, RefusedError, UsageError
from .streams import check_outputs, write_json


def pooling(options: argparse.Namespace) -> int:
    """Estimates of every level without, with complete and with partial pooling, and their scores."""
    _check_json(options)
    from ..checks.pooling import pooling

    return _answer(pooling(model_of(options, table_of(options)), group=options.group, seed=options.seed), options)


def check(options: argparse.Namespace) -> int:
    """What speaks against a fit."""
    _check_json(options)
    from ..checks.check import check

    fit, table = fit_of(options)
    found = check(fit, options.seed, data=table)
    _answer(found, options)
    problems = [finding.title for finding in found if finding.severity == "problem"]
    if options.strict and problems:
        raise RefusedError(f"refused under --strict: {problems[0]}")
    return DONE


def compare(options: argparse.Namespace) -> int:
    """Several models of one table, ranked."""
    if len(options.formula) < 2:
        raise UsageError("compare needs two formulas or more", hint='multilevel compare DATA "y ~ x" "y ~ x + (1 | g)"')
    _check_json(options)
    from ..checks.subsets import on_common_rows
    from ..inference.compare import compare

    table = table_of(options)
    models = on_common_rows([model_of(options, table, formula) for formula in options.formula])
    settings = estimator_settings(options)
    fits = [model.fit(options.estimator, **settings) for model in models]
    return _answer(compare(*fits, group=options.group, seed=options.seed), options)


def report(options: argparse.Namespace) -> int:
    """The HTML report of a saved fit, or of data and formula."""
    check_outputs([options.output], options.data, options.force)
    fit, table = fit_of(options)
    write_report(fit, options.output, options, table)
    return DONE


def demo(options: argparse.Namespace) -> int:
    """The bundled example."""
    from ..demo import run

    lines = run(options.output)
    if not options.quiet:
        print("\n".join(lines))
    return DONE


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "pooling": pooling,
    "check": check,
    "compare": compare,
    "report": report,
    "demo": demo,
}


def _check_json(options: argparse.Namespace) -> None:
    check_outputs([options.json if options.json != "-" else None], options.data, options.force)


def _answer(found: Any, options: argparse.Namespace) -> int:
    """Print an answer, or write it as JSON."""
    if options.json:
        write_json(found.to_dict(), options)
    if not options.quiet and options.json != "-":
        print(found.summary())
    return DONE
