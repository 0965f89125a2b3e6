"""PostgreSQL array literals of many values at once.

psycopg adapts a list element by element in Python, which takes longer than everything else a batch costs this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["plain_array", "repeated_array", "text_array"]


def text_array(values: Iterable[str | None]) -> str:
    """A ``text[]``, to be cast in the statement. Quoting as in "Array Input and Output Syntax"."""
    quoted = [  # not by a call for each
        "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def repeated_array(values: Sequence[str | None]) -> str:
    """As :func:`text_array`, of values many of which are the same: each is quoted once."""
    quoted = {value: "NULL" if value is None else _quoted(value) for value in set(values)}
    return "{" + ",".join([quoted[value] for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plain_array(values: Iterable[int | bool | str]) -> str:
    """An array of numbers, booleans or array literals of one size, to be cast in the statement."""
    return "{" + ",".join(map(str, values)) + "}"
