"""The order of a query's rows: one list of sort keys, from which both the SQL and the Python key are made.

The primary key is appended as the last sort keys, so the order is total and the same everywhere. Text there is compared
bytewise (``COLLATE "C"``): as a tie-break any order serves, and this one can be reproduced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.oids import TEXT_OIDS
from engine.query.ir.comparison import INTEGER_NAMES, NotIncrementalError, describe
from engine.query.ir.model import Bound, OrderBy, Query
from engine.transaction import Row, Value
from engine.values import Codec, codec_for, column_codec
from engine.values.pg_types import Collation, Column
from engine.values.sort_keys import ascending_numeric, descending_numeric

__all__ = ["KeyPart", "SortKey", "bound_key", "key_parts", "row_key", "sort_keys", "value_key"]

_ORDERS = 256  # orders of tables whose keys are kept: queries that differ in their values alone have one
_C = Collation("C", deterministic=True, bytewise=True, ascii_case=True)


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of the total order. ``collate_c``: compare with ``COLLATE "C"`` (an appended primary-key column)."""

    column: Column
    descending: bool
    nulls_first: bool
    collate_c: bool = False

    @property
    def codec(self) -> Codec:
        """The codec that sorts this key."""
        if not self.collate_c:
            return column_codec(self.column)
        own = self.column.collation or _C
        return codec_for(self.column.type, replace(_C, bytewise=own.c_is_utf8, injective=own.injective))


@dataclass(frozen=True, slots=True)
class KeyPart:
    """How one sort key of a row becomes part of a tuple. ``null_flag`` None: never null, else 0 (first) or 1 (last)."""

    index: int
    key: Callable[[bytes], Any]
    null_flag: int | None


def sort_keys(query: Query, table: Table) -> tuple[SortKey, ...]:
    """The query's sort keys, each column once, followed by what is missing of the primary key.

    Raises ``InvalidQueryError`` for a column the table does not have.
    """
    return _sort_keys(query.order_by, table)


@lru_cache(maxsize=_ORDERS)
def _sort_keys(order_by: tuple[OrderBy, ...], table: Table) -> tuple[SortKey, ...]:
    keys: dict[str, SortKey] = {}
    for order in order_by:
        column = table.by_name.get(order.column)
        if column is None:
            raise InvalidQueryError(f"{table.collection} has no column {order.column!r} to order by")
        keys.setdefault(order.column, SortKey(column, order.descending, order.nulls_first))
    for index in table.primary_key:
        column = table.columns[index]
        collate = column.type.underlying.oid in TEXT_OIDS and not (column.collation and column.collation.bytewise)
        keys.setdefault(column.name, SortKey(column, descending=False, nulls_first=False, collate_c=collate))
    return tuple(keys.values())


def key_parts(query: Query, table: Table) -> tuple[KeyPart, ...] | SortKey:
    """The parts of the Python key, or the sort key whose order cannot be reproduced. Raises as :func:`sort_keys`."""
    return _key_parts(query.order_by, table)


@lru_cache(maxsize=_ORDERS)
def _key_parts(order_by: tuple[OrderBy, ...], table: Table) -> tuple[KeyPart, ...] | SortKey:
    parts: list[KeyPart] = []
    for key in _sort_keys(order_by, table):
        function = key.codec.descend if key.descending else key.codec.sort
        if function is None or not key.column.streamed:
            return key
        flag = None if key.column.not_null else 0 if key.nulls_first else 1
        parts.append(KeyPart(table.index[key.column.name], function, flag))
    return tuple(parts)


def bound_key(key: SortKey, bound: Bound, place: int, *, descending: bool) -> Callable[[bytes], Any]:
    """The key of the cursor's value at ``place``, which may be of a wider type than its column: 1.5 among integers.

    Raises ``NotIncrementalError`` if its order among the column's values is not known.
    """
    own = key.column.type.compared.name
    type_name = bound.types[place] if bound.types else own
    if type_name == "numeric" and own in INTEGER_NAMES:
        return descending_numeric if descending else ascending_numeric
    function = key.codec.descend if descending else key.codec.sort
    if type_name != own or function is None:
        raise NotIncrementalError(f"{describe(key.column)} is compared with a value of type {type_name}")
    return function


def value_key(parts: Sequence[KeyPart], values: Sequence[Value]) -> tuple[Any, ...]:
    """The key that a row with these ``values`` would have; a prefix of the whole key if there are fewer values.

    A part that may be null takes two places: whether it is, and the value.
    """
    flat: list[Any] = []
    for part, value in zip(parts, values, strict=False):
        if part.null_flag is None:
            if value is None:
                raise InvalidQueryError("null is compared with a sort key that is never null")
            flat.append(part.key(value))
        elif value is None:
            flat += (part.null_flag, None)
        else:
            flat += (1 - part.null_flag, part.key(value))
    return tuple(flat)


@lru_cache(maxsize=256)
def row_key(parts: tuple[KeyPart, ...]) -> Callable[[Row], tuple[Any, ...]]:
    """A function from a row (in the table's layout) to its key; the usual shapes without a loop. One for equal parts."""
    flags = [part.null_flag for part in parts]
    if flags == [None]:
        return _one(parts[0])
    if flags == [None, None]:
        return _two(parts[0], parts[1])
    if len(flags) == 2 and flags[1] is None:
        return _nullable_then_one(parts[0], parts[1])
    return _any(tuple(parts))


def _one(part: KeyPart) -> Callable[[Row], tuple[Any, ...]]:
    index, function = part.index, part.key
    return lambda row: (function(row[index]),)  # type: ignore[arg-type]


def _two(first: KeyPart, second: KeyPart) -> Callable[[Row], tuple[Any, ...]]:
    i, f = first.index, first.key
    j, g = second.index, second.key
    return lambda row: (f(row[i]), g(row[j]))  # type: ignore[arg-type]


def _nullable_then_one(first: KeyPart, second: KeyPart) -> Callable[[Row], tuple[Any, ...]]:
    i, f, null_flag = first.index, first.key, first.null_flag or 0
    j, g = second.index, second.key
    value_flag = 1 - null_flag

    def key(row: Row) -> tuple[Any, ...]:
        value = row[i]
        last = g(row[j])  # type: ignore[arg-type]
        return (null_flag, None, last) if value is None else (value_flag, f(value), last)

    return key


def _any(parts: tuple[KeyPart, ...]) -> Callable[[Row], tuple[Any, ...]]:
    indexes = [part.index for part in parts]
    return lambda row: value_key(parts, [row[index] for index in indexes])
