"""The shape of the tree, as CONTRIBUTING.md has it: small files, small folders, imports that point downward.

Circles of imports and the order of folders are contracts of import-linter (``pyproject.toml``).
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.sources import python_files, read_source

ROOT = Path(__file__).parents[2]
TREES = {"engine": ROOT, "server": ROOT, "bunbase": ROOT / "sdk" / "python"}
"""Packages, and the folders that they are in."""

SOURCES = [
    "engine",
    "server",
    "sdk/js/src",
    "sdk/react/src",
    "sdk/svelte/src",
    "sdk/tanstack-db/src",
    "sdk/vue/src",
    "sdk/python/bunbase",
    "sql",
    "migrations",
    "examples",
    "tests",
]

MAX_FILES = 16
MAX_LINES = 350
MAX_LINES_OF_A_FUNCTION = 80


def modules(package: str) -> dict[str, Path]:
    """Every module of ``package``, by name; a folder is the module of its ``__init__.py``."""
    top = TREES[package]
    paths = {path.relative_to(top).with_suffix("").parts: path for path in python_files(top / package)}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in paths.items()}


def imported(path: Path) -> set[str]:
    """What the module at ``path`` imports, for types alone too; ``from a import b`` gives ``a`` and ``a.b``."""
    names = set(read_source(path).imports)
    assert not any(name.startswith(".") for name in names), f"{path} imports by a relative name"
    return names


def files(tree: str) -> list[Path]:
    """The sources of ``tree``, without what is generated or installed in it."""
    suffixes = {".py", ".sql", ".ts", ".tsx", ".js", ".mjs"}
    found = [path for path in sorted((ROOT / tree).rglob("*")) if path.suffix in suffixes]
    assert found, f"{tree} has no sources"
    return [path for path in found if "node_modules" not in path.parts]


@pytest.mark.parametrize("package", TREES)
def test_no_module_imports_a_module_of_a_folder_around_its_own(package: str) -> None:
    """Except those directly in the package, which all folders share."""
    names = modules(package)
    folders = {name for name, path in names.items() if path.name == "__init__.py"}
    upward = []
    for name, path in names.items():
        own = name if name in folders else name.rpartition(".")[0]
        for other in imported(path) & (names.keys() - folders):
            folder = other.rpartition(".")[0]
            if folder != package and own.startswith(f"{folder}."):
                upward.append(f"{name} imports {other}")
    assert sorted(upward) == []


def test_no_folder_has_more_files_than_a_reader_can_survey() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    grows = ("tests/fuzz/corpus/", "migrations/")  # inputs and applied migrations stay as they are, where they are
    paths = (Path(name) for name in listed.split("\0") if name and not name.startswith(grows))
    counts = Counter(str(path.parent) for path in paths)
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


@pytest.mark.parametrize("tree", SOURCES)
def test_no_file_is_longer_than_one_idea_needs(tree: str) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(tree)}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize("package", TREES)
def test_no_function_is_longer_than_a_screen_or_two(package: str) -> None:
    lengths = {
        f"{name}:{function}": lines
        for name, path in modules(package).items()
        for function, lines in read_source(path).functions
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES_OF_A_FUNCTION} == {}
