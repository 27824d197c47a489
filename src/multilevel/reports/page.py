"""The document around the sections: head with its security policy, style and script, contents, footer.

Nothing is loaded from anywhere. The policy allows exactly one script and one style sheet, by their hashes: text that
reached the page as markup by mistake could still not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources

from .context import Section
from .markup import Html, join, shown, tag

GENERATOR = '<meta name="generator" content="multilevel'


def page(title: str, header: Html, summary: Html, sections: Sequence[Section], footer: Html) -> str:
    """The whole file."""
    contents = tag("nav", *(tag("a", s.heading, href=f"#{s.anchor}") for s in sections), aria_label="Contents")
    body = join(
        tag("a", "Skip to the answers", href="#answers", class_="skip"),
        tag("header", header),
        tag("main", summary, contents, *(_section(s) for s in sections)),
        tag("footer", footer),
        tag("div", id="tip", hidden=True),
    )
    style, script = _file("page.css"), _file("page.js")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR} {_version()}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(shown(title, 200))}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _section(section: Section) -> Html:
    return tag("section", tag("h2", section.heading), section.content, id=section.anchor)


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _version() -> str:
    from .. import __version__

    return escape(str(__version__))
