"""The cores call no clock, no file and no source of randomness. Contracts of import-linter see modules alone: a call like
``datetime.now()`` or the built-in ``open()`` needs no module that a core may not import for other reasons."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = sorted(
    {
        module
        for contract in CONTRACTS
        if contract["type"] == "forbidden" and "no clock" in contract["name"]
        for module in contract["source_modules"]
    }
)

FUNCTIONS = {"open", "input", "print", "breakpoint", "exec", "eval", "__import__"}
CLOCKS = {"now", "today", "utcnow", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"}
FILES = {
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "fdopen",
    "TemporaryFile",
    "NamedTemporaryFile",
}
FILES |= {
    "exists",
    "is_file",
    "is_dir",
    "stat",
    "iterdir",
    "glob",
    "rglob",
    "unlink",
    "mkdir",
    "cwd",
    "getenv",
    "environ",
}
RANDOM = {"urandom", "token_hex", "token_bytes", "uuid4", "uniform", "randrange", "randint", "getrandbits", "choice"}
METHODS = CLOCKS | FILES | RANDOM

EXCEPTIONS = {
    ("engine/live/core/resume_log.py", "token_hex"),
    ("engine/feed/decoders/change_log.py", "TemporaryFile"),
    ("sdk/python/bunbase/core/backoff.py", "uniform"),
}
"""Described in docs/design.md, "What the cores may do besides"."""


def impure(source: str) -> Iterator[str]:
    """The functions outside the process that ``source`` names, called or passed on."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in FUNCTIONS:
            yield node.id
        elif isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in METHODS)


def sources(module: str) -> list[Path]:
    top = ROOT / "sdk/python" if module.startswith("bunbase") else ROOT
    found = sorted(top.joinpath(*module.split(".")).rglob("*.py"))
    assert found, f"{module} has no sources"
    return found


def test_the_cores_name_no_clock_no_file_and_no_randomness_but_the_documented() -> None:
    paths = [path for module in PURE for path in sources(module)]
    named = {(path.relative_to(ROOT).as_posix(), name) for path in paths for name in impure(path.read_text())}
    assert named == EXCEPTIONS


def test_every_folder_named_core_is_under_the_contracts() -> None:
    folders = [*(ROOT / "engine").rglob("core"), *(ROOT / "server").rglob("core"), ROOT / "sdk/python/bunbase/core"]
    names = [".".join(folder.relative_to(ROOT).parts).removeprefix("sdk.python.") for folder in folders]
    assert len(names) >= 3
    assert [name for name in names if name not in PURE] == []


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("with open('state') as file: pass", "open"),
        ("at = datetime.now(UTC)", "now"),
        ("at = datetime.datetime.utcnow()", "utcnow"),
        ("day = date.today()", "today"),
        ("clock = time.monotonic", "monotonic"),
        ("from time import time_ns", "time_ns"),
        ("text = path.read_text()", "read_text"),
        ("secret = secrets.token_hex(8)", "token_hex"),
        ("home = os.environ['HOME']", "environ"),
    ],
)
def test_such_a_statement_in_a_core_is_found(statement: str, name: str) -> None:
    assert list(impure(statement)) == [name]
