"""A hook of MkDocs: ``llms.txt`` in the built site lists every page with its first sentence (https://llmstxt.org)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FIRST_PARAGRAPH = re.compile(r"^# [^\n]+\n+(?P<text>(?!```)[^#\n|!<=*:\-][^\n]*(?:\n[^\n]+)*)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")

_first_sentences: dict[str, str] = {}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> None:
    """Note the first sentence of a page, without its links."""
    _first_sentences[page.url] = first_sentence(markdown)


def on_post_build(config: Any, **_: Any) -> None:
    """Write the list into the site."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", *_section(config.nav, config)]
    Path(config.site_dir, "llms.txt").write_text("\n".join(lines) + "\n")


def first_sentence(markdown: str) -> str:
    """That of the first paragraph below the title; empty if something else comes first."""
    found = _FIRST_PARAGRAPH.search(markdown)
    if found is None:
        return ""
    text = _LINK.sub(r"\1", " ".join(found["text"].split()))
    return re.split(r"(?<=[.!?:]) (?=[A-Z`])", text)[0].rstrip(":")


def _section(nav: list[Any], config: Any) -> list[str]:
    """Pages as items, and below them sections, each with a heading of its own."""
    pages, sections = [""], []
    for entry in nav:
        [(title, target)] = entry.items()
        if isinstance(target, str):
            url = target.removesuffix(".md") + ".html"
            about = _first_sentences[url]
            pages.append(f"- [{title}]({url})" + (f": {about}" if about else ""))
        else:
            sections += ["", f"## {title}", *_section(target, config)]
    return [*pages, *sections]
