"""The types of the documents of a database are read, written, and compared with a file."""

from __future__ import annotations

import difflib
from pathlib import Path

from engine.catalog.load import load_catalog
from engine.postgres.connections.conninfo import answer_timeout
from engine.postgres.connections.opening import connect
from engine.postgres.statements.named_queries import query
from server.cli.terminal.files import read_text
from server.cli.types.comments import types_in
from server.cli.types.shapes import Collection, collections_of

__all__ = ["difference", "read_collections"]


async def read_collections(dsn: str) -> list[Collection]:
    """The exposed collections of a database. Raises ``CatalogError``, ``TypeCommentError`` and ``psycopg.Error``."""
    async with await connect(dsn, "realtime types", answer_timeout=answer_timeout(dsn)) as connection:
        catalog = await load_catalog(connection)
        tables = catalog.by_collection.values()
        cursor = await connection.execute(query("column_comments").encode(), [[table.oid for table in tables]])
        exposed = {(table.oid, column.attnum) for table in tables for column in table.exposed_columns}
        comments = [row for row in await cursor.fetchall() if row[:2] in exposed]
        return collections_of(catalog, types_in(comments))


def difference(path: Path, text: str) -> str:
    """What a file lacks of ``text``, and has besides; empty if it is equal. A file that is not there has nothing.

    Raises ``FileError``.
    """
    present = read_text(path) if path.exists() else ""
    before, after = present.splitlines(keepends=True), text.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, str(path), "realtime types"))
