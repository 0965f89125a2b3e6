"""What a transaction asks of the live queries: events to deliver, windows to read again, definitions to load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.catalog.load import Table
from engine.live.core.diff import DocChange
from engine.live.core.shared_query import LiveQuery
from engine.live.core.table import RelationChangedError
from engine.lsn import Lsn
from engine.values.labels import UnknownLabelError

__all__ = ["AT_ONCE", "DISAGREEING", "READ_AGAIN", "DdlNote", "Outcome", "work_of"]

log = logging.getLogger(__name__)

AT_ONCE: Final = 1_000
"""Changed documents, of a KiB each, that windows find and subscribers are sent between two chances for other work."""

DISAGREEING: Final = (RelationChangedError, ValueError, ArithmeticError, LookupError, TypeError)
"""What parsing a value can raise when the stream and the catalog disagree about its type."""

READ_AGAIN: Final = "live queries over %s are read again: %s"


class DdlNote(msgspec.Struct):
    """The logical message ``realtime.ddl``: a definition changed (see ``sql/schema/20_ddl.sql``)."""

    tag: str
    oids: list[int] = []
    types: list[int] = []
    all: bool = False
    routines: bool = False
    published: bool = False


@dataclass(slots=True)
class Outcome:
    """What a transaction asks for."""

    changed: list[tuple[LiveQuery, list[DocChange]]] = field(default_factory=list)
    refresh: set[LiveQuery] = field(default_factory=set)
    ddl: list[DdlNote] = field(default_factory=list)
    committed_at: int | None = None

    def disagree(self, table: Table, problem: Exception) -> None:
        """Values of ``table`` are not as the catalog describes them, which ``problem`` shows: the catalog is to be loaded.

        Said once per transaction. A label that the catalog lacks is nothing to worry about: it is behind.
        """
        note = DdlNote("STREAM", [table.oid])
        if note in self.ddl:
            return
        self.ddl.append(note)
        if isinstance(problem, UnknownLabelError):
            log.info(READ_AGAIN, table.collection, problem)
        else:
            expected = isinstance(problem, DISAGREEING)
            log.warning(READ_AGAIN, table.collection, problem, exc_info=None if expected else problem)

    def tell(self, position: Lsn) -> Iterator[None]:
        """Tell the subscribers of each changed query, with one event. Yields now and then, between two queries."""
        work = 0
        for query, changes in self.changed:
            if work >= AT_ONCE:
                yield
                work = 0
            query.emit(position, changes, self.committed_at)
            work += work_of(changes) + len(query.subscriptions)


def work_of(changes: list[DocChange]) -> int:
    """What it costs to find or deliver ``changes``, in documents of a KiB each."""
    return len(changes) + sum([len(change.doc) for change in changes]) // 1024
