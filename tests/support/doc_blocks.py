"""The fenced blocks of the documentation's pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PAGES", "Block", "blocks"]

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for folder in ("*.md", "docs/**/*.md", "sdk/*/*.md", "examples/**/*.md", "deploy/**/*.md")
    for page in sorted(ROOT.glob(folder))
    if "node_modules" not in page.parts
]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str = "", title: str = "", *, page: str = "") -> list[Block]:
    """Those of a language (of any if it is empty) whose title begins with ``title``; of one ``page``, if it is given."""
    pages = [ROOT / page] if page else PAGES
    found = (block for each in pages for block in _blocks_of(each))
    return [block for block in found if language in ("", block.language) and block.title.startswith(title)]


@cache
def _blocks_of(page: Path) -> list[Block]:
    text, found = page.read_text(), []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        within = re.sub(f"(?m)^{match['indent']}", "", match["text"])
        found.append(Block(str(page.relative_to(ROOT)), line, match["language"], match["title"] or "", within))
    return found
