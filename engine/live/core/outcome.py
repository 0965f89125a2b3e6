"""The outcome of a transaction: events to deliver, windows to read again, definitions to load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import structlog

from engine.annotations import Annotations
from engine.catalog.model import Table
from engine.live.core.document_changes import DocChange, WindowEvent
from engine.live.core.result_set import DocumentTooDeepError, too_deep_in
from engine.live.core.shared_query import LiveQuery
from engine.live.core.table_windows import RelationChangedError
from engine.lsn import Lsn
from engine.transaction import Message
from engine.values.labels import UnknownLabelError
from engine.values.nesting import SHALLOW

__all__ = ["AT_ONCE", "DISAGREEING", "READ_AGAIN", "DdlNote", "Outcome", "work_of"]

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 1_000
"""Batch size between two yields to other tasks: changed documents, of a KiB each, that are computed or delivered."""

DISAGREEING: Final = (RelationChangedError, ValueError, ArithmeticError, LookupError, TypeError)
"""What parsing a value can raise when the stream and the catalog disagree about its type."""

READ_AGAIN: Final = "collection_reread"
"""Log event: the live queries over ``collection`` are read again because of ``error``."""

_MEANING_THE_SAME: Final = frozenset(
    {"COMMENT", "DROP FOREIGN TABLE", "DROP MATERIALIZED VIEW", "DROP TABLE", "DROP VIEW"}
)
"""Tags of statements that name types, none of which is of other values than before."""


class DdlNote(msgspec.Struct):
    """The logical message ``realtime.ddl``: a definition changed (``sql/schema/1_collections/70_definitions.sql``)."""

    tag: str
    oids: list[int] = []
    types: list[int] = []
    all: bool = False
    routines: bool = False
    published: bool = False

    @property
    def of_types(self) -> bool:
        """Whether a type may mean something else now, other than that of the rows of a dropped table or view."""
        return (bool(self.types) or self.tag == "ALTER TYPE") and self.tag not in _MEANING_THE_SAME


class Outcome:
    """The work that results from a transaction. ``ended``: the queries that :meth:`deliver` has ended."""

    __slots__ = ("_annotations", "_stream_key", "changed", "committed_at", "ddl", "ended", "refresh")

    def __init__(self, committed_at: int | None = None, stream_key: str | None = None) -> None:
        self._annotations: Annotations | None = None  # few transactions have one
        self._stream_key = stream_key
        self.changed: list[tuple[LiveQuery, list[DocChange]]] = []
        self.refresh: set[LiveQuery] = set()
        self.ended: list[LiveQuery] = []
        self.ddl: list[DdlNote] = []
        self.committed_at = committed_at

    def annotate(self, message: Message) -> None:
        """Merge an annotation in. Raises as ``Annotations.add`` does."""
        if self._annotations is None:
            self._annotations = Annotations(self._stream_key)
        self._annotations.add(message)

    def add_note(self, message: Message) -> DdlNote | None:
        """Definitions have changed, which ``message`` names; None, and logged, if it does not name them."""
        try:
            note = msgspec.json.decode(message.content, type=DdlNote)
        except msgspec.DecodeError as problem:
            _log.warning("ddl_message_invalid", error=str(problem))
            return None
        self.ddl.append(note)
        return note

    def disagree(self, table: Table, problem: Exception) -> None:
        """Values of ``table`` differ from the catalog, as ``problem`` shows: the catalog has to be loaded again.

        Logged once per transaction; at level info for an enum label that is newer than the catalog.
        """
        note = DdlNote("STREAM", [table.oid])
        if note in self.ddl:
            return
        self.ddl.append(note)
        if isinstance(problem, UnknownLabelError):
            _log.info(READ_AGAIN, collection=table.collection, error=str(problem))
        else:
            expected = isinstance(problem, DISAGREEING)
            traceback = None if expected else problem
            _log.warning(READ_AGAIN, collection=table.collection, error=str(problem), exc_info=traceback)

    def deliver(self, position: Lsn) -> Iterator[None]:
        """Deliver one event per changed list to the subscribers of its queries. Yields now and then, between two queries."""
        work = 0
        meta = None if self._annotations is None else self._annotations.meta
        event: WindowEvent | None = None
        too_deep: DocumentTooDeepError | None = None
        for query, changes in self.changed:
            if work >= AT_ONCE:
                yield
                work = 0
            if event is None or event.changes is not changes:  # queries with one window follow each other
                if event is not None:
                    event.forget()
                event = WindowEvent(position, False, changes, None, self.committed_at, meta)
                too_deep = too_deep_in(event) if event.size > SHALLOW else None
                work += len(changes) + (event.size >> 10)
            query.deliver(event, too_deep)
            if query.ended:
                self.ended.append(query)
            work += 1 + len(query.subscriptions)
        if event is not None:
            event.forget()


def work_of(changes: list[DocChange]) -> int:
    """The cost of computing or delivering ``changes``, in documents of a KiB each."""
    if len(changes) == 1:
        return 1 + (len(changes[0].doc) >> 10)
    work = len(changes)
    for change in changes:
        work += len(change.doc) >> 10
    return work
