"""What tests ask of the project's Python sources, each read and parsed once in a process.

Syntax trees are not kept: all of them are half a million objects, which the collector would go through again and again.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["Source", "called", "python_files", "read_source"]

_CALLS: Final = frozenset({"close", "Close", "InvalidFrameError", "ConnectionEndedError"}) | frozenset(
    {"debug", "info", "warning", "error", "critical", "exception", "level", "client_error", "_refused"}
)
"""Functions and methods whose calls a test asks for."""

_MAX_TEXT: Final = 64  # characters


@dataclass(frozen=True)
class Source:
    """One module."""

    imports: tuple[str, ...]
    """What it imports, for types alone too; ``from a import b`` gives ``a``, ``a.b``; a relative name begins with a dot."""
    functions: tuple[tuple[str, int], ...]
    """The name of each function, and its lines."""
    definitions: frozenset[str]
    """``function``, ``variable``, ``Class`` and ``Class.function``."""
    texts: tuple[tuple[str, int], ...]
    """Each constant text of at most 64 characters, and its line."""
    calls: tuple[ast.Call, ...]
    """The calls with arguments of ``_CALLS``."""
    constants: tuple[tuple[str, str], ...]
    """Variables of the module that are annotated and have a constant text."""


@cache
def python_files(folder: Path) -> tuple[Path, ...]:
    """The modules below ``folder``, in order, without what is installed there."""
    return tuple(path for path in sorted(folder.rglob("*.py")) if "node_modules" not in path.parts)


@cache
def read_source(path: Path) -> Source:
    """The module at ``path``."""
    collecting = gc.isenabled()
    gc.disable()  # a tree has no garbage
    try:
        return _source(ast.parse(path.read_text()))
    finally:
        if collecting:
            gc.enable()


def called(call: ast.Call) -> str:
    """The name of the function or method."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _source(tree: ast.Module) -> Source:
    imports: list[str] = []
    functions: list[tuple[str, int]] = []
    texts: list[tuple[str, int]] = []
    calls: list[ast.Call] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and len(node.value) <= _MAX_TEXT:
                texts.append((node.value, node.lineno))
        elif isinstance(node, ast.Call):
            if node.args and called(node) in _CALLS:
                calls.append(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports += _imported(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            functions.append((node.name, node.end_lineno - node.lineno + 1))
    return Source(
        tuple(imports),
        tuple(functions),
        frozenset(_defined(tree.body)),
        tuple(texts),
        tuple(calls),
        tuple(_constants(tree)),
    )


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return names
    module = "." * node.level + (node.module or "")
    return [module, *(f"{module}.{name}" for name in names)]


def _defined(body: list[ast.stmt], before: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{before}{node.name}"
            yield from _defined(node.body, f"{before}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (f"{before}{target.id}" for target in targets if isinstance(target, ast.Name))


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.target.id, node.value.value
