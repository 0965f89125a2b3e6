"""PostgreSQL array literals of many values at once.

psycopg adapts a list element by element in Python, which takes longer than everything else a batch costs this process.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["plain_array", "text_array"]


def text_array(values: Iterable[str | None]) -> str:
    """A ``text[]``, to be cast in the statement. Quoting as in "Array Input and Output Syntax"."""
    quoted = [
        "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def plain_array(values: Iterable[int | bool | str]) -> str:
    """An array of numbers, booleans or array literals of one size, to be cast in the statement."""
    return "{" + ",".join(map(str, values)) + "}"
