"""The model of a live query, independent of the form it was written in.

The builder's JSON and a single-table SQL ``SELECT`` both end as a :class:`Query`. Columns are named as the table names them;
values are text in PostgreSQL's own output form (``None``: SQL NULL), made canonical by Postgres itself before a query is
compiled, so two queries are the same query exactly if they are equal here. Semantics are SQL's: three-valued logic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "And",
    "Bound",
    "Compare",
    "IsNull",
    "Not",
    "NotNull",
    "Or",
    "OrderBy",
    "Predicate",
    "Query",
    "compares",
]


@dataclass(frozen=True, slots=True)
class Compare:
    """``column operator values``.

    ``operator`` is one of ``== != < <= > >= like ilike`` (one value), ``in not-in`` (any number),
    ``array-contains`` (one element), ``array-contains-any`` (elements). ``type`` is the SQL type the values
    were read as, never a domain: the column's own, the element's for the array operators, or a wider one for a number
    that the column's cannot hold (a fraction compared with an integer: ``numeric``).
    """

    column: str
    operator: str
    values: tuple[str | None, ...]
    type: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """``column IS NULL``; of a composite also if all its fields are NULL (docs: "Comparison Functions and Operators")."""

    column: str


@dataclass(frozen=True, slots=True)
class NotNull:
    """``column IS NOT NULL`` of a composite: it and all its fields are not NULL. Elsewhere that is ``Not(IsNull)``."""

    column: str


@dataclass(frozen=True, slots=True)
class And:
    """True if all are; unknown if none is false and one is unknown. No items: true."""

    items: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True if one is; unknown if none is true and one is unknown. No items: false."""

    items: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Unknown stays unknown."""

    item: Predicate


Predicate = Compare | IsNull | NotNull | And | Or | Not


def compares(predicate: Predicate) -> Iterator[Compare]:
    """The comparisons in a predicate."""
    match predicate:
        case Compare():
            yield predicate
        case Not(item):
            yield from compares(item)
        case And(items) | Or(items):
            for item in items:
                yield from compares(item)


@dataclass(frozen=True, slots=True)
class OrderBy:
    """One sort key. PostgreSQL's defaults: nulls last ascending, nulls first descending."""

    column: str
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A cursor: values for the leading sort keys (the appended primary key may follow), in or out.

    ``types``: the SQL types the values were read as, as :class:`Compare` has it; none: those of the columns.
    """

    values: tuple[str | None, ...]
    inclusive: bool
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """Filter, order, limit and cursors over one collection.

    ``projection`` is ``(column, output name)`` pairs in output order; None: every exposed column under its
    client name. ``asked``: in which words, where other definitions could make another projection of them: ``*`` of SQL;
    ``select`` and the fields in the builder's. It is here so that queries are equal only if they stay so.
    ``limit`` None: no limit. The primary key, appended as the last sort key, is not listed. ``count``: how many rows these
    are, in place of them.
    """

    collection: str
    where: Predicate | None = None
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None
    start: Bound | None = None
    end: Bound | None = None
    projection: tuple[tuple[str, str], ...] | None = None
    count: bool = False
    asked: tuple[str, ...] = ()
