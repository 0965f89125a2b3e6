"""How one comparison of a column with literals is made in Python, if it can be made exactly as in SQL.

The literal's type decides which operator PostgreSQL picks; only the pairs below have one that is reproduced here. Anything
else raises :class:`NotIncrementalError`, and the query is re-read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from engine.catalog.model import Table
from engine.errors import BunbaseError
from engine.query.ir.model import Compare
from engine.values import Codec
from engine.values.pg_types import Column
from engine.values.sort_keys import ascending_numeric

__all__ = [
    "INTEGER_NAMES",
    "NEGATED",
    "Comparison",
    "NotIncrementalError",
    "comparison_of",
    "describe",
    "indexed_column",
]

# NOT (a op b) is a NEGATED[op] b, unknown staying unknown
NEGATED = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not-in",
    "not-in": "in",
}

INTEGER_NAMES = frozenset({"smallint", "integer", "bigint"})
_TEXT_NAMES = frozenset({"text", "character varying"})
_NUMERIC = Codec(equal=ascending_numeric, sort=ascending_numeric)
_AGAINST_NUMERIC = Codec(equal=int, sort=int)


class NotIncrementalError(BunbaseError):
    """The query cannot be followed from the stream: Python cannot decide a condition exactly as PostgreSQL does, or the SQL
    is more than filter, order and limit over one table. The message has the reason, for the user.
    """


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column and a literal made comparable. ``row`` and ``literal`` are the codecs for either side.

    ``mixed``: an integer column is compared with a ``numeric`` literal; keys compare, but differ from the column's own.
    """

    column: Column
    index: int
    row: Codec
    literal: Codec
    mixed: bool = False

    def row_equal(self) -> Callable[[bytes], Hashable]:
        """The function that gives a row's side of ``=``."""
        if self.row.equal is None:
            raise NotIncrementalError(f"equality of {describe(self.column)} cannot be reproduced")
        return self.row.equal

    def row_sort(self) -> Callable[[bytes], Any]:
        """The function that gives a row's side of ``<``."""
        if self.row.sort is None:
            raise NotIncrementalError(f"the order of {describe(self.column)} cannot be reproduced")
        return self.row.sort

    def literal_equal(self, text: str) -> Hashable:
        """The literal's side of ``=``."""
        if self.literal.equal is None:
            raise NotIncrementalError(f"equality of {describe(self.column)} cannot be reproduced")
        return self.literal.equal(text.encode())

    def literal_sort(self, text: str) -> Any:
        """The literal's side of ``<``."""
        if self.literal.sort is None:
            raise NotIncrementalError(f"the order of {describe(self.column)} cannot be reproduced")
        return self.literal.sort(text.encode())


def describe(column: Column) -> str:
    """The column with what matters of its type, for messages."""
    collation = f" under collation {column.collation.name}" if column.collation else ""
    return f"column {column.name!r} ({column.type.name}{collation})"


def indexed_column(name: str, table: Table) -> tuple[Column, int]:
    """A column that rows carry, with its place in the layout. Raises ``NotIncrementalError`` if they do not."""
    index = table.index.get(name)
    if index is None:
        known = name in table.by_name
        raise NotIncrementalError(
            f"column {name!r} is not in the replication stream" if known else f"no column {name!r}"
        )
    return table.columns[index], index


def comparison_of(compare: Compare, table: Table) -> Comparison:
    """The comparison behind ``== != < <= > >= in not-in``. Raises ``NotIncrementalError``."""
    column, index = indexed_column(compare.column, table)
    own = table.codecs[index]
    type_, literal = column.type.compared.name, compare.type
    if literal in (type_, column.type.name) or {type_, literal} <= _TEXT_NAMES or {type_, literal} <= INTEGER_NAMES:
        return Comparison(column, index, own, own)
    if type_ in INTEGER_NAMES and literal == "numeric":
        return Comparison(column, index, _AGAINST_NUMERIC, _NUMERIC, mixed=True)
    if type_ == "numeric" and literal in INTEGER_NAMES:
        return Comparison(column, index, own, own)
    raise NotIncrementalError(f"{describe(column)} is compared with a value of type {literal}")
