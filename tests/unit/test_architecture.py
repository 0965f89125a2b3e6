"""The documentation names places in the code that exist: files, and functions as ``path/file.py:Class.function``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
CODE = ("engine", "server", "tests", "sdk")
MODULE = re.compile(r"`([\w/]+\.py)(?::[\w.]+)?`")
# Not what stands for a name: `NNNN_what.sql`.
PLACE = re.compile(r"`((?:engine|server|tests|sdk|sql|migrations)/(?![\w/]*[A-Z]{2})[\w./-]*\w)(?::([\w.]+))?`")


def places(page: Path) -> list[tuple[str, str]]:
    """What ``page`` names: a path, and a function or class in it or the empty string."""
    return [(match[1], match[2] or "") for match in PLACE.finditer(page.read_text())]


def defined(path: Path, name: str) -> bool:
    """Whether ``path`` defines ``name``: ``function``, ``Class`` or ``Class.function``."""
    body = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_by_its_end_exists(page: Path) -> None:
    """Within a section on one folder a page has `decoders/base.py` for `engine/feed/decoders/base.py`."""
    modules = [f"/{path.relative_to(ROOT)}" for top in CODE for path in (ROOT / top).rglob("*.py")]
    named = {match[1] for match in MODULE.finditer(page.read_text())}
    assert [name for name in sorted(named) if not any(module.endswith(f"/{name}") for module in modules)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_place_in_the_code_that_a_page_names_exists(page: Path) -> None:
    missing = [
        f"{path}:{name}"
        for path, name in places(page)
        if not (ROOT / path).exists() or (name and not defined(ROOT / path, name))
    ]
    assert missing == []


def test_the_walk_of_a_row_change_names_a_function_in_each_step() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    walk = page.split("## The walk of a row change")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. (.*)$", walk, re.MULTILINE)
    assert len(steps) >= 10
    assert all((place := PLACE.search(step)) and place[2] for step in steps[1:])


def test_the_tree_of_contributing_has_every_folder() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    tree = page.split("## The tree")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w/]+)/`", tree))
    folders = {
        each.relative_to(ROOT).as_posix()
        for top in ("engine", "server", "tests")
        for each in (ROOT / top).iterdir()
        if any(each.glob("*.py"))
    }
    assert folders - named == set()
