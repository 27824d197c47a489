"""Reading reports: a strict parser of the HTML that the package writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "input"}


@dataclass
class Node:
    """An element: its tag, attributes, and what is inside."""

    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str | None = None, class_: str | None = None) -> list[Node]:
        """Every element below, in order."""
        found = []
        for child in self.children:
            kinds = child.attributes.get("class", "").split()
            if (tag is None or child.tag == tag) and (class_ is None or class_ in kinds):
                found.append(child)
            found += child.all(tag, class_)
        return found

    def id(self, name: str) -> Node:
        return next(node for node in self.all() if node.attributes.get("id") == name)


class _Strict(HTMLParser):
    """Every element that opens is closed, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        node = self.open.pop()
        assert node.tag == tag, f"</{tag}> closes <{node.tag}>"

    def handle_data(self, data):
        for node in self.open:
            node.words.append(data)


def parse(text: str) -> Node:
    """The tree of a page; an assertion fails when its tags do not match."""
    parser = _Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], f"left open: {[n.tag for n in parser.open[1:]]}"
    return parser.root
