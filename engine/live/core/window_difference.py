"""The changes of a transaction in the list of a window, as a client applies them. No I/O, and no work for untouched rows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.live.core.document_changes import ADDED, MODIFIED, REMOVED, DocChange, at_once
from engine.live.core.places import Places, longest_increasing
from engine.live.core.previous_rows import PreviousRows
from engine.live.core.rows import Identity, Row, SortKey

if TYPE_CHECKING:
    from engine.query.compile.plan import IncrementalPlan

__all__ = ["Difference"]

_NONE_PLACED = (None, None, (), ())
_MAX_ROUNDS = 4  # then all of the rows are changes: right, but more than needed


class Difference:
    """The difference between the list before a transaction and the store after it.

    Args:
        plan: whose documents the list has.
        before: the list.
        touched: the key and row of each row that the transaction touched, as they were; None: it was not in the store.
        keys, rows: the store, sorted; ``now``: its keys by identity; ``shown``: how many of its rows the list has now.
        narrow: a document has fewer columns than a row, so rows that differ may be the same document.
    """

    __slots__ = ("_before", "_keys", "_narrow", "_now", "_placed", "_plan", "_removed", "_rows", "_shown", "_touched")

    def __init__(  # noqa: PLR0913
        self,
        plan: IncrementalPlan,
        before: PreviousRows[Row],
        touched: Mapping[Identity, tuple[SortKey | None, Row | None]],
        keys: list[SortKey],
        rows: list[Row],
        now: Mapping[Identity, SortKey],
        shown: int,
        narrow: bool,
    ) -> None:
        self._plan = plan
        self._before = before
        self._touched = touched
        self._keys, self._rows, self._now, self._shown = keys, rows, now, shown
        self._narrow = narrow
        self._removed: list[tuple[SortKey, Row]] = []  # old keys
        self._placed: list[tuple[SortKey, SortKey | None, Row, Row]] = []  # new keys, old keys, rows, old rows

    def changes(self) -> list[DocChange]:
        """The changes in the order to apply them."""
        keys, rows, removed, placed = self._keys, self._rows, self._removed, self._placed
        last_before = self._before.last
        last_after = keys[self._shown - 1] if self._shown else None
        old_shown = new_shown = 0
        alike: list[tuple[SortKey, SortKey]] = []
        for identity, (old_key, old_row) in self._touched.items():
            new_key = self._now.get(identity)
            was = old_key is not None and last_before is not None and old_key <= last_before
            old_shown += was
            if new_key is not None and last_after is not None and new_key <= last_after:
                new_shown += 1
                row = rows[bisect_left(keys, new_key)]
                if not was or old_key is None or old_row is None:
                    placed.append((new_key, None, row, row))
                elif self._other_document(old_row, row):
                    removed.append((old_key, old_row))
                    placed.append((new_key, None, row, row))
                elif new_key != old_key or self._differs(old_row, row):
                    placed.append((new_key, old_key, row, old_row))
                    if self._narrow and new_key != old_key and not self._differs(old_row, row):
                        alike.append((old_key, new_key))
            elif was and old_key is not None and old_row is not None:
                removed.append((old_key, old_row))
        crossing = (self._before.size - old_shown) - (self._shown - new_shown)
        if crossing:
            self._cross(crossing)
        if alike:
            self._leave_out(alike)
        return self._pair() if len(removed) <= 1 and len(placed) <= 1 else self._sequence()

    def _cross(self, crossing: int) -> None:
        """Rows that nothing touched cross the limit when the number of touched rows above it changes; they are the last
        ones. ``crossing``: how many leave; below 0: how many come.
        """
        keys, rows, last_before = self._keys, self._rows, self._before.last
        new_keys = {self._now.get(identity) for identity in self._touched}
        end = self._shown if crossing < 0 or last_before is None else bisect_right(keys, last_before)
        index = end
        while crossing:
            index -= 1
            key = keys[index]
            if key in new_keys:
                continue
            if crossing > 0:
                self._removed.append((key, rows[index]))
                crossing -= 1
            else:
                self._placed.append((key, None, rows[index], rows[index]))
                crossing += 1

    def _leave_out(self, alike: list[tuple[SortKey, SortKey]]) -> None:
        """Of rows that have another key (``alike``: the old ones and the new ones), but the same document, those that keep
        their places are no changes.

        They keep their order among each other, no untouched row is between the old and the new key of one, and no old key of
        a row that remains a change: so it does not matter by which of its keys its place is found.
        """
        staying = alike
        if len(alike) > 1:
            alike.sort(key=_first)
            news = sorted(new for _, new in alike)
            in_order = at_once(longest_increasing([bisect_left(news, new) for _, new in alike]))
            staying = [(old, new) for old, new in alike if bisect_left(news, new) in in_order]
        for _ in range(_MAX_ROUNDS):
            news = [new for _, new in staying]
            placed = [each for each in self._placed if not _is_in(news, each[0])]
            olds = sorted([old for _, old, _, _ in placed if old is not None] + [key for key, _ in self._removed])
            coming = sorted(key for key, _, _, _ in placed)
            found = [pair for pair in staying if not self._passes(pair, news, coming, olds)]
            if len(found) == len(staying):
                self._placed[:] = placed
                return
            staying = found  # the others are changes, whose old keys count in the next round

    def _passes(
        self, pair: tuple[SortKey, SortKey], news: list[SortKey], coming: list[SortKey], olds: list[SortKey]
    ) -> bool:
        low, high = sorted(pair)
        untouched = min(bisect_left(self._keys, high), self._shown) - min(bisect_left(self._keys, low), self._shown)
        return untouched - _between(news, low, high) - _between(coming, low, high) + _between(olds, low, high) > 0

    def _pair(self) -> list[DocChange]:
        """The changes if one document leaves at most, and one comes, changes or moves: as :meth:`_sequence` has them."""
        doc_id, encode, keys = self._plan.doc_id, self._plan.encode, self._keys
        key, old_key, row, old_row = self._placed[0] if self._placed else _NONE_PLACED
        changes: list[DocChange] = []
        if self._removed:
            leaving, was = self._removed[0]
            index = min(bisect_left(keys, leaving), self._shown)
            index += (old_key is not None and old_key < leaving) - (key is not None and key < leaving)
            changes.append(DocChange(REMOVED, index, -1, doc_id(was), encode(was)))
        if key is not None:
            index = bisect_left(keys, key)
            if old_key is None:
                changes.append(DocChange(ADDED, -1, index, doc_id(row), encode(row)))
            else:
                old_index = min(bisect_left(keys, old_key), self._shown) - (key < old_key)
                changes.append(DocChange(MODIFIED, old_index, index, doc_id(row), encode(row), (encode, old_row)))
        return changes

    def _sequence(self) -> list[DocChange]:
        """The changes, with indexes as a client will see them."""
        doc_id, encode = self._plan.doc_id, self._plan.encode
        removed, placed = self._removed, self._placed
        removed.sort(key=_first)
        placed.sort(key=_first)
        places = Places(
            self._keys,
            self._shown,
            [key for key, _ in removed],
            [old_key for _, old_key, _, _ in placed if old_key is not None],
            [key for key, _, _, _ in placed],
        )
        changes: list[DocChange] = []
        for key, row in reversed(removed):
            changes.append(DocChange(REMOVED, places.leave(key), -1, doc_id(row), encode(row)))
        for key, old_key, row, old_row in placed:
            if old_key is None:
                changes.append(DocChange(ADDED, -1, places.put(key), doc_id(row), encode(row)))
                continue
            old_index = places.take(old_key)
            was = (encode, old_row)
            changes.append(DocChange(MODIFIED, old_index, places.put(key), doc_id(row), encode(row), was))
        return changes

    def _other_document(self, old_row: Row, row: Row) -> bool:
        """The replica identity stayed (it is another index than the primary key), the primary key did not."""
        primary_key = self._plan.table.primary_key
        return primary_key != self._plan.table.identity and any(old_row[i] != row[i] for i in primary_key)

    def _differs(self, old_row: Row, row: Row) -> bool:
        if old_row == row:
            return False
        return not self._narrow or self._plan.encode(old_row) != self._plan.encode(row)


def _between(keys: list[SortKey], low: SortKey, high: SortKey) -> int:
    return bisect_left(keys, high) - bisect_left(keys, low)


def _is_in(keys: list[SortKey], key: SortKey) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key


def _first(item: tuple[Any, ...]) -> SortKey:
    key: SortKey = item[0]
    return key
