"""The list of a live query at one moment, and which documents it may have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import QueryRejectedError
from engine.live.core.document_changes import REMOVED, WindowEvent
from engine.values.nesting import MAX_LEVELS, SHALLOW, may_be_too_deep, too_deep_field

if TYPE_CHECKING:
    from engine.live.core.rows import Row
    from engine.lsn import Lsn
    from engine.query.compile.plan import IncrementalPlan
    from engine.transaction import Value

__all__ = ["DocumentTooDeepError", "ListSource", "ResultSet", "check_nesting", "too_deep_in"]

Documents = Sequence[tuple[str, bytes]]

_LONGEST_ID = 200  # characters of a row's id in an error; an id of an SQL query may be of any length


class DocumentTooDeepError(QueryRejectedError):
    """A document of the query has a value that is nested more deeply than clients can read."""


def check_nesting(documents: Iterable[tuple[str, bytes]]) -> None:
    """Raise ``DocumentTooDeepError`` for the first of ``documents`` that is nested too deeply."""
    for identifier, doc in documents:
        field = too_deep_field(doc)
        if field is not None:
            raise DocumentTooDeepError(
                f"the field {field!r} of the row {identifier[:_LONGEST_ID]!r} is nested more than {MAX_LEVELS} levels deep, "
                "which many programs cannot read; select rows or fields without it"
            )


def too_deep_in(event: WindowEvent) -> DocumentTooDeepError | None:
    """Why the documents of ``event`` may not be delivered; None: they may. To be found once, for all queries that get it."""
    if event.size <= SHALLOW:
        return None
    try:
        check_nesting((change.id, change.doc) for change in event.changes if change.type != REMOVED)
    except DocumentTooDeepError as error:
        return error
    return None


class ListSource(Protocol):
    """What keeps the lists current."""

    @property
    def position(self) -> Lsn:
        """The commit LSN up to which they are current."""


class ResultSet:
    """A list of documents at one moment. Rows are encoded on first access, to compare or send them."""

    __slots__ = ("_documents", "_plan", "_rows")

    def __init__(
        self, documents: Documents | None = None, plan: IncrementalPlan | None = None, rows: Sequence[Row] = ()
    ) -> None:
        self._documents = documents
        self._plan = plan
        self._rows = rows

    @property
    def documents(self) -> Documents:
        """``(id, JSON object)`` in order."""
        if self._documents is None:
            assert self._plan is not None
            doc_id, encode = self._plan.doc_id, self._plan.encode
            self._documents = [(doc_id(row), encode(row)) for row in self._rows]
        return self._documents

    @property
    def count(self) -> int:
        """How many documents the list has."""
        return len(self._rows if self._documents is None else self._documents)

    def check_nesting(self) -> None:
        """Raise ``DocumentTooDeepError`` if a document of the list is nested too deeply. Of rows that are not encoded, only
        those are that have a value with enough brackets.
        """
        if self._documents is None and self._plan is not None:
            doc_id, encode = self._plan.doc_id, self._plan.encode
            check_nesting((doc_id(row), encode(row)) for row in self._rows if any(map(_value_may_be_too_deep, row)))
        else:
            check_nesting(self.documents)

    def weight(self) -> int:
        """About how many bytes the list holds, from a sample of its rows."""
        if self._documents is not None:
            return _weight([(doc,) for _, doc in _sample(self._documents)], len(self._documents))
        return _weight(_sample(self._rows), len(self._rows))


def _value_may_be_too_deep(value: Value) -> bool:
    return isinstance(value, bytes) and may_be_too_deep(value)


def _sample(items: Sequence[Any]) -> Sequence[Any]:
    return items[:: max(1, len(items) // 16)]


def _weight(sample: Sequence[Row], rows: int) -> int:
    """Bytes of ``rows`` rows like ``sample``; an object takes about 100 besides its content, a row and its keys 200."""
    size = sum(100 + len(value) for row in sample for value in row if isinstance(value, bytes))
    return rows * (200 + size // max(1, len(sample)))
