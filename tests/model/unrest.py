"""Where everything stands that has not come to rest in time: for the analysis of a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx
import psycopg

from engine.postgres.connections.session_settings import connection_options
from tests.model.client import Client

__all__ = ["unrest"]

_LONGEST = 10.0
"""Seconds for each answer."""

_LOOKS = {
    "flushed": "select pg_current_wal_flush_lsn()",
    "slots": "select slot_name, active, confirmed_flush_lsn from pg_replication_slots",
    "nodes": "select id, lease_expires_at - now() from realtime.nodes",
    "last": "select channel, xid, position from realtime.messages m left join realtime.commits c using (channel, xid)"
    " where channel in ('public:control', 'public:echo') order by m.inserted_at desc, m.seq desc limit 4",
    "waiting": "select pid, application_name, state, wait_event, left(query, 80), now() - state_change"
    " from pg_stat_activity where datname = current_database() and (wait_event_type = 'Lock' or state <> 'idle')",
}


async def unrest(clients: Iterable[Client], addresses: Iterable[str], dsn: str) -> str:
    """What ``clients`` wait for, what ``/health`` of the nodes and relays at ``addresses`` has, and the database's own
    view; one a line.
    """
    found = [f"{client.name} at {client.node and client.node.port}: {_waits(client)}" for client in clients]
    for address in addresses:
        found.append(f"{address}: {await _within(_health(address))}")
    for name, sql in _LOOKS.items():
        found.append(f"{name}: {await _within(_rows(dsn, sql))}")
    return "did not come to rest:\n" + "\n".join(found)


def _waits(client: Client) -> dict[str, Any]:
    return {
        "connected": client.connected,
        "returns": client.wants_to_be_back,
        "presence updates": client.answers,
        "unanswered": client.unanswered,
        "has": {each.channel: (each.state, len(each.record), each.last) for each in client.subscriptions.values()},
    }


async def _health(address: str) -> str:
    async with httpx.AsyncClient(timeout=_LONGEST) as http:
        answer = await http.get(f"http://{address}/health")
    return json.dumps(answer.json())


async def _rows(dsn: str, sql: str) -> str:
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, options=connection_options(), application_name="tester"
    ) as connection:
        return str(await (await connection.execute(sql.encode())).fetchall())


async def _within(answer: Any) -> str:
    try:
        async with asyncio.timeout(_LONGEST):
            return str(await answer)
    except (httpx.HTTPError, psycopg.Error, OSError, TimeoutError, ValueError) as error:
        return repr(error)
