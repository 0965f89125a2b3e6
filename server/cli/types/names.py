"""Names of types, made of names in the database: each is an identifier of both languages, and unlike all others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from server.cli.types.shapes import Collection, named_types

__all__ = ["TypeNames"]

_TAKEN = frozenset({"Any", "Collections", "False", "Literal", "None", "True", "TypedDict"})
"""What the files have besides, or the languages."""


class TypeNames:
    """The names of the types in one file: ``collections`` by the name of the collection, ``types`` by oid.

    A collection ``chat_messages`` is ``ChatMessages``. Of several that come to the same name the later ones get a number;
    collections are before enums and composites.
    """

    def __init__(self, collections: Iterable[Collection]) -> None:
        listed = list(collections)
        self._taken = taken = set(_TAKEN)
        self.collections = {each.name: _unlike(taken, each.name) for each in listed}
        self.types = {each.oid: _unlike(taken, _bare(each.name)) for each in named_types(listed)}

    def further(self, name: str) -> str:
        """A name for what a file has besides, ``name`` itself if nothing has it."""
        return _unlike(self._taken, name)


def _bare(name: str) -> str:
    """A type's name as SQL spells it, without its schema and quotes."""
    parts: list[str] = re.findall(r'"(?:[^"]|"")+"|[^."]+', name)
    return parts[-1].strip('"')


def _unlike(taken: set[str], name: str) -> str:
    parts = "".join(each if each != "_" and f"a{each}".isidentifier() else " " for each in name).split()
    wanted = "".join(part[0].upper() + part[1:] for part in parts)
    wanted = wanted if wanted.isidentifier() else f"Type{wanted}"
    unlike, count = wanted, 1
    while unlike in taken:
        count += 1
        unlike = f"{wanted}{count}"
    taken.add(unlike)
    return unlike
