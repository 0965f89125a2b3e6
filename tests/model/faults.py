"""What SQL and a database's administrator do to the service, and looks into its tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg

from engine.postgres.connections.session_settings import connection_options
from tests.support.nodes.server_nodes import ModelNode

__all__ = ["Faults"]

GIVE_UP_AFTER = 60.0
"""Seconds until the tables must have come to rest; more than it takes to give up on a dead node."""

_STATEMENTS = {
    "mark": "select realtime.broadcast('public:control', 'mark', jsonb_build_object('n', %s::int))",
    "to all": "select realtime.broadcast_all('note', jsonb_build_object('n', %s::int))",
    "to users": "select realtime.broadcast_users(%s, 'note', jsonb_build_object('n', %s::int))",
    "kick": "select realtime.kick(%s, %s, 'enough')",
    "disconnect": "select realtime.disconnect(user_id => %s)",
    "create": "select realtime.create_channel('room:life', presence_timeout => '300 ms')",
    "update": "select realtime.update_channel('room:life', "
    "jsonb_build_object('metadata', jsonb_build_object('n', %s::int)))",
    "close": "select realtime.close_channel('room:life')",
    "messages_recorded": "select count(*) from realtime.messages m where not exists"
    " (select from realtime.commits c where c.channel = m.channel and c.xid = m.xid)",
    "present": "select channel, user_id, connection_id from realtime.presence order by 1, 2, 3",
    "leaving": "select count(*) from realtime.presence where left_at is not null or typing_until is not null",
    "backends": "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
    " and application_name like %s and pid <> pg_backend_pid()",
    "walsender": "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s and active",
    "node": "delete from realtime.nodes where id = (select node from realtime.slots where name = %s) returning id",
    "drop_slot": "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s and not active",
}
_EXPECTED = ("42710", "RT004", "40P01")


class Faults:
    """Named statements, each on a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def execute(self, name: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement. What the service refuses with good reason (a room that is there already) is no error."""
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, options=connection_options(), application_name="tester"
        )
        async with connection:
            try:
                cursor = await connection.execute(_STATEMENTS[name].encode(), parameters or None)
                return await cursor.fetchall()
            except psycopg.Error as error:
                if error.sqlstate not in _EXPECTED:
                    raise
                return []

    async def rows_until(self, name: str, condition: Callable[[list[tuple[Any, ...]]], bool], about: str = "") -> None:
        """Ask until the answer is right."""
        rows: list[tuple[Any, ...]] = []
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                while not condition(rows := await self.execute(name)):  # noqa: ASYNC110 - the database has no event
                    await asyncio.sleep(0.05)
        except TimeoutError as late:
            raise AssertionError(f"{name} did not come to rest: {json.dumps(rows, default=str)}; {about}") from late

    async def drop_slot(self, node: ModelNode) -> None:
        """Take a node's slot away. It may win the race and keep it."""
        for _ in range(20):
            await self.execute("walsender", node.slot)
            try:
                if await self.execute("drop_slot", node.slot):
                    node.gaps += 1
                    return
            except psycopg.errors.ObjectInUse:
                continue
