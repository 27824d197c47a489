"""Blocks as HTML for notebooks: plain tables, every text escaped, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .blocks import Block, Grid, Lines, bare


def to_html(blocks: Sequence[Block]) -> str:
    """One ``<div>`` with a list or a table for each block."""
    return '<div class="multilevel-summary">' + "".join(_block(block) for block in blocks) + "</div>"


def _block(block: Block) -> str:
    title = f"<p><b>{escape(block.title.rstrip(':'))}</b></p>" if block.title else ""
    return title + (_lines(block) if isinstance(block, Lines) else _table(block))


def _lines(block: Lines) -> str:
    return "<p>" + "<br>".join(escape(bare(line)) for line in block.lines if line) + "</p>"


def _table(grid: Grid) -> str:
    rows = [_row("th", grid.header, grid.labels), *(_row("td", row, grid.labels) for row in grid.rows)]
    footer = f"<p>{escape(grid.footer)}</p>" if grid.footer else ""
    return f"<table><thead>{rows[0]}</thead><tbody>{''.join(rows[1:])}</tbody></table>{footer}"


def _row(tag: str, cells: Sequence[str], labels: int) -> str:
    sides = ["left" if j < labels else "right" for j in range(len(cells))]
    inside = "".join(
        f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
    )
    return f"<tr>{inside}</tr>"
