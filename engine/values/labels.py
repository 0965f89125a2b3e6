"""A mapping from the labels of an enum to values (its place in the order, its JSON); an unknown label, newer than the
catalog, raises :class:`UnknownLabelError`.
"""

from __future__ import annotations

from typing import NoReturn, TypeVar

from engine.errors import BunbaseError

__all__ = ["Labels", "UnknownLabelError"]

T = TypeVar("T")


class UnknownLabelError(BunbaseError, KeyError):
    """A value is a label that the enum did not have when the catalog was loaded: the catalog is behind the stream."""

    def __init__(self, label: bytes) -> None:
        super().__init__(label)
        self.label = label

    def __str__(self) -> str:
        return f"the enum has no label {self.label.decode(errors='replace')!r} in the catalog in use"


class Labels(dict[bytes, T]):
    """By label, as the stream has it. Raises ``UnknownLabelError`` for any other."""

    def __missing__(self, label: bytes) -> NoReturn:
        raise UnknownLabelError(label)
