"""One R process that keeps its data and answers fits; columns reach it as raw binary files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from workloads import Workload

from .base import Engine, Outcome

_SCRIPT = Path(__file__).with_name("r_worker.R")
_MARK = "@@"


class RSession:
    """A persistent Rscript worker, spoken to in lines of tab-separated fields."""

    def __init__(self) -> None:
        command = ["Rscript", "--vanilla", str(_SCRIPT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *fields: str) -> list[str]:
        """Send one request and return the fields of its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(fields) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # whatever R prints besides is skipped
            if line.startswith(_MARK):
                kind, *answer = line.rstrip("\n").split("\t")
                if kind == _MARK:
                    return answer
                raise RuntimeError("R: " + " ".join(answer))
        raise RuntimeError("R ended")


def write_columns(frame: pd.DataFrame, folder: Path) -> None:
    """Each column as doubles, or as 1-based 32-bit codes with its levels, and a list of them."""
    kinds = []
    for name in frame:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            (column.cat.codes.to_numpy().astype(np.int32) + 1).tofile(folder / f"{name}.bin")
            (folder / f"{name}.levels").write_text("\n".join(map(str, column.cat.categories)) + "\n")
            kinds.append(f"{name}\tfactor")
        else:
            column.to_numpy(float).tofile(folder / f"{name}.bin")
            kinds.append(f"{name}\tnumber")
    (folder / "columns.tsv").write_text("\n".join(kinds) + "\n")


class REngine(Engine):
    """An R package; times are taken inside R."""

    @cached_property
    def session(self) -> RSession:
        return RSession()

    def available(self) -> str | None:
        if shutil.which("Rscript") is None:
            return None
        return self.session.ask("version", self.package)[0] or None

    def facts(self) -> dict[str, str]:
        r, blas = self.session.ask("facts")
        return {"R": r, "R's BLAS": blas}

    def process(self) -> int | None:
        return self.session.process.pid

    def prepare(self, workload: Workload) -> Workload:
        with tempfile.TemporaryDirectory() as folder:
            write_columns(workload.frame, Path(folder))
            self.session.ask("load", folder, str(len(workload.frame)))
        return workload

    def fit(self, prepared: Workload) -> Outcome:
        criterion = prepared.criterion
        seconds, deviance, sds = self.session.ask("fit", self.package, criterion, prepared.formula)
        return Outcome(float(seconds), float(deviance), tuple(map(float, sds.split(","))))
