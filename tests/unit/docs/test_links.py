"""Every link of a Markdown page of the repository leads to a file of it, and every fragment to a heading of that page."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import markdown
import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
)
FENCE = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
CODE = re.compile(r"``.+?``|`[^`\n]+`")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
EXTENSIONS = ["attr_list", "tables", "toc", "pymdownx.superfences"]
"""Those of ``mkdocs.yml`` that make identifiers, or keep code from being read as headings."""


def links(page: str) -> list[tuple[Path, str]]:
    """The file and the fragment of each link of ``page`` that stays in the repository."""
    targets = LINK.findall(CODE.sub("", FENCE.sub("", (ROOT / page).read_text())))
    parts = (target.partition("#") for target in targets if not re.match(r"\w+:", target))
    return [((ROOT / page).parent / path if path else ROOT / page, fragment) for path, _, fragment in parts]


@cache
def identifiers(page: Path) -> frozenset[str]:
    """What a link to ``page`` may name: the identifiers of its headings and anchors in the built site."""
    return frozenset(re.findall(r'\bid="([^"]+)"', markdown.markdown(page.read_text(), extensions=EXTENSIONS)))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    assert [str(path) for path, _ in links(page) if not path.resolve().is_relative_to(ROOT) or not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_fragment_of_a_link_is_an_identifier_of_its_page(page: str) -> None:
    named = {(path.resolve(), fragment) for path, fragment in links(page) if fragment}
    assert [(str(path), fragment) for path, fragment in sorted(named) if fragment not in identifiers(path)] == []
