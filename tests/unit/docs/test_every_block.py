"""Every fenced block of every page is run or checked by a test, in its own language.

A block of a new language, or code on another page, needs a row here: the test that has it, which takes it from the page by
:mod:`tests.support.doc_blocks`. ``UNCHECKED`` is the list of exceptions.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.doc_blocks import PAGES, Block, blocks
from tests.support.doc_programs import PROGRAMS, blocks_of

ROOT = Path(__file__).parents[3]
HERE = "tests/integration/docs"
OF_LANGUAGES = {
    "caddy": f"{HERE}/test_configurations.py",
    "dockerfile": f"{HERE}/test_configurations.py",
    "http": f"{HERE}/test_configurations.py",
    "ini": "tests/integration/proxies/test_documented.py",
    "json": f"{HERE}/test_docs.py",  # and, if it is no message, test_documents.py
    "nginx": "tests/integration/proxies/test_documented.py",
    "postgresql": f"{HERE}/test_sql_of_people.py",
    "sh": f"{HERE}/test_shell.py",  # and test_commands.py
    "sql": f"{HERE}/test_docs.py",
    "toml": "tests/unit/docs/test_settings_of_pages.py",
    "yaml": f"{HERE}/test_configurations.py",
}
"""Languages of which a test has all blocks of all pages."""
OF_PAGES = {
    ("css", "docs/guides/chat-tutorial.md"): "tests/browser/test_chat_tutorial.py",
    ("html", "docs/frameworks/django.md"): "tests/browser/docs/test_back_ends.py",
    ("html", "docs/frameworks/fastapi.md"): "tests/browser/docs/test_back_ends.py",
    ("html", "docs/frameworks/flask.md"): "tests/browser/docs/test_back_ends.py",
    ("html", "docs/guides/frameworks.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("html", "docs/guides/quickstart.md"): "tests/browser/test_quickstart.py",
    ("html", "docs/reference/transports.md"): "tests/browser/docs/test_shown_pages.py",
    ("html", "docs/sdk/tanstack-db.md"): "tests/integration/sdk_js/tanstack.test.mjs",
    ("html", "docs/sdk/js.md"): "tests/browser/docs/test_shown_pages.py",
    ("js", "docs/reference/transports.md"): "tests/browser/docs/test_shown_pages.py",
    ("js", "docs/sdk/js-reference.md"): "sdk/js/scripts/reference.mjs",  # it is generated
    ("python", "docs/getting-started.md"): f"{HERE}/test_python.py",
    ("python", "docs/frameworks/django.md"): f"{HERE}/test_backends.py",
    ("python", "docs/frameworks/fastapi.md"): f"{HERE}/test_backends.py",
    ("python", "docs/frameworks/flask.md"): f"{HERE}/test_backends.py",
    ("python", "docs/guides/backends.md"): f"{HERE}/test_backends.py",
    ("python", "docs/guides/channels.md"): f"{HERE}/test_python.py",
    ("python", "docs/guides/chat-tutorial.md"): "tests/browser/test_chat_tutorial.py",
    ("python", "docs/guides/quickstart.md"): "tests/browser/test_quickstart.py",
    ("python", "docs/guides/recipes.md"): f"{HERE}/test_python.py",
    ("python", "docs/guides/writing.md"): f"{HERE}/test_python.py",
    ("python", "docs/sdk/python.md"): "tests/integration/sdk_python/test_guide.py",
    ("python", "docs/sdk/tanstack-db.md"): f"{HERE}/test_backends.py",
    ("python", "docs/sdk/types.md"): f"{HERE}/test_python.py",
    ("python", "docs/security.md"): f"{HERE}/test_python.py",
    ("python", "sdk/python/README.md"): "tests/integration/sdk_python/test_guide.py",
    ("text", "docs/guides/sql.md"): f"{HERE}/test_signatures.py",
    ("text", "docs/operations/replication-slots.md"): f"{HERE}/test_configurations.py",
    ("text", "docs/reference/transports.md"): f"{HERE}/test_shell.py",
    ("text", "docs/security.md"): f"{HERE}/test_shell.py",
    ("ts", "docs/frameworks/nextjs.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("ts", "docs/frameworks/react-native.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("ts", "docs/guides/chat-tutorial.md"): "tests/browser/test_chat_tutorial.py",  # and test_frameworks.py
    ("ts", "docs/guides/frameworks.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("ts", "docs/sdk/js-reference.md"): "sdk/js/scripts/reference.mjs",  # it is generated
    ("tsx", "docs/frameworks/nextjs.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("tsx", "docs/frameworks/react-native.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("tsx", "docs/guides/chat-tutorial.md"): "tests/browser/test_chat_tutorial.py",  # and test_frameworks.py
    ("tsx", "docs/guides/frameworks.md"): "tests/integration/sdk_js/test_frameworks.py",
    ("vue", "docs/guides/frameworks.md"): "tests/integration/sdk_js/test_frameworks.py",
}
"""Code and texts, of which a test has all blocks of one page; others are in ``tests/support/doc_programs.py``."""
AUTHENTICATION = "docs/guides/authentication.md"
OF_TITLES = {
    ("ini", "docs/frameworks/nextjs.md", ".env.local"): "tests/integration/sdk_js/test_frameworks.py",
    ("python", AUTHENTICATION, ""): f"{HERE}/test_python.py",
    ("python", AUTHENTICATION, "auth_handler.py"): "tests/unit/auth_handler/test_clients.py",
    ("python", AUTHENTICATION, "webhook.py"): "tests/unit/auth_handler/test_clients.py",
}
OF_ADAPTERS = "tests/integration/sdk_js/test_adapters.py"
"""It has the modules of the pages about adapters, ``docs/sdk/NAME.md`` for ``sdk/NAME``: the blocks with a title."""
UNCHECKED = {
    ("docs/operations/backup.md", ""): "an excerpt of what pg_dump writes, without the rest",
}
"""Pages and titles of ``text`` blocks that nothing checks, and why."""
ADAPTERS = {f"docs/sdk/{each.parent.name}.md" for each in ROOT.glob("sdk/*/tsconfig.build.json")}
IN_PROGRAMS = {(each.page, each.line) for program in PROGRAMS for each in blocks_of(program)}


OF_READMES = {"sdk/react/README.md", "sdk/vue/README.md"}
"""Pages whose programs are parts of components, which ``OF_ADAPTERS`` runs in a browser; the others run in Node."""


def checked_by(block: Block) -> str | None:
    """The test that has the block."""
    if (block.page, block.line) in IN_PROGRAMS:
        return OF_ADAPTERS if block.page in OF_READMES else f"{HERE}/test_typescript.py"
    if block.language == "text" and (block.page, block.title) in UNCHECKED:
        return ""
    of_page = OF_PAGES.get((block.language, block.page)) or OF_TITLES.get((block.language, block.page, block.title))
    if of_page is None and block.title and block.page in ADAPTERS:
        return OF_ADAPTERS
    return of_page or OF_LANGUAGES.get(block.language)


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_test_has_the_block(block: Block) -> None:
    test = checked_by(block)
    assert test is not None, f"{block}: no test runs this {block.language}; see the lists in this file"
    assert not test or (ROOT / test).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_fences_are_blocks_with_a_language(page: Path) -> None:
    fences = re.findall(r"(?m)^[ >]*(?:```+|~~~+)", page.read_text())
    assert len(fences) == 2 * len(blocks(page=str(page.relative_to(ROOT))))


def test_tests_take_from_the_pages_what_they_are_listed_for() -> None:
    for (_, page), test in OF_PAGES.items():
        text = (ROOT / test).read_text()
        assert page in text or page.rpartition("/")[2] in text, f"{test} does not name {page}"
    for language, test in OF_LANGUAGES.items():
        assert f'("{language}"' in (ROOT / test).read_text(), f"{test} does not take blocks of {language}"


def test_each_program_runs() -> None:
    """In Node, or, what is a part of a component, in a browser."""
    assert {program.page for program in PROGRAMS if not program.runs} == OF_READMES


def test_no_row_is_about_what_is_gone() -> None:
    found = {(block.language, block.page) for block in blocks()}
    assert OF_PAGES.keys() <= found
    assert OF_LANGUAGES.keys() <= {language for language, _ in found}
    assert UNCHECKED.keys() <= {(block.page, block.title) for block in blocks("text")}
