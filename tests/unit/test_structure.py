"""The shape of the tree, as CONTRIBUTING.md has it: small files, small folders, imports that point downward.

Circles of imports and the order of folders are contracts of import-linter (``pyproject.toml``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = {"engine": ROOT, "server": ROOT, "bunbase": ROOT / "sdk" / "python"}
"""Packages, and the folders that they are in."""

MAX_FILES = 16


def modules(package: str) -> dict[str, Path]:
    """Every module of ``package``, by name; a folder is the module of its ``__init__.py``."""
    top = TREES[package]
    paths = {path.relative_to(top).with_suffix("").parts: path for path in (top / package).rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in paths.items()}


def imported(path: Path) -> Iterator[str]:
    """What the module at ``path`` imports, for types alone too; ``from a import b`` gives ``a`` and ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path} imports by a relative name"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def python_files() -> list[Path]:
    return [path for top in ("engine", "server") for path in sorted((ROOT / top).rglob("*.py"))]


@pytest.mark.parametrize("package", TREES)
def test_no_module_imports_a_module_of_a_folder_around_its_own(package: str) -> None:
    """Except those directly in the package, which all folders share."""
    names = modules(package)
    folders = {name for name, path in names.items() if path.name == "__init__.py"}
    upward = []
    for name, path in names.items():
        own = name if name in folders else name.rpartition(".")[0]
        for other in set(imported(path)) & (names.keys() - folders):
            folder = other.rpartition(".")[0]
            if folder != package and own.startswith(f"{folder}."):
                upward.append(f"{name} imports {other}")
    assert sorted(upward) == []


def test_no_folder_has_more_files_than_a_reader_can_survey() -> None:
    folders = {path.parent for path in python_files()}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}
