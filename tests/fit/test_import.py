"""Importing the package costs nothing, and its names are what they say."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

import multilevel as ml

HEAVY = ("numba", "pandas", "scipy", "matplotlib", "pyarrow", "duckdb", "numpy")
FORBIDDEN = {"pickle", "cPickle", "cloudpickle", "joblib", "dill", "marshal", "shelve", "yaml"}
SOURCE = pathlib.Path(ml.__file__).parent


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light():
    code = f"import sys, multilevel; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_import_is_fast():
    code = "import time; t = time.perf_counter(); import multilevel; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.05


def test_every_public_name_exists():
    for name in ml.__all__:
        assert getattr(ml, name) is not None
    assert set(ml.__all__) <= set(dir(ml))
    assert ml.__all__ == sorted(ml.__all__)
    assert ml.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute"):
        ml.nothing  # noqa: B018


def test_the_function_fit_is_not_hidden_by_the_folder():
    code = "from multilevel.fit.fit import Fit; import multilevel as ml; print(ml.fit.__name__, ml.Fit is Fit)"
    assert run(code) == "fit True"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_nothing_can_run_code_from_data(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            workers = {"joblib"} if path.name == "bootstrap.py" else set()  # hands arrays to its own processes
            assert not (FORBIDDEN - workers) & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "__import__"}
