"""What a client asks for: a collection, or none, as its role sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.catalog.model import Catalog, Table
from engine.catalog.rights import ADMINISTRATORS, asks_service, seen_by, service_tables
from engine.errors import InvalidQueryError, UnknownCollectionError
from engine.identity.visibility import Viewer
from engine.query.ir.suggestions import did_you_mean

__all__ = ["asked"]

_TABLE: Final = re.compile(r"\w+(\.\w+)?", re.ASCII)
_LONGEST: Final = 127  # characters of a schema and a table


def asked(
    collection: str, spec: Mapping[str, object], catalog: Catalog, viewer: Viewer
) -> tuple[Viewer, Catalog, Table]:
    """For whom and over which tables a query is planned, and the one of its channel.

    Raises ``UnknownCollectionError`` with what to do next, and ``InvalidQueryError`` for SQL over a table of the service.
    """
    if asks_service(catalog, viewer, collection):
        if "sql" in spec:  # it is read with the rights of the server, which a client's SQL must never have
            raise InvalidQueryError(f'"{collection}" takes "where", "select", "orderBy" and "limit", and no SQL')
        viewer, seen = Viewer(ADMINISTRATORS), service_tables(catalog)
    else:
        seen = seen_by(catalog, viewer.role)
    table = seen.by_collection.get(collection)
    if table is None:
        raise _unknown(collection, seen)
    return viewer, seen, table


def _unknown(collection: str, seen: Catalog) -> UnknownCollectionError:
    # Of a table with a problem the subscriber may not know.
    known = {name: table for name, table in seen.by_collection.items() if table.problem is None}
    exposed = next((name for name, table in known.items() if f"{table.schema}.{table.name}" == collection), None)
    if exposed is not None:
        return UnknownCollectionError(
            f"no collection is named {collection!r}; the collection of that table is {exposed!r}"
        )
    meant = did_you_mean(collection, known)
    table = collection if len(collection) <= _LONGEST and _TABLE.fullmatch(collection) else "TABLE"
    step = f"realtime expose {table}"
    return UnknownCollectionError(
        f"no collection is named {collection!r}{meant}{' If not, expose' if meant else '; expose'} the table: {step}"
    )
