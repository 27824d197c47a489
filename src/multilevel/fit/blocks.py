"""Blocks of a printed result and their rendering as text and Markdown (`html.py` renders HTML).

A block is a titled list of lines or a titled grid of cells. Cells hold text that is already safe for a terminal
(`errors.printable`); each renderer escapes what its own format gives a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """A title, perhaps empty, and lines under it."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A title, headings and rows of cells; the first `labels` columns are text, the others numbers.

    `footer` is a line under the grid.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    footer: str = ""


Block = Lines | Grid


def to_text(blocks: Sequence[Block]) -> str:
    """Plain text for a terminal."""
    return "\n\n".join("\n".join(_text(block)) for block in blocks)


def _text(block: Block) -> list[str]:
    title = [block.title] if block.title else []
    return title + (list(block.lines) if isinstance(block, Lines) else _grid_text(block))


def _grid_text(grid: Grid) -> list[str]:
    columns = [list(column) for column in zip(grid.header, *grid.rows, strict=True)]
    cells = [
        _left(column) if j < grid.labels else _right([column[0], *aligned(column[1:])])
        for j, column in enumerate(columns)
    ]
    lines = [("  ".join(row)).rstrip() for row in zip(*cells, strict=True)]
    return [f" {line}" for line in lines] + ([f" {grid.footer}"] if grid.footer else [])


def aligned(numbers: Sequence[str]) -> list[str]:
    """Numbers padded on the right so that their decimal points stand below each other."""
    longest = max(map(_tail, numbers), default=0)
    return [text + " " * (longest - _tail(text)) if _is_number(text) else text for text in numbers]


def _is_number(text: str) -> bool:
    return text[-1:].isdigit()


def _tail(text: str) -> int:
    """Characters from the decimal point on; 0 for text."""
    return len(text) - text.index(".") if _is_number(text) and "." in text else 0


def _left(cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) for cell in cells]


def _right(cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def to_markdown(blocks: Sequence[Block]) -> str:
    """Markdown: headings, lists and pipe tables."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    title = f"**{_escaped(block.title.rstrip(':'))}**\n\n" if block.title else ""
    if isinstance(block, Lines):
        return title + "\n".join(f"- {_escaped(bare(line))}" for line in block.lines if line)
    rule = [":---" if j < block.labels else "---:" for j in range(len(block.header))]
    rows = [[_escaped(cell) for cell in row] for row in (block.header, *block.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]
    return title + "\n".join(lines) + (f"\n\n{_escaped(block.footer)}" if block.footer else "")


def bare(line: str) -> str:
    """A line without indentation and bullet."""
    return line.strip().removeprefix("- ")


def _escaped(text: str) -> str:
    """Characters with a meaning in Markdown or in the HTML it may hold."""
    for character in "\\`*_[]|":
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
