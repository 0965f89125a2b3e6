"""The values inside a decoded JSON value, one level of nesting after the other.

A client chooses how many values a message has. So a level is taken apart by a few calls that run in C, not by steps of
Python for each value: 128 KiB of small numbers are looked at within milliseconds. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

__all__ = ["Level", "deeper_than", "levels"]

_CONTAINERS: Final = (dict, list, tuple)


class Level:
    """The values of one level, not empty. ``types``: those that occur."""

    __slots__ = ("types", "values")

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.types = set(map(type, values))

    def of(self, *wanted: type) -> list[Any]:
        """The values of these types or subclasses of them."""
        types = {each for each in self.types if issubclass(each, wanted)}
        if len(types) == len(self.types):
            return self.values
        return [value for value in self.values if type(value) in types] if types else []

    @property
    def keys(self) -> Iterator[Any]:
        """The keys of the objects in it."""
        return chain.from_iterable(self.of(dict))


def levels(value: object) -> Iterator[Level]:
    """``value``, then what this list or object contains, then what that contains, and so on; keys are not values."""
    values = [value]
    while values:
        level = Level(values)
        yield level
        fields = map(dict.values, level.of(dict))
        values = [*chain.from_iterable(fields), *chain.from_iterable(level.of(list, tuple))]


def deeper_than(value: object, limit: int) -> bool:
    """Whether lists and objects are nested more than ``limit`` deep."""
    return any(depth >= limit and level.of(*_CONTAINERS) for depth, level in enumerate(levels(value)))
