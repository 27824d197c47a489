"""HTML in which everything is text unless it says that it is markup.

    tag("p", "a < b & ", user(label))        children of type `str` are escaped, those of type `Html` are not
    join(a, b, c)                            the same without an element around it
    number(3.14159, error=0.2)               digits that the standard error supports, with a real minus

An f-string of markup is a plain `str` again and would be shown as text: a forgotten escape is ugly, never dangerous.
Text from the user's data goes through `user`, which also isolates its direction and cuts what is too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..fit import numbers

ERROR_DIGITS = 2  # of a standard error: what a reader can use
LONGEST = 60  # characters of a label
JOINERS = "\u200c\u200d"  # invisible, and part of ordinary words in Persian, Hindi and of composed emoji
VOID = {"meta", "br", "input"}


class Html(str):
    """Markup that is complete and safe; any other text is escaped where it is used."""

    __slots__ = ()


def shown(text: object, limit: int = LONGEST) -> str:
    """Text that can be displayed: control and direction characters written out, long text cut."""
    raw = text if isinstance(text, str) else str(text)
    cut = raw if len(raw) <= limit else raw[: limit - 1] + "…"
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode("ascii") for c in cut)


def user(text: object, limit: int = LONGEST) -> Html:
    """A name or label from the user's data, isolated from the direction of the text around it."""
    return Html(f"<bdi>{escape(shown(text, limit))}</bdi>")


def join(*parts: object) -> Html:
    """Parts one after the other; `Html` as it is, everything else escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(str(part)) for part in parts if part is not None))


def joined(parts: Iterable[object], separator: str = ", ", last: str | None = None) -> Html:
    """Parts as an enumeration: ``a, b and c``."""
    items = list(parts)
    out: list[object] = []
    for i, item in enumerate(items):
        if i:
            out.append(last if last is not None and i == len(items) - 1 else separator)
        out.append(item)
    return join(*out)


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. Attributes: ``class_`` is class, ``data_tip`` data-tip; None and False leave one out."""
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        given.append(f" {attribute}" if value is True else f' {attribute}="{escape(str(value))}"')
    opening = f"<{name}{''.join(given)}>"
    return Html(opening if name in VOID else f"{opening}{join(*children)}</{name}>")


def paragraph(*parts: object, **attributes: object) -> Html:
    return tag("p", *parts, **attributes)


def bullets(items: Iterable[object], **attributes: object) -> Html:
    """A list, or nothing without items."""
    made = [tag("li", item) for item in items]
    return tag("ul", *made, **attributes) if made else Html("")


def code(text: object, limit: int = 400) -> Html:
    """Text in the typeface of code."""
    return tag("code", user(text, limit))


def minus(text: str) -> str:
    """The text with real minus signs before digits, and no full stop lost: ``-3.1`` becomes ``−3.1``."""
    return "−" + text[1:] if text.startswith("-") else text.replace("e-", "e−")


def number(value: float, error: float = float("nan"), digits: int = 3) -> str:
    """A number to two digits of its standard error, or to `digits` significant ones without one."""
    return _measured([value], error, digits)[0]


def places(value: float, decimals: int | None, digits: int = 3) -> str:
    """A number with that many decimal places."""
    return minus(numbers.fixed(float(value), decimals, digits))


def signed(text: str) -> str:
    """A difference: with its sign, also when it is positive."""
    return text if text.startswith("−") or text.strip("0.") == "" or text == numbers.MISSING else f"+{text}"


def span(low: float, high: float, error: float = float("nan"), digits: int = 3) -> str:
    """An interval: ``60.1 to 79.2``."""
    ends = _measured([low, high], error, digits)
    return f"{ends[0]} to {ends[1]}"


def _measured(values: Sequence[float], error: float, digits: int) -> list[str]:
    known = error == error and 0.0 < error < float("inf")
    found = numbers.measured([float(v) for v in values], float(error), ERROR_DIGITS if known else digits)
    return [minus(text) for text in found]


def coverage(level: float) -> str:
    """A coverage: ``95%``."""
    return f"{100.0 * level:.4g}%"


def percent(share: float, digits: int = 3) -> str:
    """A share between 0 and 1: ``17.5%``, with as many decimals as a reader can use."""
    if share != share:
        return numbers.MISSING
    value = 100.0 * share
    return f"{value:.0f}%" if abs(value) >= 99.95 or value == 0.0 else f"{value:.{1 if value >= 0.1 else digits}f}%"


def probability(p: float) -> str:
    return numbers.probability(p).replace("<", "< ")


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, whether it holds numbers, and what a reader should know about it."""

    heading: str | Html
    numeric: bool = True
    help: str = ""


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], caption: object = None, **attributes: object
) -> Html:
    """A table that scrolls in its own box when it is wider than the page."""
    body = [row(columns, cells) for cells in rows]
    inside = [tag("caption", caption)] if caption is not None else []
    inside += [tag("thead", tag("tr", *(_heading(c) for c in columns))), tag("tbody", *body)]
    return box(tag("table", *inside, **attributes))


def box(inside: Html, class_: str = "box") -> Html:
    """A part that scrolls by itself, also with the keyboard."""
    return tag("div", inside, class_=class_, tabindex="0", role="region", aria_label="table")


def _heading(column: Column) -> Html:
    return tag("th", column.heading, scope="col", class_="n" if column.numeric else None, title=column.help or None)


def row(columns: Sequence[Column], cells: Sequence[object], **attributes: object) -> Html:
    """One row; the first text cell is its heading."""
    made = []
    for i, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        kind = "n" if column.numeric else None
        made.append(tag("th", cell, scope="row", class_=kind) if i == 0 else tag("td", cell, class_=kind))
    return tag("tr", *made, **attributes)


def facts(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names and values side by side."""
    made = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]
    return tag("dl", *made, class_="facts")


def folded(title: object, *content: object, open_: bool = False) -> Html:
    """Content behind a line that opens it."""
    return tag("details", tag("summary", title), *content, open=open_)


def island(value: object) -> Html:
    """Data for the page's own script."""
    return Html(f'<script type="application/json">{embedded(value)}</script>')


def embedded(value: object) -> str:
    """JSON that cannot end the element it stands in, nor a line of a script."""
    import json

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
