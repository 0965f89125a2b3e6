"""A cache of objects derived from long values: the conditions and queries over one row read the same values in succession,
and a client may write a hundred conditions on one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["LONG", "Latest", "latest"]

LONG: Final = 1_024
"""Smallest size of a value, in bytes, for which derived objects are cached."""

_KEPT: Final = 1 << 20

T = TypeVar("T")


class Latest:
    """Derived things by value and by what derives them.

    Invariant: the values they are of have at most ``_KEPT`` bytes together (a value counts once for each thing), but for the
    newest. ``forget`` removes all.
    """

    __slots__ = ("_derived", "_size")

    def __init__(self) -> None:
        self._derived: dict[
            tuple[int, Callable[[bytes], Any]], tuple[bytes, Any]
        ] = {}  # by id: the values are kept, too
        self._size = 0

    def of(self, value: bytes, derive: Callable[[bytes], T]) -> T:
        """``derive(value)``, which must not be modified; callers that share results pass the same ``derive`` object."""
        key = (id(value), derive)
        found = self._derived.get(key)
        if found is None:
            self._size += len(value)
            while self._derived and self._size > _KEPT:
                oldest, _ = self._derived.pop(next(iter(self._derived)))
                self._size -= len(oldest)
            found = self._derived[key] = (value, derive(value))
        derived: T = found[1]
        return derived

    def forget(self) -> None:
        """Remove all: the next rows have other values."""
        self._derived.clear()
        self._size = 0


latest: Final = Latest()
"""The cache of this process."""
