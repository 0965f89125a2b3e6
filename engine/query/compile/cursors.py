"""Cursors: tests whether a row lies between a query's start and its end.

A cursor is a prefix of the sort key, so the question is one comparison of tuples, nulls and directions included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import InvalidQueryError
from engine.query.compile.index_terms import RangeTerm
from engine.query.ir.model import Bound, Query
from engine.query.ir.sort_order import KeyPart, SortKey, bound_key, row_key, value_key
from engine.transaction import Row

__all__ = ["bound_range", "inside_bounds"]

Test = Callable[[Row], bool]


def inside_bounds(query: Query, keys: Sequence[SortKey], parts: Sequence[KeyPart]) -> Test | None:
    """A test whether a row lies inside the query's cursors; None if it has none."""
    start = _behind_start(query.start, keys, parts) if query.start else None
    end = _before_end(query.end, keys, parts) if query.end else None
    if start is None or end is None:
        return start or end
    return lambda row: start(row) and end(row)


def _prefix(
    bound: Bound, keys: Sequence[SortKey], parts: Sequence[KeyPart]
) -> tuple[Callable[[Row], tuple[Any, ...]], tuple[Any, ...]]:
    if not 0 < len(bound.values) <= len(parts):
        raise InvalidQueryError(f"a cursor has {len(bound.values)} values, but the order has {len(parts)} sort keys")
    values = [None if value is None else value.encode() for value in bound.values]
    used = tuple(parts[: len(values)])
    own = [
        replace(part, key=bound_key(key, bound, place, descending=key.descending))
        for place, (part, key) in enumerate(zip(used, keys, strict=False))
    ]
    return row_key(used), value_key(own, values)


def _behind_start(bound: Bound, keys: Sequence[SortKey], parts: Sequence[KeyPart]) -> Test:
    key, limit = _prefix(bound, keys, parts)
    return (lambda row: key(row) >= limit) if bound.inclusive else (lambda row: key(row) > limit)


def _before_end(bound: Bound, keys: Sequence[SortKey], parts: Sequence[KeyPart]) -> Test:
    key, limit = _prefix(bound, keys, parts)
    return (lambda row: key(row) <= limit) if bound.inclusive else (lambda row: key(row) < limit)


def bound_range(query: Query, keys: Sequence[SortKey], parts: Sequence[KeyPart]) -> RangeTerm | None:
    """The range of the first sort key that the cursors allow, for the matcher; None if there is no such range.

    A row whose first key is null is in no range, so a cursor that admits such rows gives None.
    """
    if not keys or keys[0].codec.sort is None:
        return None
    first = keys[0]
    low: tuple[Any, bool] | None = None
    high: tuple[Any, bool] | None = None
    for bound, at_start in ((query.start, True), (query.end, False)):
        if bound is None or bound.values[0] is None:
            continue
        if not first.column.not_null and first.nulls_first is not at_start:
            continue
        sort = bound_key(first, bound, 0, descending=False)
        end = (sort(bound.values[0].encode()), bound.inclusive or len(bound.values) > 1)
        if at_start is not first.descending:
            low = end
        else:
            high = end
    if low is None and high is None:
        return None
    low_value, low_inclusive = low or (None, True)
    high_value, high_inclusive = high or (None, True)
    return RangeTerm(parts[0].index, low_value, low_inclusive, high_value, high_inclusive)
