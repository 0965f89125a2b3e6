"""Which exposed table or column a name in SQL may have meant, for those that PostgreSQL does not find.

Only what the subscriber may read is compared, so a suggestion depends on the name alone, and not on whether something hidden
has that name.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.catalog.model import Catalog, Table
from engine.errors import PermissionDeniedError
from engine.postgres.identifiers import quoted_name
from engine.query.ir.suggestions import nearest
from engine.query.sql.parsing.syntax import Reference

__all__ = ["UnknownColumnError", "near_column", "near_table"]


class UnknownColumnError(PermissionDeniedError):
    """A column that does not exist, or is not exposed. ``name``: as SQL reads it, so in lower case unless it was quoted."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def near_table(wanted: Reference, seen: Catalog) -> str:
    """``; did you mean "todos"?``, or "" if no table is like ``wanted``, or the collection of one.

    A table of a schema other than ``public`` is given with it: whether it is in the path of the session is not known here.
    """
    tables = [
        table
        for table in seen.by_collection.values()
        if table.problem is None and not table.built_in and wanted.schema in (None, table.schema)
    ]
    names = {name: table for table in tables for name in (table.collection, table.name)}
    meant = nearest(wanted.name, names)
    if meant is None:
        return ""
    parts = (names[meant].name,) if names[meant].schema == "public" else (names[meant].schema, names[meant].name)
    return f"; did you mean {'.'.join(map(quoted_name, parts))}?"


def near_column(wanted: str, tables: Iterable[Table]) -> str:
    """As :func:`near_table`, of the columns of ``tables``; with the reason, if ``wanted`` is the field of a document."""
    columns = {column.name: column for table in tables for column in table.exposed_columns}
    fields = {name: column.field for name, column in columns.items() if column.field != name}
    meant = next((name for name, field in fields.items() if wanted in (field, field.lower())), None)
    if meant is not None:
        return f"; did you mean {quoted_name(meant)}? SQL has the column's own name, documents have {fields[meant]!r}"
    meant = nearest(wanted, columns)
    return f"; did you mean {quoted_name(meant)}?" if meant is not None else ""
