"""The documentation names places in the code that exist: files, and functions as ``path/file.py:Class.function``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.sources import python_files, read_source

ROOT = Path(__file__).parents[3]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
CODE = ("engine", "server", "tests", "sdk", "examples")
SOURCES = [path for top in ("engine", "server", "sdk/python/bunbase", "tests") for path in python_files(ROOT / top)]
BUILT = re.compile(r"/dist\b|/node_modules\b|/N\.json$")
REFERENCE = re.compile(r":(?:mod|class|func|meth|data):`~?((?:engine|server|tests)\.[\w.]+)`")
MODULE = re.compile(r"`([\w/]+\.py)(?::[\w.]+)?`")
# Not what stands for a name: `NNNN_what.sql`.
PLACE = re.compile(
    r"`((?:engine|server|tests|sdk|sql|migrations|docs|examples)/(?![\w/]*[A-Z]{2})[\w./-]*\w)(?::([\w.]+))?`"
)


def places(page: Path) -> list[tuple[str, str]]:
    """What ``page`` names: a path, and a function or class in it or the empty string."""
    return [(match[1], match[2] or "") for match in PLACE.finditer(page.read_text())]


def defined(path: Path, name: str) -> bool:
    """Whether ``path`` defines ``name``: ``function``, ``Class`` or ``Class.function``."""
    return name in read_source(path).definitions


def found(reference: str) -> bool:
    """Whether there is such a module, or such a class or function in one."""
    parts = reference.split(".")
    for end in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:end])
        if module.is_dir():
            return end == len(parts)
        if module.with_suffix(".py").is_file():
            return end == len(parts) or defined(module.with_suffix(".py"), ".".join(parts[end:]))
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_by_its_end_exists(page: Path) -> None:
    """Within a section on one folder a page has `decoders/base.py` for `engine/feed/decoders/base.py`."""
    modules = [f"/{path.relative_to(ROOT)}" for top in CODE for path in python_files(ROOT / top)]
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


def test_every_place_that_a_comment_or_docstring_names_exists() -> None:
    """Paths of files, except what is built, and references like ``:class:`engine.live.core.window.Window```."""
    missing = []
    for source in SOURCES:
        paths = [path for path, _ in places(source) if not BUILT.search(path) and not (ROOT / path).exists()]
        names = [name for name in REFERENCE.findall(source.read_text()) if not found(name)]
        missing += [f"{source.relative_to(ROOT)}: {each}" for each in paths + names]
    assert missing == []


@pytest.mark.parametrize("package", ["engine", "server"])
def test_the_docstring_of_a_package_names_every_folder(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    names = {Path(folder).name for folder in folders(package)}
    assert names - set(re.findall(r"``(\w+)``", docstring)) == set()


def test_the_walk_of_a_row_change_names_a_function_in_each_step() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    walk = page.split("## The walk of a row change")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. (.*)$", walk, re.MULTILINE)
    assert len(steps) >= 10
    assert all((place := PLACE.search(step)) and place[2] for step in steps[1:])


def folders(*tops: str) -> set[str]:
    """The folders of Python modules directly in ``tops``."""
    return {each.parent.relative_to(ROOT).as_posix() for top in tops for each in (ROOT / top).glob("*/*.py")}


def test_the_tree_of_contributing_has_every_folder() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    tree = page.split("## The tree")[1].split("\n## ")[0]
    assert folders("engine", "server", "tests") - set(re.findall(r"`([\w/]+)/`", tree)) == set()


def test_the_architecture_describes_every_folder() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    assert {folder for folder in folders("engine", "server") if not re.search(rf"`{folder}[`/]", page)} == set()
