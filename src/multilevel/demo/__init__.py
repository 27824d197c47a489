"""The bundled schools example, end to end: ``multilevel demo``.

1500 simulated students in 30 schools, whose true means are known: the mini-project of a textbook. Its script is
replayed (`textbook.py`), each of its numbers is set beside the correct one (`answers.py`), and its plots, the saved
fit and the report are written (`files.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DATA = "schools"
FORMULA = "score ~ 1 + (1 | school)"


def run(output: str | Path) -> list[str]:
    """Fit, compare, predict, write files; returns the lines to print.

    Parameters
    ----------
    output : str or path
        Directory for the plots, ``schools.fit`` and ``report.html``; made when missing, and files of these names in it
        are replaced.

    Raises
    ------
    OutputPathError
        When the directory cannot be made.
    """
    from ..checks.pooling import pooling
    from ..data import examples
    from ..model.model import Model
    from . import answers, files
    from .textbook import replay

    directory = files.make_directory(output)
    data = examples.load(DATA)
    model = Model(FORMULA, data)
    fit, alone, everyone = model.fit(), model.fit("none"), model.fit("complete")
    script = replay(model.design.response.reshape(30, 50))  # the rows are sorted by school
    truth = examples.truth(DATA)["school_means"]
    sections: dict[str, Iterable[str]] = {
        "Thirty schools, fifty students each": INTRODUCTION,
        "The model, fitted by REML": str(fit.summary()).splitlines(),
        "Estimates, and what the textbook's script computes by hand": answers.estimates(fit, script),
        f"The first {answers.SHOWN} schools": answers.schools(fit, alone, everyone, script, truth),
        "How much each school is shrunk": answers.shrinkage(fit, script),
        "Where the variance is": answers.variance(fit, script),
        "Which pooling predicts best": answers.scores(pooling(model)),
        "A school that was not in the data": answers.new_school(fit, script),
        "Files": files.write(fit, data, directory),
    }
    return [line for heading, lines in sections.items() for line in _section(heading, lines)][:-1]


INTRODUCTION = (
    "1500 simulated scores: school means from N(70, 5), students from N(school mean, 10).",
    "Which schools are better, and by how much? Here the truth is known, so the answers can be marked.",
)


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    return [heading, "─" * len(heading), *lines, ""]
