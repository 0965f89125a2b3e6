"""Sessions of users of a served database: begun by SQL, revoked by SQL and REST, learned through the feed, on every node."""

from __future__ import annotations

import asyncio

import httpx
import psycopg
import pytest

from tests.support.clients.list_client import TABLE, read, slot_name, write
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

OPTIONS = {
    "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}],
    "session_validation": "optional",
    "ephemeral": True,
}

ENDS = {
    "select realtime.revoke_session('{}', 'stolen phone')": "session revoked",
    "delete from realtime.sessions where id = '{}'": "unknown session",
    "update realtime.sessions set expires_at = now() where id = '{}'": "session expired",
    "": "session revoked",  # by REST
}


def begin(database: str, *ids: str, user: str = "ada") -> None:
    for each in ids:
        write(database, f"insert into realtime.sessions (id, user_id) values ('{each}', '{user}')")


async def ends(client: TransportClient, reason: str) -> None:
    error = await client.receive("error")
    assert (error["code"], error["message"]) == ("RT_002", reason)
    assert (await client.receive("close"))["code"] == 4401


async def test_sessions_begin_at_once_and_their_end_ends_their_connections_on_every_node(database: str) -> None:
    async with (
        asyncio.timeout(6 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **OPTIONS) as one,
        serving(database, free_port(), slot_name=slot_name(), **OPTIONS) as two,
        httpx.AsyncClient(base_url=f"{one.url}/realtime", timeout=GIVE_UP_AFTER) as rest,
    ):
        begin(database, "lasting", user="bob")
        async with transport_client(two.url, "websocket", token=token(sub="bob", sid="lasting")) as bob:
            for transport, (statement, reason) in zip(TRANSPORTS, ENDS.items(), strict=True):
                begin(database, transport)
                async with (
                    transport_client(one.url, transport, token=token(sid=transport)) as here,
                    transport_client(two.url, transport, token=token(sid=transport)) as there,
                ):
                    if statement:
                        write(database, statement.format(transport))
                    else:
                        answer = await rest.delete(f"/sessions/{transport}", params={"reason": "asked for"})
                        assert answer.status_code == 204
                    for client in (here, there):
                        await ends(client, reason)
                assert await _refusal(two, transport) == f"RT_002 {reason}"
            assert (await bob.join("chat:1"))["type"] == "subscribed"

            begin(database, "phone", "laptop")
            async with transport_client(two.url, "websocket", token=token(sid="laptop")) as laptop:
                answer = await rest.request("DELETE", "/sessions", params={"userId": "ada", "exceptId": "laptop"})
                assert answer.json() == {"count": 2}, "the one that had expired, too"
                assert await _refusal(one, "phone") == "RT_002 session revoked"
                assert (await laptop.join("chat:1"))["type"] == "subscribed"
                write(database, "truncate realtime.sessions")
                await ends(laptop, "unknown session")
            await ends(bob, "unknown session")
        await _listed(database, rest)


BURST = """
do $$ begin
  for i in 1..300 loop insert into messages (id, room) values (-i, 'before'); commit; end loop;
  perform {}; commit;
  for i in 1..300 loop insert into messages (id, room) values (i, 'after'); commit; end loop;
end $$
"""


@pytest.mark.parametrize(
    ("revoke", "code"),
    [
        ("realtime.revoke_session('s-1')", "RT_002"),
        ("realtime.revoke_api_key('{prefix}')", "RT_002"),
        ("realtime.disconnect(user_id => 'ada')", "RT_001"),
    ],
)
async def test_who_is_disconnected_gets_nothing_that_commits_later(database: str, revoke: str, code: str) -> None:
    write(database, TABLE)
    begin(database, "s-1")
    [(key, prefix)] = read(database, "select k, left(k, 15) from realtime.create_api_key('web', 'publishable') as k")
    async with (
        asyncio.timeout(2 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **OPTIONS) as server,
        transport_client(server.url, "websocket", token=token(sid="s-1"), apikey=key) as client,
    ):
        await client.send(type="subscribe", channel="db:collection:messages", id="q")
        assert (await client.receive("snapshot"))["changes"] == []
        # A client is greeted before its row is committed, by which it is disconnected.
        await until(lambda: read(database, "select from realtime.connections where user_id = 'ada'"))
        with psycopg.connect(database, autocommit=True) as connection:
            await asyncio.to_thread(connection.execute, BURST.format(revoke.format(prefix=prefix)).encode())
        rooms: set[str] = set()
        while (message := await client.receive("snapshot", "error"))["type"] == "snapshot":
            rooms |= {change["doc"]["data"]["room"] for change in message["changes"]}
        assert message["code"] == code
        assert rooms == {"before"}


async def _refusal(server: ServerProcess, sid: str) -> str:
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        answer = await http.post("/poll", json={}, params={"token": token(sid=sid)})
    assert answer.status_code == 401
    return f"{answer.json()['code']} {answer.json()['detail']}"


async def _listed(database: str, rest: httpx.AsyncClient) -> None:
    begin(database, "a", "c")
    begin(database, "b", user="bob")
    write(database, "select realtime.revoke_session('c', 'why')")
    first = (await rest.get("/sessions", params={"limit": 2})).json()
    assert ([each["id"] for each in first["sessions"]], first["next"]) == (["a", "b"], "b")
    rest_of = (await rest.get("/sessions", params={"limit": 2, "after": "b", "userId": "ada"})).json()
    [shown] = rest_of["sessions"]
    assert rest_of["next"] is None
    assert shown["revokedAt"] is not None
    assert {name: shown[name] for name in ("id", "userId", "expiresAt", "revokedReason", "metadata")} == {
        "id": "c",
        "userId": "ada",
        "expiresAt": None,
        "revokedReason": "why",
        "metadata": {},
    }
    missing = await rest.delete("/sessions/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "RT_004")
    assert (await rest.delete("/sessions/c")).status_code == 204, "it was revoked before"

    for scope, status in (("connections", 403), ("sessions", 200)):
        [(key,)] = read(database, f"select realtime.create_api_key('{scope}', 'secret', '{{{scope}}}')")
        while (answer := await rest.get("/sessions", headers={"apikey": key})).status_code == 401:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)
        assert answer.status_code == status


def test_a_role_that_writes_sessions_gets_what_that_needs_and_others_get_nothing(database: str) -> None:
    write(database, "create role session_writer")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _as_writer(database, "insert into realtime.sessions (id, user_id) values ('k', 'ada')")
        write(database, "select realtime.grant_missing('session_writer', 'sessions')")
        assert read(database, "select * from realtime.missing_privileges('session_writer', 'sessions')") == []
        _as_writer(database, "insert into realtime.sessions (id, user_id) values ('k', 'ada'), ('l', 'ada')")
        assert _as_writer(database, "select realtime.revoke_session('k')") == [(True,)]
        assert _as_writer(database, "select realtime.revoke_session('k')") == [(False,)]
        assert _as_writer(database, "select realtime.revoke_user_sessions('ada', except_sid => 'l')") == [(0,)]
        assert _as_writer(database, "select realtime.revoke_user_sessions('ada', 'left')") == [(1,)]
        with pytest.raises(psycopg.DatabaseError, match="there is no such session") as refused:
            _as_writer(database, "select realtime.revoke_session('none')")
        assert refused.value.sqlstate == "RT007"
    finally:
        write(database, "drop owned by session_writer")
        write(database, "drop role session_writer")


def _as_writer(database: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set role session_writer")
        cursor = connection.execute(statement.encode())
        return [] if cursor.description is None else cursor.fetchall()
