"""An index of queries by the rows they may match.

A query is indexed by its terms (:class:`engine.query.compile.index_terms.IndexTerms`): a row that matches satisfies at
least one. A term with equalities goes into a hash index over its columns, one with only ranges into an interval
index, the rest into a scan list. The cost of a lookup grows with the number of *shapes* (sets of columns compared for
equality) and hits, never with the number of unrelated queries.

Invariant: every query that matches the row is among the candidates; candidates may not match.
:class:`engine.live.core.table_windows.TableWindows` asks it for each row change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from engine.live.core.index.intervals import IntervalIndex, high_end, low_end
from engine.transaction import UNCHANGED, UNKNOWN, Row

if TYPE_CHECKING:
    from engine.query.compile.plan import IndexTerms

__all__ = ["Matcher"]

T = TypeVar("T", bound=Hashable)
Parse = Callable[[bytes], Any]


class Matcher(Generic[T]):
    """Targets (windows) of one table, found by row.

    Args:
        equal: per layout column, text to a hashable by which SQL ``=`` can be decided (None: it cannot).
        sort: per layout column, text to a comparable in SQL order (None: it has none here).
    """

    def __init__(self, equal: Sequence[Parse | None], sort: Sequence[Parse | None]) -> None:
        self._equal = [parse or _no_index for parse in equal]
        self._sort = [parse or _no_index for parse in sort]
        self._hashes: dict[tuple[int, ...], dict[tuple[Any, ...], dict[T, None]]] = {}
        self._ranges: dict[int, IntervalIndex[T]] = {}
        self._scan: dict[T, None] = {}
        self._range_handles: dict[T, list[tuple[int, int]]] = {}

    def add(self, target: T, terms: Sequence[IndexTerms]) -> None:
        """Index ``target``; a target is added once."""
        for term in terms:
            if term.equalities:
                columns = tuple(index for index, _ in term.equalities)
                values = tuple(value for _, value in term.equalities)
                self._hashes.setdefault(columns, {}).setdefault(values, {})[target] = None
            elif term.ranges:
                bounds = term.ranges[0]
                handle = self._ranges.setdefault(bounds.index, IntervalIndex()).add(
                    low_end(bounds.low, inclusive=bounds.low_inclusive),
                    high_end(bounds.high, inclusive=bounds.high_inclusive),
                    target,
                )
                self._range_handles.setdefault(target, []).append((bounds.index, handle))
            else:
                self._scan[target] = None

    def remove(self, target: T, terms: Sequence[IndexTerms]) -> None:
        """Take ``target`` out again; ``terms`` as they were added."""
        for term in terms:
            if term.equalities:
                columns = tuple(index for index, _ in term.equalities)
                values = tuple(value for _, value in term.equalities)
                buckets = self._hashes.get(columns, {})
                bucket = buckets.get(values)
                if bucket is not None:
                    bucket.pop(target, None)
                    if not bucket:
                        del buckets[values]
                    if not buckets:
                        del self._hashes[columns]
        for column, handle in self._range_handles.pop(target, ()):
            index = self._ranges[column]
            index.remove(handle)
            if not len(index):
                del self._ranges[column]
        self._scan.pop(target, None)

    def candidates(self, row: Row, *, whole: bool = True) -> Sequence[T]:
        """The targets ``row`` may match, each once. ``whole``: every value was sent; one that was not may match anything."""
        found: list[T] = []
        for columns, buckets in self._hashes.items():
            bucket = (
                buckets.get(self._key(columns, row)) if len(columns) > 1 else self._single(columns[0], buckets, row)
            )
            if bucket:
                found.extend(bucket)
        for column, index in self._ranges.items():
            text = row[column]
            if text is UNCHANGED or text is UNKNOWN:
                found.extend(index.everything())
            elif text is not None:
                found.extend(index.stab(self._sort[column](text)))
        if self._scan:
            found.extend(self._scan)
        if not whole:
            found.extend(self._undecided(row))
        return found if len(found) < 2 else list(dict.fromkeys(found))

    def _single(self, column: int, buckets: dict[tuple[Any, ...], dict[T, None]], row: Row) -> dict[T, None] | None:
        text = row[column]
        if text is None or text is UNCHANGED or text is UNKNOWN:
            return None  # equality with NULL is never true
        return buckets.get((self._equal[column](text),))

    def _key(self, columns: tuple[int, ...], row: Row) -> tuple[Any, ...]:
        values = []
        for column in columns:
            text = row[column]
            if text is None or text is UNCHANGED or text is UNKNOWN:
                return ()
            values.append(self._equal[column](text))
        return tuple(values)

    def _undecided(self, row: Row) -> list[T]:
        """Targets that compare a column whose value the stream did not send."""
        missing = {index for index, text in enumerate(row) if text is UNCHANGED or text is UNKNOWN}
        return [
            target
            for columns, buckets in self._hashes.items()
            if not missing.isdisjoint(columns)
            for bucket in buckets.values()
            for target in bucket
        ]


def _no_index(text: bytes) -> Any:
    raise TypeError("a column that cannot be compared is in an index")
