"""Whether a pooler leads to the database that the stream is of."""

from __future__ import annotations

from typing import Any

import psycopg

from engine.errors import FeedError
from engine.postgres.connections.conninfo import address, parameters
from engine.postgres.connections.opening import PooledConnection, connect
from engine.postgres.statements.named_queries import query

__all__ = ["check_pooler"]


async def check_pooler(dsn: str, pooled_dsn: str) -> None:
    """Raise ``FeedError`` unless ``pooled_dsn`` leads to the same server and database: rows and the stream must agree."""
    through = parameters(pooled_dsn, "realtime check", pooled=True)
    pooler: PooledConnection[Any] = await PooledConnection.connect(pooled_dsn, prepare_threshold=None, **through)
    async with pooler, await connect(dsn, "realtime check", autocommit=True) as direct:
        ours, theirs = await _identity(direct), await _identity(pooler)
    if ours != theirs:
        raise FeedError(
            f"pooled_dsn ({address(pooled_dsn)}) leads to another server or database than dsn ({address(dsn)}): "
            "both must lead to the same database of the primary"
        )


async def _identity(connection: psycopg.AsyncConnection[Any]) -> object:
    return await (await connection.execute(query("server_identity").encode())).fetchone()
