"""The report of a fit, one self-contained HTML file: ``ml.report(fit, "report.html")``.

Its first box answers three questions: which groups differ, how sure are we, what will a new group look like. Then come
question and equation, data, estimation, estimates, variance, pooling, prediction, checks, advice, and how to
reproduce it. See docs/report.md.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputExistsError, printable
from .context import Context, Section, guarded
from .markup import Html, join, paragraph, shown, tag
from .page import GENERATOR, page
from .sections import ORDER

if TYPE_CHECKING:
    from ..fit.fit import Fit

HEAD = 2000  # characters of a file in which an earlier report is recognised


def report(
    fit: Fit, path: Any, title: str | None = None, seed: int = 0, overwrite: bool = False, data: Any = None
) -> Path:
    """Write everything that a fit says into one HTML file that needs no network.

    Parameters
    ----------
    fit : Fit
        A fit of any estimator.
    path : str or path
        The file; it appears whole or not at all. An earlier report there is replaced.
    title : str, optional
        Heading of the page; the formula's response and groups otherwise.
    seed : int
        For the checks that simulate: the same seed writes the same numbers.
    overwrite : bool
        Replace a file that is not a report, too.
    data : table, optional
        The table of the model: with it the checks look at columns that the formula does not mention, such as a level
        of grouping that was left out.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    OutputExistsError
        If another kind of file is there.
    OutputPathError
        If no file can be written there.

    Notes
    -----
    The page is read on screens of any width, in light and dark, and on paper; its tables sort and search without any
    library. What comes from the data (labels, names, the formula) is escaped, and a content-security policy
    allows no request and no script but its own. A service that fails costs its own part of the page, which then says
    so, never the report.

    Examples
    --------
    >>> import multilevel as ml, tempfile, pathlib
    >>> from multilevel.reports.report import report
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     report(fit, pathlib.Path(directory) / "schools.html").name
    'schools.html'
    """
    from ..fit.output import check_output, write_whole

    target = Path(path)
    replace = overwrite or is_report(target)
    if not replace and target.is_file():
        hint = "Name another file, or use overwrite=True (--force on the command line)."
        raise OutputExistsError(f'the file "{printable(target, 120)}" exists and is no earlier report', hint=hint)
    check_output(target, replace)
    write_whole(target, document(fit, title, seed, target.name, data).encode("utf-8"), replace)
    return target


def document(fit: Fit, title: str | None = None, seed: int = 0, name: str = "report.html", data: Any = None) -> str:
    """The report as text."""
    with _quietly():
        context = Context(fit, seed, title, name, data)
        summary = guarded(_part("summary"), context, "The summary")
        sections = [Section(name, _module(name).HEADING, _content(name, context)) for name in ORDER]
        return page(_title(context), _header(context), summary, sections, _footer())


def is_report(path: Path) -> bool:
    """Whether a file is a report of this package."""
    try:
        with path.open(encoding="utf-8") as file:
            return GENERATOR in file.read(HEAD)
    except (OSError, ValueError):  # missing, a directory, not text
        return False


@contextmanager
def _quietly() -> Iterator[None]:
    """What services warn about is told on the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _module(name: str) -> Any:
    return importlib.import_module(f"{__package__}.sections.{name}")


def _part(name: str) -> Any:
    return _module(name).build


def _content(name: str, context: Context) -> Html:
    return guarded(_part(name), context, "This section")


def _title(context: Context) -> str:
    if context.title is not None:
        return shown(context.title, 200)
    groups = " and ".join(shown(g, 40) for g in context.groups[:3])
    response = shown(context.fit.model.design.response_name, 60)
    return f"{response} by {groups}" if groups else response


def _header(context: Context) -> Html:
    from ..model.describe import formula_text

    model = context.fit.model
    groups = "".join(f" · {levels:,} levels of {shown(label, 40)}" for label, levels in model.groups.items())
    return join(
        paragraph("Multilevel model report", class_="kicker"),
        tag("h1", tag("bdi", _title(context))),
        tag("p", tag("code", tag("bdi", formula_text(model))), class_="formula"),
        paragraph(f"{model.n_obs:,} rows{groups}", class_="sub"),
    )


def _footer() -> Html:
    from .. import __version__

    return paragraph(f"Written by multilevel {__version__}. This file is complete: it loads nothing.")
