"""HTML of a page of the documentation, which is Markdown as MkDocs takes it (``mkdocs.yml``): CommonMark with tables,
tabs (``=== "Title"``) and admonitions (``!!! note "Title"``), which are shown as headed blocks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["ManualPage", "page_of"]

_BLOCK: Final = re.compile(r'^(?:===|!!! \w+) "(?P<title>[^"]+)"\n(?P<body>(?:\n|    [^\n]*\n)+)', re.MULTILINE)
_GENERATED: Final = re.compile(r"^::: (?P<module>[\w.]+)\n(?:    [^\n]*\n?)*", re.MULTILINE)
_IN_PYDOC: Final = (
    r"This page is made from docstrings: `make docs` builds it, and `python -m pydoc \g<module>` shows them.\n"
)
_TITLE: Final = re.compile(r'(?P<language>\w*) title="(?P<title>[^"]*)"')


@dataclass(frozen=True)
class ManualPage:
    """``title`` is plain text, ``body`` HTML; ``sections``: anchor and HTML-escaped title of each section."""

    title: str
    body: str
    sections: Sequence[tuple[str, str]]


def page_of(markdown: str) -> ManualPage:
    """The page that ``markdown`` describes, one of this project: HTML in it is HTML. Headings have the anchors that MkDocs
    gives them, so links between pages hold in both.
    """
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(_plain(markdown))
    title, sections, taken = "", [], set[str]()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            text = _text(inline)
            token.attrSet("id", anchor := _unique(_slug(text), taken))
            if token.tag == "h1":
                title = title or text
            elif token.tag == "h2":
                sections.append((anchor, escape(text)))
    return ManualPage(title, parser.renderer.render(_scrolling(tokens), parser.options, {}), sections)


def _plain(markdown: str) -> str:
    """With what CommonMark does not know in other words: tabs and admonitions one after the other, below their titles."""
    markdown = _GENERATED.sub(_IN_PYDOC, markdown)
    return _BLOCK.sub(lambda found: f"**{found['title']}**\n{_dedented(found['body'])}", markdown)


def _dedented(body: str) -> str:
    body = re.sub(r"^    ", "", body, flags=re.MULTILINE)
    return body if body.startswith("\n") else f"\n{body}"


def _scrolling(tokens: Sequence[Token]) -> list[Token]:
    """With a box around each table, which scrolls by itself, and which the keyboard reaches; code does so, too. A cell
    without text is no heading, and the title of a file stands above its text.
    """
    boxed: list[Token] = []
    for number, token in enumerate(tokens):
        if token.type == "table_open":
            boxed.append(Token("box_open", "div", 1, attrs={"class": "table-scroll", "tabindex": "0"}))
        elif token.type == "th_open" and not tokens[number + 1].content:
            token.tag = tokens[number + 2].tag = "td"
        elif token.type == "fence":
            token.attrSet("tabindex", "0")
            if titled := _TITLE.fullmatch(token.info):
                token.info = titled["language"]
                title = Token("html_block", "", 0, content=f'<p class="file">{escape(titled["title"])}</p>\n')
                boxed.append(title)
        boxed.append(token)
        if token.type == "table_close":
            boxed.append(Token("box_close", "div", -1))
    return boxed


def _text(inline: Token) -> str:
    return "".join(each.content for each in inline.children or () if each.type != "html_inline")


def _slug(text: str) -> str:
    """As the extension ``toc`` of Python-Markdown makes it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _unique(slug: str, taken: set[str]) -> str:
    """``slug`` with ``_1``, ``_2``, … if another heading of the page has it."""
    found, number = slug, 0
    while found in taken:
        number += 1
        found = f"{slug}_{number}"
    taken.add(found)
    return found
