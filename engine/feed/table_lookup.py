"""Looks up the tables of a stream that carries only their names (wal2json) in the catalog."""

from __future__ import annotations

from engine.feed.decoders.base import TableDescription
from engine.postgres.reconnecting import Database
from engine.transaction import Relation, RelationColumn

__all__ = ["describe_table"]


async def describe_table(database: Database, schema: str, table: str) -> TableDescription | None:
    """The current description of a table or partition; None if it belongs to no exposed or published table.

    The description can be newer than the stream. The ``realtime.ddl`` message of the newer definition then corrects it.
    """
    rows = await database.rows("feed_relation", schema=schema, table=table)
    if not rows:
        return None
    row = rows[0]
    columns = tuple(
        RelationColumn(name, type_oid, type_mod, key, attnum)
        for name, type_oid, type_mod, key, attnum in zip(
            row["names"], row["types"], row["mods"], row["keys"], row["attnums"], strict=True
        )
        if name is not None
    )
    relation = Relation(row["oid"], row["schema"], row["name"], row["replica_identity"], columns)
    return TableDescription(relation, row["partition"], row["full"])
