"""The documentation as ``realtime dev`` shows it: every link of every page leads somewhere, here as in the built site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import markdown

from server.manual.markdown_page import page_of

DOCS = Path(__file__).parents[3] / "docs"
ANCHOR = re.compile(r'<h\d id="([^"]*)"')
CODE = re.compile(r"<pre.*?</pre>|<code>.*?</code>", re.DOTALL)


def test_every_link_and_image_of_every_page_leads_somewhere() -> None:
    pages = {str(path.relative_to(DOCS)): page_of(path.read_text()) for path in DOCS.rglob("*.md")}
    anchors = {name: set(re.findall(r' id="([^"]+)"', page.body)) for name, page in pages.items()}
    broken = []
    for name, page in pages.items():
        assert page.title
        for link in re.findall(r'(?:href|src)="([^"]+)"', CODE.sub("", page.body)):
            path, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if ":" in path:
                continue
            if not (DOCS / target).is_file() or (anchor and anchor not in anchors[target]):
                broken.append((name, link))
    assert len(pages) > 50
    assert broken == []


def test_what_only_mkdocs_knows_is_shown_in_other_words() -> None:
    pages = [page_of(path.read_text()) for path in DOCS.rglob("*.md")]
    assert not [page.title for page in pages if re.search(r"(?:===|!!!|:::) ", CODE.sub("", page.body))]


def test_tabs_and_admonitions_are_blocks_below_their_titles() -> None:
    body = page_of(
        '# A\n\n=== "nginx"\n\n    ```text\n    one\n\n      two\n    ```\n\n=== "Caddy"\n\n    three\n\nfour\n'
    ).body
    assert "<strong>nginx</strong>" in body
    assert ">one\n\n  two\n</code>" in body
    assert "<p>three</p>" in body
    assert "<p>four</p>" in body
    body = page_of('!!! warning "Every client"\n    can read\n    it.\n\nafter\n').body
    assert "<p><strong>Every client</strong></p>\n<p>can read\nit.</p>\n<p>after</p>" in body


def test_headings_have_the_anchors_of_mkdocs() -> None:
    text = "# T\n\n## `a`, *b* & c <small>2026</small>\n\n## Größe\n\n### Größe\n\n## x - y\n\n## x - y\n"
    page = page_of(text)
    assert ANCHOR.findall(page.body) == ANCHOR.findall(markdown.markdown(text, extensions=["toc"]))
    sections = [("a-b-c-2026", "a, b &amp; c 2026"), ("groe", "Größe"), ("x-y", "x - y"), ("x-y_1", "x - y")]
    assert page.sections == sections


def test_tables_and_code_scroll_by_themselves_and_the_keyboard_reaches_them() -> None:
    body = page_of('# T\n\n| | a |\n| --- | --- |\n| b | c |\n\n```toml title="x.toml"\nkey = 1\n```\n').body
    assert "<td></td>\n<th>a</th>" in body, "a cell without text is no heading"
    assert '<p class="file">x.toml</p>\n<pre>' in body
    assert '<div class="table-scroll" tabindex="0">' in body
    assert '<pre><code tabindex="0" class="language-toml">key = 1\n</code></pre>' in body
