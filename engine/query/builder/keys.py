"""One document by its key: the values of a collection's primary key, or the id of a document, which is their text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.oids import JSON_OIDS
from engine.query.builder.values import string_text, value_text
from engine.query.ir.model import And, Compare, Predicate
from engine.values.exact_json import shown
from engine.values.pg_types import Column

__all__ = ["key_condition", "key_texts"]

_BOOL_OID = 16


def key_condition(given: object, table: Table) -> Predicate:
    """The condition that is true of the document ``given`` alone: see :func:`key_texts`."""
    columns = [table.columns[index] for index in table.primary_key]
    texts = key_texts(given, table, "doc")
    compares = tuple(
        Compare(column.name, "==", (text,), type_name) for column, (text, type_name) in zip(columns, texts, strict=True)
    )
    return compares[0] if len(compares) == 1 else And(compares)


def key_texts(given: object, table: Table, name: str) -> list[tuple[str, str]]:
    """The text of each column of the primary key, in its order, and the type it is read as.

    Args:
        given: the values of the key, or the only one; in place of all of them a document's id. A string is a value as
            PostgreSQL prints it, which ids consist of.
        name: of what has it in the query.

    Raises ``InvalidQueryError`` if it is not a key of the table.
    """
    columns = [table.columns[index] for index in table.primary_key]
    if not columns:
        raise InvalidQueryError(f"{name!r}: the table of {table.collection!r} has no primary key to find a document by")
    values: Sequence[object] = given if isinstance(given, list) else [given]
    if len(columns) > 1 and len(values) == 1:
        values = _parts(values[0])
    if len(values) != len(columns):
        key = ", ".join(column.field for column in columns)
        raise InvalidQueryError(
            f"{name!r} is the id of a document, or the values of its key ({key}), not {shown(given)}"
        )
    return [_text(value, column) for value, column in zip(values, columns, strict=True)]


def _parts(id: object) -> Sequence[object]:
    """The texts of which the id of a composite key is made; none if it is not one."""
    try:
        parts = json.loads(id) if isinstance(id, str) else ()
    except (ValueError, RecursionError):
        return ()
    return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else ()


def _text(value: object, column: Column) -> tuple[str, str]:
    base = column.type.compared
    if isinstance(value, str) and (base.oid in JSON_OIDS or base.oid == _BOOL_OID or base.kind == "array"):
        return string_text(value, column), base.name  # these are no JSON strings elsewhere
    return value_text(value, column.type, column)
