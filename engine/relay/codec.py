"""Transactions of either plugin as frames, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from engine.feed.decoders.change_log import Maker
from engine.feed.decoders.frames import FramesDecoder, WalFrames, frames_of, relation_of
from engine.feed.decoders.wal2json_frames import JsonFramesDecoder, json_frames_of, json_relation_of
from engine.transaction import Relation, Transaction

__all__ = ["PartDecoder", "decoder_for", "parts_of", "relation_reader"]


class PartDecoder(Protocol):
    """See :class:`engine.feed.decoders.frames.FramesDecoder`."""

    def feed(self, frames: WalFrames) -> Transaction | None:
        """Take one part; the transaction if it is complete with it, else None."""
        ...


_PARTS: Final[dict[str, Callable[[Transaction, int | None], Iterator[WalFrames]]]] = {
    "pgoutput": frames_of,
    "wal2json": json_frames_of,
}
_RELATIONS: Final[dict[str, Callable[[Maker], Relation | None]]] = {
    "pgoutput": relation_of,
    "wal2json": json_relation_of,
}
_DECODERS: Final[dict[str, Callable[[int, Path | None], PartDecoder]]] = {
    "pgoutput": FramesDecoder,
    "wal2json": JsonFramesDecoder,
}


def parts_of(plugin: str, transaction: Transaction, limit: int) -> Iterator[WalFrames]:
    """The frames of a ``transaction`` that ``plugin`` sent, in parts of about ``limit`` bytes of payload."""
    return _PARTS[plugin](transaction, limit)


def relation_reader(plugin: str) -> Callable[[Maker], Relation | None]:
    """Finds the table of what ``plugin`` sent by the maker; None: a logical message."""
    return _RELATIONS[plugin]


def decoder_for(plugin: str, memory_limit: int, spill_dir: Path | None) -> PartDecoder:
    """Makes transactions of the frames of ``plugin``."""
    return _DECODERS[plugin](memory_limit, spill_dir)
