"""The client's form of a row: its document (a JSON object) and its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from orjson import dumps

from engine.catalog.model import Table
from engine.query.ir.comparison import NotIncrementalError, describe, indexed_column
from engine.query.ir.model import Query
from engine.transaction import Row
from engine.values import same
from engine.values.json_form import Encoder

__all__ = ["document_encoder", "document_id", "projection"]

_MAX_KEPT = 100  # columns of a document whose encoder is kept for other queries


def projection(query: Query, table: Table) -> tuple[tuple[str, str], ...]:
    """(column, output name) of the documents: the query's own, or every exposed column under its client name."""
    if query.projection is not None:
        return query.projection
    return _everything(table)


@lru_cache(maxsize=256)
def _everything(table: Table) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.field) for column in table.exposed_columns)


def document_encoder(query: Query, table: Table) -> Callable[[Row], bytes]:
    """A function that writes a row's document. Raises ``NotIncrementalError`` for a column it cannot write exactly.

    One function for all queries that show the same columns: among 100,000 windows it then stays in the processor cache.
    """
    shown = projection(query, table)
    if len(shown) > _MAX_KEPT:  # a client chooses the names, so the memory these would take
        return _make_encoder(table, shown)
    return _encoder(table, shown)


def _make_encoder(table: Table, shown: tuple[tuple[str, str], ...]) -> Callable[[Row], bytes]:
    # The document is a template with a hole for each value; only the values are made per row.
    template: list[bytes] = []
    holes: list[tuple[int, Encoder]] = []
    for name, output in shown:
        column, index = indexed_column(name, table)
        encoder = table.codecs[index].json
        if encoder is None:
            raise NotIncrementalError(f"the JSON form of {describe(column)} cannot be reproduced")
        template.append(dumps(output).replace(b"%", b"%%") + b":%b")
        holes.append((index, encoder))
    return _fill(b"{" + b",".join(template) + b"}", holes)


_encoder = lru_cache(maxsize=256)(_make_encoder)


def _fill(template: bytes, holes: Sequence[tuple[int, Encoder]]) -> Callable[[Row], bytes]:
    # A number is its own JSON: no call for it, which is a good part of the cost of a row.
    parts = tuple((index, None if encoder is same else encoder) for index, encoder in holes)

    def encode(row: Row) -> bytes:
        return template % tuple(
            [
                b"null" if (value := row[index]) is None else value if encoder is None else encoder(value)
                for index, encoder in parts
            ]
        )

    return encode


@lru_cache(maxsize=256)
def document_id(table: Table) -> Callable[[Row], str]:
    """A function that gives a row's id: the primary key's text; a composite key as a compact JSON array of texts.

    Raises ``NotIncrementalError`` if there is no primary key.
    """
    if not table.primary_key:
        raise NotIncrementalError(f"{table.schema}.{table.name} has no primary key in the replication stream")
    if len(table.primary_key) == 1:
        index = table.primary_key[0]
        return lambda row: (row[index] or b"").decode()
    indexes = table.primary_key
    return lambda row: dumps([(row[index] or b"").decode() for index in indexes]).decode()
