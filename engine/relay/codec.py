"""Transactions of either plugin as frames, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from engine.feed.decoders.change_log import Maker
from engine.feed.decoders.frames import FramesDecoder, WalFrames, frames_of, log_of, relation_of
from engine.feed.decoders.wal2json_frames import JsonFramesDecoder, json_frames_of, json_relation_of
from engine.transaction import Relation, Transaction

__all__ = ["PartDecoder", "decoder_for", "parts_of", "table_of"]


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


def table_of(plugin: str, transaction: Transaction) -> Relation | None:
    """The one table that a ``transaction`` of ``plugin`` changes; None: it changes several, or has a logical message."""
    relation: Relation | None = None
    for make in log_of(transaction).makers():
        found = _RELATIONS[plugin](make)
        if found is None or (relation is not None and relation.oid != found.oid):
            return None
        relation = found
    return relation


def decoder_for(plugin: str, memory_limit: int, spill_dir: Path | None) -> PartDecoder:
    """Makes transactions of the frames of ``plugin``."""
    return _DECODERS[plugin](memory_limit, spill_dir)
