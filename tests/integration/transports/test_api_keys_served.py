"""API keys of a served database: made and revoked by SQL, learned through the feed, on every node and transport."""

from __future__ import annotations

import asyncio

import httpx

from tests.support.clients.list_client import read, slot_name, write
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

ENDPOINTS = {
    "publish": ("POST", "/channels/chat:1/broadcast", {"event": "e", "data": 1}, 201),
    "history": ("GET", "/channels/chat:1/messages", None, 200),
    "presence": ("GET", "/channels/chat:1/presence", None, 200),
    "channels": ("GET", "/channels", None, 200),
    "connections": ("GET", "/connections", None, 200),
}


def made(database: str, arguments: str) -> str:
    [(key,)] = read(database, f"select realtime.create_api_key({arguments})")
    return str(key)


async def rest(server: ServerProcess, key: str | None, scope: str = "channels") -> tuple[int, str]:
    """The status, and the code and detail of a problem."""
    method, path, body, _ = ENDPOINTS[scope]
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER, headers=headers) as http:
        answer = await http.request(method, path, json=body) if body else await http.request(method, path)
    return answer.status_code, f"{answer.json()['code']} {answer.json()['detail']}" if answer.is_error else ""


async def until_rest_answers(server: ServerProcess, key: str, status: int) -> str:
    """Wait until REST answers so; returns the problem."""
    while True:
        found, problem = await rest(server, key)
        if found == status:
            return problem
        await asyncio.sleep(0.02)


async def test_a_key_is_usable_a_moment_after_sql_made_it_and_revoking_it_ends_its_connections_everywhere(
    database: str,
) -> None:
    options = {"ephemeral": True, "require_api_key": True, "log_level": "debug"}
    async with (
        asyncio.timeout(6 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **options) as one,
        serving(database, free_port(), slot_name=slot_name(), **options) as two,
    ):
        publishable = made(database, "'web', 'publishable'")
        limited = made(database, "'jobs', 'secret', '{publish,history}'")
        secret = made(database, "'backend', 'secret', expires_at => now() + interval '1 hour'")
        await until_learned(one, two, database)

        assert (await rest(one, None))[0] == 401
        assert await rest(one, publishable) == (
            403,
            "RT_003 a publishable API key has no rights here: this takes a secret one",
        )
        distant = made(database, "'elsewhere', 'secret', denied_ips => '{127.0.0.0/8}'")
        await until_learned(one, two, database)
        assert (await rest(two, distant))[1].startswith("RT_002 the API key may not be used from your address")
        for scope, (_, _, _, status) in ENDPOINTS.items():
            assert (await rest(one, secret, scope))[0] == status
            wanted = (
                (status, "")
                if scope in ("publish", "history")
                else (403, f"RT_003 the API key {limited[:15]} lacks the scope {scope}")
            )
            assert await rest(one, limited, scope) == wanted

        for transport in TRANSPORTS:
            publishable, another = made(database, "'web', 'publishable'"), made(database, "'other', 'publishable'")
            await until_learned(one, two, database)
            async with (
                transport_client(one.url, transport, apikey=publishable) as here,
                transport_client(two.url, transport, apikey=publishable) as there,
                transport_client(two.url, transport, apikey=another) as other,
            ):
                assert (await other.join("chat:1"))["type"] == "subscribed"
                write(database, f"select realtime.revoke_api_key('{publishable[:15]}')")
                for client in (here, there):
                    error = await client.receive("error")
                    assert (error["code"], error["message"]) == ("RT_002", "API key revoked")
                    assert (await client.receive("close"))["code"] == 4401
                await other.leave()

        write(database, "update realtime.api_keys set expires_at = now() where name = 'backend'")
        assert await until_rest_answers(one, secret, 401) == "RT_002 API key expired"
        write(database, "delete from realtime.api_keys where name = 'jobs'")
        assert await until_rest_answers(two, limited, 401) == "RT_002 unknown API key"
        for server in (one, two):
            await server.end()
            log = "".join(server.lines)
            assert log
            assert not any(key in log for key in (publishable, limited, secret))


async def until_learned(one: ServerProcess, two: ServerProcess, database: str) -> None:
    """Wait until both nodes know the keys that are committed now: the last one made is the last one learned."""
    last = made(database, "'last', 'secret'")
    for server in (one, two):
        await until_rest_answers(server, last, 200)
