"""``llms.txt`` of the built site: every page of the navigation, with its title and its first sentence."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("llms", ROOT / ".ci" / "llms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def navigation() -> Any:
    text = (ROOT / "mkdocs.yml").read_text()
    return yaml.safe_load(text)["nav"]


def pages_of(entries: Any) -> list[tuple[str, str]]:
    """Title and file of each page of the navigation."""
    found: list[tuple[str, str]] = []
    for entry in entries:
        [(title, target)] = entry.items()
        found += [(title, target)] if isinstance(target, str) else pages_of(target)
    return found


def test_every_page_is_listed_with_its_title_and_what_it_begins_with(hook: ModuleType, tmp_path: Path) -> None:
    pages = pages_of(navigation())
    for _, path in pages:
        page = SimpleNamespace(url=path.removesuffix(".md") + ".html")
        hook.on_page_markdown((ROOT / "docs" / path).read_text(), page=page, config=None, files=None)
    config = SimpleNamespace(site_name="Name", site_description="What", nav=navigation(), site_dir=str(tmp_path))
    hook.on_post_build(config)
    text = (tmp_path / "llms.txt").read_text()
    assert text.startswith("# Name\n\n> What\n\n- [Home](index.html): ")
    listed = re.findall(r"^- \[(.+)\]\((.+?)\.html\)(: .+)?$", text, re.M)
    assert [(title, f"{url}.md") for title, url, _ in listed] == pages
    assert [url for _, url, about in listed if not about] == []
    assert text.count("](") == len(pages)


def test_every_page_is_in_the_navigation() -> None:
    files = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert files == {path for _, path in pages_of(navigation())}


@pytest.mark.parametrize(
    ("markdown", "sentence"),
    [
        ("# A\n\nOne [link](b.md) here. And two.\n", "One link here."),
        ("# A\n\n`b` is\nc, and 1.5 of it\n", "`b` is c, and 1.5 of it"),
        ("# A\n\n```sh\nb\n```\n", ""),
        ("# A\n\n## B\n\nC.\n", ""),
    ],
)
def test_the_first_sentence_of_a_page(hook: ModuleType, markdown: str, sentence: str) -> None:
    assert hook.first_sentence(markdown) == sentence
