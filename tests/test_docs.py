"""The documentation runs, links to what exists, and lists every code that the package can raise.

A ``python`` block is executed, and its output compared with the ``text`` block that follows it. In a ``console``
block every line after ``$ `` is a command of `multilevel` and is run. Times and iteration counts are ignored,
``...`` stands for anything. ``python tests/test_docs.py FILE …`` writes the outputs of today into the files.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
TEXTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")})
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
CHANGING = (
    (re.compile(r"; [\d.]+ (µs|ms|s|min)\b"), "; TIME"),
    (re.compile(r"in \d+ iterations"), "in N iterations"),
    (re.compile(r"scaled gradient [\d.e+-]+"), "scaled gradient G"),
)


def settled(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def agrees(wanted: str, found: str) -> bool:
    return doctest.OutputChecker().check_output(settled(wanted), settled(found), doctest.ELLIPSIS)


def python_output(code: str, names: dict) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<page>", "exec"), names)
    return out.getvalue()


def console_output(block: str) -> str:
    """The block with the output of each command under it."""
    from multilevel.cli import main

    out = []
    for line in block.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:])
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                assert program == "multilevel"
                main(arguments)
            out += [line, *stream.getvalue().rstrip().splitlines()]
    return "\n".join(out)


def renewed(page: str) -> str:
    """The page with the outputs of today."""
    names: dict = {}
    printed = ""

    def replace(match: re.Match[str]) -> str:
        nonlocal printed
        kind, body = match.groups()
        if kind == "python":
            printed = python_output(body, names)
        elif kind == "text":
            body = body if agrees(body, printed) else printed.rstrip() + "\n"
        elif kind == "console":
            found = console_output(body)
            body = body if agrees(body, found) else found + "\n"
        return f"```{kind}\n{body}```"

    return FENCE.sub(replace, page)


@pytest.fixture
def pupils(tmp_path, monkeypatch):
    """A directory with the table of the examples."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MULTILEVEL_QUIET", "1")


def prepare(directory: Path) -> None:
    bundled = resources.files("multilevel.data") / "bundled"
    for source, name in (("classes", "pupils"), ("schools", "schools")):
        shutil.copy(str(bundled / f"{source}.csv"), directory / f"{name}.csv")
    (directory / "new.csv").write_text("ses,funding,school,classroom\n0.0,1.0,a new one,its class\n")


@pytest.mark.usefixtures("pupils")
@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_run(page):
    names: dict = {}
    printed = None
    for kind, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            printed = python_output(body, names)
        elif kind == "text" and printed is not None:
            assert agrees(body, printed), f"{page.name} shows\n{body}\nand it is\n{printed}"
            printed = None
        elif kind == "console":
            found = console_output(body)
            assert agrees(body, found), f"{page.name} shows\n{body}\nand it is\n{found}"


@pytest.mark.usefixtures("pupils")
@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/*.py")), ids=lambda p: p.name)
def test_examples_run(script):
    assert python_output(script.read_text(encoding="utf-8"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


# --- codes -------------------------------------------------------------------------------------------------------
def codes_in_source() -> set[str]:
    """Every string of the package that is a code."""
    found = set()
    for file in (ROOT / "src/multilevel").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        found.update(text for text in texts if re.fullmatch(r"[EWN]_[A-Z_]+", text))
    return found


def documented() -> dict[str, str]:
    """Code → class of the tables in docs/errors.md."""
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([EWN]_[A-Z_]+)` \| ([^|]*?) \|", text, re.M))


def test_every_code_is_documented_and_no_other():
    assert set(documented()) == codes_in_source()


def test_documented_classes_exist():
    from multilevel import cli, errors

    for code, kind in documented().items():
        for name in re.findall(r"`(\w+)`", kind):
            assert hasattr(errors, name) or hasattr(cli, name) or name == "Note", f"{code}: {name}"


def test_estimators_are_documented():
    from multilevel.registry import members

    for page in ("README.md", "docs/estimators.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert [n for n in members("estimators") if f"`{n}`" not in text] == []


if __name__ == "__main__":
    import tempfile

    os.environ["MULTILEVEL_QUIET"] = "1"
    for name in sys.argv[1:]:
        page = Path(name).resolve()
        with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
            prepare(Path(directory))
            page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
