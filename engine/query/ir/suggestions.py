"""Which known name a misspelt one may have meant.

Names come from clients, so both what is compared and how much of it is bounded: comparing takes microseconds per name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

__all__ = ["did_you_mean"]

_LONGEST: Final = 63  # bytes of a name in PostgreSQL (NAMEDATALEN)
_COMPARED: Final = 100  # names that are compared


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """``; did you mean 'todos'?``, or "" if none of ``names`` is like ``name``.

    ``names``: those that the asker may know of. Of more than a hundred with about that length not all are compared.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return ""
    alike = (each for each in names if abs(len(each) - len(name)) <= 1 + len(name) // 3)
    by_letters = {_letters(each): each for each in islice(alike, _COMPARED)}
    close = difflib.get_close_matches(_letters(name), by_letters, 1, 0.8)
    return f"; did you mean {by_letters[close[0]]!r}?" if close else ""


def _letters(name: str) -> str:
    """``createdAt`` and ``created_at`` are the same to those who mistake one for the other."""
    return name.replace("_", "").lower()
