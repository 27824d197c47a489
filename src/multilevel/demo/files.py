"""The demo's files: its four plots, the saved fit, the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputPathError, printable

if TYPE_CHECKING:
    from ..fit.fit import Fit

PLOTS = {
    "caterpillar": "the schools side by side, with intervals",
    "shrinkage": "each school's own mean, and where pooling moves it",
    "variance_shares": "how much is between schools, and how much within",
    "new_group": "what a school that was not in the data will look like",
}


def make_directory(output: str | Path) -> Path:
    """The directory, made when missing.

    Raises
    ------
    OutputPathError
        When it cannot be made.
    """
    directory = Path(output)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputPathError(f'cannot make the output path "{printable(directory, 120)}": {reason}') from error
    return directory


def write(fit: Fit, data: Any, directory: Path) -> list[str]:
    """Write everything, the report last; returns a line for each file."""
    from ..fit.output import write_whole
    from ..registry import member
    from ..reports.report import report

    said = {}
    for name, words in PLOTS.items():
        write_whole(directory / f"{name}.png", _png(member("plots", name)(fit)), overwrite=True)
        said[f"{name}.png"] = words
    fit.save(directory / "schools.fit", overwrite=True)
    said["schools.fit"] = "ml.load reads it, and multilevel predict, check and report"
    report(fit, directory / "report.html", title="Thirty schools, fifty students each", overwrite=True, data=data)
    said["report.html"] = "all of this to read: open it in a browser"
    width = max(len(str(directory / name)) for name in said)
    return [f"{directory / name!s:<{width}}   {words}" for name, words in said.items()]


def _png(figure: Any) -> bytes:
    from io import BytesIO

    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()
