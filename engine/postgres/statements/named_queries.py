"""SQL lives in ``sql/`` and ``migrations/``; Python asks for it by name.

``sql/queries/*.sql`` holds named queries, each introduced by ``-- name: the_name`` and a comment. ``sql/schema/*.sql``
is replaced whole at each migrate. In a checkout the folders stand beside ``engine/``; in a wheel inside it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["folder", "query"]

_NAME = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


def folder(name: str) -> Path:
    """The folder ``sql``, ``migrations`` or ``docs``, wherever this installation keeps it.

    Raises ``FileNotFoundError`` if the installation is incomplete.
    """
    engine = Path(__file__).parents[2]
    for candidate in (engine / f"_{name}", engine.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the {name}/ folder is missing beside or inside {engine}")


@cache
def _queries() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((folder("sql") / "queries").glob("*.sql")):
        parts = _NAME.split(path.read_text())
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise ValueError(f"two queries are named {name!r}")
            found[name] = text.strip()
    return found


def query(name: str) -> str:
    """The named query's text. Raises ``KeyError`` if no file defines it."""
    return _queries()[name]
