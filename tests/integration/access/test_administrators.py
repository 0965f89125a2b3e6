"""An administrator's token: the rights of an operator over REST, and those of a user everywhere else."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx

from tests.integration.access.conftest import Judged
from tests.integration.access.judged import ADMIN, ROLE
from tests.support.clients.list_client import read, write
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.servers.rest_api import problem
from tests.support.values.tokens import token


def rest_of(judged: Judged, text: str | None, **headers: str) -> httpx.AsyncClient:
    given = headers if text is None else {"Authorization": f"Bearer {text}", **headers}
    return httpx.AsyncClient(base_url=judged.server.url, timeout=GIVE_UP_AFTER, headers=given)


async def test_an_administrator_reads_what_operators_read(judged: Judged) -> None:
    for name, administrator in (("an administrator", True), ("ada", False), ("an expired administrator", False)):
        async with rest_of(judged, judged.credentials[name].token) as http:
            metrics, health = await http.get("/metrics"), await http.get("/health")
            assert (metrics.status_code == 200) is administrator, metrics.text
            assert ("configuration" in health.json()) is administrator
            if not administrator:
                assert metrics.json()["code"] in ("RT_002", "RT_003")


async def test_a_scraper_has_a_key_that_reads_metrics_and_nothing_else(judged: Judged) -> None:
    keys = judged.credentials
    for scope, metrics, listing in (("metrics", 200, 403), ("dashboard", 200, 200), ("connections", 403, 200)):
        async with rest_of(judged, keys[f"secret key for {scope}"].key) as http:
            assert (await http.get("/metrics")).status_code == metrics
            assert ("configuration" in (await http.get("/health")).json()) is (metrics == 200)
            assert (await http.get("/realtime/connections")).status_code == listing
            assert (await http.delete("/realtime/sessions/none")).status_code == 403


async def test_an_administrator_publishes_as_the_user_that_it_is(judged: Judged) -> None:
    async with rest_of(judged, token(sub="ops", role=ADMIN)) as http:
        sent = await http.post(
            "/realtime/channels/chat:admins/broadcast", json={"event": "e", "data": 1, "id": "as-ops"}
        )
        assert sent.status_code == 201
        sender = "select sender from realtime.messages where channel = 'chat:admins' and id = 'as-ops'"
        assert read(judged.dsn, sender) == [("ops",)]
        forged = {"event": "e", "data": 1, "sender": "ada"}
        problem(await http.post("/realtime/channels/chat:admins/broadcast", json=forged), 403, "RT_003")
        problem(await http.post("/realtime/channels/private:user-ada/broadcast", json={"event": "e"}), 403, "RT_003")


async def test_alerts_reach_administrators_without_a_rule_and_no_other_client(judged: Judged) -> None:
    known, alert = (
        judged.credentials,
        "insert into realtime.alerts (rule, measure, subject, severity, value, threshold)",
    )
    names = ("an administrator", "ada", "the same role, of an issuer without administrators", "anonymous")
    async with asyncio.timeout(4 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        clients: list[TransportClient] = []
        for transport in TRANSPORTS:
            for name in names:
                given = {} if known[name].token is None else {"token": str(known[name].token)}
                client = await stack.enter_async_context(transport_client(judged.server.url, transport, **given))
                answer = await client.join("admin:alerts")
                if name == "an administrator":
                    assert answer["type"] == "subscribed", (transport, answer)
                    refused = await client.ask(type="message", channel="admin:alerts", event="alert.raised", ref="r")
                    assert refused["code"] == "RT_003"
                    clients.append(client)
                else:
                    assert answer["code"] == "RT_003", (transport, name)
        write(judged.dsn, f"{alert} values ('none', 'slot_lag_bytes', 's-1', 'info', 2, 1)")
        for client in clients:
            message = await client.receive("message")
            assert (message["event"], message["data"]["subject"]) == ("alert.raised", "s-1")


async def test_an_administrator_whose_session_is_revoked_has_no_rights_any_more(judged: Judged) -> None:
    write(judged.dsn, "insert into realtime.sessions (id, user_id) values ('of root', 'root')")
    text = token(sub="root", role=ADMIN, sid="of root")
    async with asyncio.timeout(4 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        http = await stack.enter_async_context(rest_of(judged, text))
        clients = [
            await stack.enter_async_context(transport_client(judged.server.url, each, token=text))
            for each in TRANSPORTS
        ]
        listed = (await http.get("/realtime/connections", params={"userId": "root"})).json()["connections"]
        assert len(listed) == len(TRANSPORTS)
        write(judged.dsn, "select realtime.revoke_session('of root')")
        for client in clients:
            error = await client.receive("error")
            assert (error["code"], error["message"]) == ("RT_002", "session revoked")
        for path in ("/realtime/connections", "/metrics"):
            assert "session revoked" in problem(await http.get(path), 401, "RT_002")


async def test_a_renewed_token_of_another_role_ends_the_connection_of_an_administrator(judged: Judged) -> None:
    text = token(sub="ops", role=ADMIN)
    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        transport_client(judged.server.url, "websocket", token=text) as client,
    ):
        await client.send(type="auth", token=token(sub="ops", role=ROLE))
        await client.receive("authenticated")
        assert (await client.receive("close"))["code"] == 4008


async def test_no_page_of_another_origin_reads_what_administrators_read(judged: Judged) -> None:
    evil = {"Origin": "https://evil.example"}
    async with rest_of(judged, None, **evil) as http:
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for path in ("/realtime/connections", "/realtime/sessions", "/metrics"):
            preflight = await http.options(path, headers=asked)
            assert preflight.status_code >= 400
            assert not [name for name in preflight.headers if name.startswith("access-control-")]
    async with rest_of(judged, token(sub="ops", role=ADMIN), **evil) as http:
        for path in ("/realtime/connections", "/metrics"):
            answer = await http.get(path)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        http.headers.pop("Authorization")
        http.cookies.set("token", token(sub="ops", role=ADMIN))
        problem(await http.get("/realtime/connections"), 401, "RT_002")
