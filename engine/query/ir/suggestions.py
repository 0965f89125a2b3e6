"""Which known name a misspelt one may have meant.

Names come from clients, so both what is compared and how much of it is bounded: comparing takes microseconds per name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

__all__ = ["did_you_mean", "nearest"]

_LONGEST: Final = 63  # bytes of a name in PostgreSQL (NAMEDATALEN)
_COMPARED: Final = 100  # names that are compared
_SHORTEST: Final = 3  # letters of names of which one may be wrong: any two of fewer letters are alike
_ALIKE: Final = 0.8  # of difflib's ratio


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """``; did you mean 'todos'?``, or "" if none of ``names`` is like ``name``.

    ``names``: those that the asker may know of. Of more than a hundred with about that length not all are compared.
    """
    meant = nearest(name, names)
    return "" if meant is None else f"; did you mean {meant!r}?"


def nearest(name: object, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is like ``name``, as in :func:`did_you_mean`; None if none is.

    One that differs in one letter is, too: of four letters that is less alike than difflib asks for.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return None
    alike = (each for each in names if abs(len(each) - len(name)) <= 1 + len(name) // 3)
    by_letters = {_letters(each): each for each in islice(alike, _COMPARED)}
    wanted = _letters(name)
    close = difflib.get_close_matches(wanted, by_letters, 1, _ALIKE)
    if not close:
        close = difflib.get_close_matches(wanted, [each for each in by_letters if _one_apart(wanted, each)], 1, 0.0)
    return by_letters[close[0]] if close else None


def _letters(name: str) -> str:
    """``createdAt`` and ``created_at`` are the same to those who mistake one for the other."""
    return name.replace("_", "").lower()


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter is another one, missing or too many, or two that follow each other are exchanged."""
    if min(len(one), len(other)) < _SHORTEST:
        return False
    pairs = enumerate(zip(one, other, strict=False))
    same = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    rest, others = one[same:], other[same:]
    exchanged = rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return exchanged or rest[1:] == others[1:] or rest[1:] == others or rest == others[1:]
