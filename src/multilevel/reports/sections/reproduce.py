"""How to get the same numbers again: the call, versions, seed, and a fingerprint of the data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from ..context import Context
from ..markup import Html, facts, join, paragraph, shown, tag

if TYPE_CHECKING:
    from ...fit.fit import Fit
    from ...formula.design import Design

HEADING = "How to reproduce it"
LIBRARIES = ("numpy", "scipy", "numba", "pandas")


def build(context: Context) -> Html:
    """Everything that the numbers depend on."""
    words = (
        "The fingerprint covers response, predictors, group labels, weights and offset of the rows used, in their "
        "order: another table with the same fingerprint gives the same fit."
    )
    return join(
        tag("pre", tag("bdi", call(context)), class_="code"),
        facts(
            [
                ("data, SHA-256", tag("code", fingerprint(context.fit.model.design), class_="hash")),
                ("versions", _versions()),
                ("seed", str(context.seed)),
                ("written", _date()),
            ]
        ),
        paragraph(words, class_="note"),
    )


def call(context: Context) -> str:
    """The lines of Python that make this report."""
    fit, model = context.fit, context.fit.model
    columns = ", ".join(shown(name) for name in model.design.variables)
    given = [_quoted(" ".join((model.formula.text or str(model.formula)).split())), "data"]
    given += [f"family={_quoted(model.family)}"] if model.family != "gaussian" else []
    given += [f"link={_quoted(model.link)}"] if model.link != model.distribution.family.links[0] else []
    given += _columns(model.design)
    given += ['rank="raise"'] if model.rank != "drop" else []
    given += ['separation="raise"'] if model.separation != "warn" else []
    title = [] if context.title is None else [f"title={_quoted(context.title)}"]
    report = [f"fit, {_quoted(context.path)}", *title, f"seed={context.seed}"]
    report += ["data=data"] if context.data is not None else []
    return "\n".join(
        [
            "import multilevel as ml",
            "",
            f"data = …   # a table of {model.design.n_rows_given:,} rows with the columns {columns}",
            f"model = ml.Model({', '.join(given)})",
            f"fit = model.fit({', '.join([_quoted(fit.estimator.name), *_settings(fit)])})",
            f"ml.report({', '.join(report)})",
        ]
    )


def _quoted(text: str) -> str:
    """Text as a Python literal, on one line, without characters that cannot be displayed."""
    return json.dumps(shown(text, 2000), ensure_ascii=False)


def _columns(design: Design) -> list[str]:
    """Weights and offset, by their column or as an array."""
    memory, out = design.memory, []
    if memory.weights is not None:
        out.append(f"weights={_quoted(memory.weights)}")
    elif design.weights is not None and design.weights_kind == "precision":
        out.append("weights=…")
    if memory.offset is not None:
        out.append(f"offset={_quoted(memory.offset)}")
    elif memory.offset_array:
        out.append("offset=…")
    return out


def _settings(fit: Fit) -> list[str]:
    """Settings of the estimator that differ from their defaults."""
    out = []
    for field in fields(fit.estimator):  # type: ignore[arg-type]  # estimators are frozen records
        value = vars(fit.estimator)[field.name]
        if isinstance(value, str | int | float | bool) and value != field.default:
            out.append(f"{field.name}={shown(repr(value), 200)}")
    return out


# --- fingerprint -------------------------------------------------------------------------------------------------
def fingerprint(design: Design) -> str:
    """SHA-256 of the columns that the fit used: names, then values as little-endian doubles, codes as 32-bit integers.

    The same for the model and for the fit saved and loaded; different when a value, a label or the order changes.
    """
    digest = hashlib.sha256()
    for name, content in _parts(design):
        digest.update(json.dumps([name, len(content)]).encode("ascii"))
        digest.update(content)
    return digest.hexdigest()


def _parts(design: Design) -> Iterator[tuple[str, bytes]]:
    yield design.response_name, _doubles(design.response)
    for name, column in zip(design.fixed_names, design.fixed_columns, strict=True):
        yield name, b"" if column is None else _doubles(column)
    for group in design.groups:
        yield group.label, np.asarray(group.codes, dtype="<i4").tobytes()
        yield "levels", json.dumps(list(group.levels)).encode("ascii")
        for name, column in zip(group.names, group.columns, strict=True):
            yield name, b"" if column is None else _doubles(column)
    trials = None if design.observations is None else design.observations.trials
    given = (("trials", trials), ("weights", design.weights), ("offset", design.offset), ("se", design.known_se))
    for name, values in given:
        if values is not None:
            yield name, _doubles(values)


def _doubles(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


# --- circumstances -----------------------------------------------------------------------------------------------
def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    from ... import __version__

    found = [f"multilevel {__version__}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _date() -> str:
    """Now, or the moment that reproducible builds set (SOURCE_DATE_EPOCH)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
