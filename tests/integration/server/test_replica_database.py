"""A database or role with ``session_replication_role = replica``: the server's own sessions write as ``origin``."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from websockets.asyncio.client import ClientConnection

from engine.postgres.connections.opening import connect, connect_now
from engine.postgres.connections.refused_logins import ReplicaRoleError
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from tests.support.clients.list_client import TABLE, TOP, list_client, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving


@pytest.fixture
def replica(database: str) -> str:
    write(database, *TABLE.strip().split(";"))
    name = conninfo_to_dict(database)["dbname"]
    write(database, f'alter database "{name}" set session_replication_role = replica')
    return database


async def answer(client: ClientConnection, message: dict[str, Any], *types: str) -> dict[str, Any]:
    """Send ``message``; returns the next message of one of these types."""
    await client.send(json.dumps(message))
    async with asyncio.timeout(GIVE_UP_AFTER):
        while (received := json.loads(await client.recv()))["type"] not in types:
            assert received["type"] != "error", received
    found: dict[str, Any] = received
    return found


async def test_a_server_starts_and_works_there(replica: str) -> None:
    async with serving(replica, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        client = await list_client(server)
        await client.subscribe(TOP)
        write(replica, "insert into messages values (1, 'a', '', 1)")
        await client.until(["1"])
        member = await list_client(server)
        here = {"type": "subscribe", "channel": "chat:1", "presence": {"data": {"name": "x"}}, "history": 10}
        await answer(member.client, here, "subscribed")
        sent = {"type": "message", "channel": "chat:1", "event": "e", "data": 1, "ref": "r", "id": str(uuid.uuid4())}
        await answer(member.client, sent, "ack")
        with psycopg.connect(replica) as connection:
            assert connection.execute("select count(*) from realtime.messages").fetchone() == (1,)
            assert connection.execute("select count(*) from realtime.presence").fetchone() == (1,)


async def test_a_role_that_cannot_set_it_back_reads_what_to_do(replica: str) -> None:
    role = f"r_{uuid.uuid4().hex[:12]}"
    write(replica, f"create role {role} login")
    target = conninfo_to_dict(replica)
    dsn = f"postgresql://{role}@{target['host']}:{target['port']}/{target['dbname']}"
    try:
        with pytest.raises(ReplicaRoleError, match=f'ALTER ROLE "{role}" SET session_replication_role = origin;'):
            await connect(dsn, "test")
        with pytest.raises(ReplicaRoleError, match="session_replication_role is replica"):
            connect_now(dsn, "test")
        [found] = diagnose(dsn, Settings())
        assert (found.level, found.remedy.split(" (")[0]) == (
            "problem",
            f'ALTER ROLE "{role}" SET session_replication_role = origin;',
        )
        write(replica, found.remedy.split(" (")[0])
        await (await connect(dsn, "test")).close()
        connect_now(dsn, "test").close()
    finally:
        write(replica, f"drop role {role}")
