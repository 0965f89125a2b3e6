"""Parts of the schema ``realtime`` are missing or locked while the REST API runs: it answers 503 with a reason."""

from __future__ import annotations

import httpx
import psycopg
import pytest
from structlog.typing import EventDict

from tests.support.clients.list_client import write
from tests.support.servers.rest_api import problem

REFUSED = "the database refuses it for a reason of its own, which the server's log names; try again later"
LOCKED = "a table it needs is locked by another session; try again"

END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'realtime rest'"


async def broadcast(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post("/realtime/channels/c/broadcast", json={"event": "e"})


async def test_a_missing_table_function_or_privilege_is_answered_with_503_until_it_is_back(
    http: httpx.AsyncClient, database: str, logs: list[EventDict]
) -> None:
    write(database, "alter table realtime.messages rename to lost")
    assert problem(await http.get("/realtime/channels/c/messages"), 503, "RT_001") == REFUSED
    assert problem(await broadcast(http), 503, "RT_001") == REFUSED
    assert (await http.get("/realtime/connections")).status_code == 200
    write(database, "alter table realtime.lost rename to messages")
    assert (await http.get("/realtime/channels/c/messages")).status_code == 200

    write(database, "alter function realtime.close_channel rename to lost")
    assert problem(await http.delete("/realtime/channels/c"), 503, "RT_001") == REFUSED
    write(database, "alter function realtime.lost rename to close_channel")
    problem(await http.delete("/realtime/channels/c"), 404, "RT_004")

    role = f"alter role postgres in database {psycopg.conninfo.conninfo_to_dict(database)['dbname']}"
    write(database, "create role reads_nothing")
    try:
        write(database, f"{role} set role = 'reads_nothing'", END_SESSIONS)
        assert problem(await http.get("/realtime/channels"), 503, "RT_001") == REFUSED
    finally:
        write(database, "set role none", f"{role} reset role", "drop role reads_nothing", END_SESSIONS)
    assert (await http.get("/realtime/channels")).status_code == 200
    assert any(entry["event"] == "database_refuses" for entry in logs)
    assert not any(entry.get("exc_info") for entry in logs)


async def test_a_locked_table_is_answered_with_503_and_nothing_else_waits_for_it(
    http: httpx.AsyncClient, database: str
) -> None:
    with psycopg.connect(database) as holder:
        holder.execute("lock table realtime.connections in access exclusive mode")
        assert problem(await http.get("/realtime/connections"), 503, "RT_001") == LOCKED
        assert (await broadcast(http)).status_code == 201
        holder.rollback()
    assert (await http.get("/realtime/connections")).status_code == 200


@pytest.mark.parametrize(
    ("sqlstate", "status", "code"),
    [("P0001", 400, "RT_007"), ("42501", 403, "RT_003"), ("57P03", 503, "RT_001"), ("42P01", 400, "RT_007")],
)
async def test_a_trigger_that_refuses_a_message_is_quoted(
    http: httpx.AsyncClient, database: str, sqlstate: str, status: int, code: str
) -> None:
    write(
        database,
        "create function refuse() returns trigger language plpgsql as"
        f" $$ begin raise 'not on Sundays' using errcode = '{sqlstate}'; end $$",
    )
    write(database, "create trigger refuses before insert on realtime.messages for each row execute function refuse()")
    assert "not on Sundays" in problem(await broadcast(http), status, code)
