"""The events of clients in the log of a served process: each kind where it happens, and nothing of a message's content."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.logs.clients import KINDS
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import run_each
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

SETTINGS = {
    "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}],
    "allow_anonymous": False,
    "allowed_origins": "https://app.example",
    "ephemeral": True,
    "log_format": "json",
}


def events(server: ServerProcess) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.lines if line.startswith("{")]


async def test_every_kind_of_event_is_logged_with_connection_and_user(database: str) -> None:
    run_each(database, "create table items (id int primary key)", "select realtime.expose('items')")
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), log_events=list(KINDS), **SETTINGS) as server,
    ):
        for transport in TRANSPORTS:
            async with transport_client(server.url, transport, token=token(sub="ada")) as ada:
                await ada.join("chat:1", presence={"status": "online"})
                await ada.join("db:collection:items", id="q", query={})
                await ada.ask(
                    type="message", channel="chat:1", event="wrote", data={"text": "for-ada-alone"}, id=f"m-{transport}"
                )
                await ada.ask(type="presence:update", channel="chat:1", data={"status": "away"})
                assert (await ada.join("private:user-bob"))["code"] == "RT_003"
                await ada.send(type="message", channel="private:user-bob", event="wrote", data={})
                await ada.receive("error")
                await ada.send(type="auth", token=token(sub="bob"))
                await ada.receive("error")
                await ada.send(type="unsubscribe", channel="chat:1")
                await ada.leave()
        async with httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http:
            refused = await http.get(
                "/realtime/sse", headers={"Authorization": f"Bearer {token(sub='ada', aud='other')}"}
            )
            assert refused.status_code == 401
        with pytest.raises(InvalidStatus):
            async with connect(server.websocket, origin="https://other.example"):  # type: ignore[arg-type]
                pass
        await server.connections(0)
        await server.end()
    assert "for-ada-alone" not in "".join(server.lines)
    by_name: dict[str, list[dict[str, object]]] = {}
    for each in events(server):
        by_name.setdefault(str(each["event"]), []).append(each)
    opened = by_name["connection_opened"]
    assert [(each["user"], each["transport"], each["ip"]) for each in opened] == [
        ("ada", transport, "127.0.0.1") for transport in ("websocket", "websocket", "sse", "poll")
    ]
    ids = [each["connection"] for each in opened]
    assert len(set(ids)) == 4
    for name, targets in {
        "connection_closed": [],
        "channel_subscribed": ["chat:1", "db:collection:items"],
        "channel_unsubscribed": ["chat:1", "db:collection:items"],
        "presence_joined": ["chat:1"],
        "presence_updated": ["chat:1"],
        "presence_left": ["chat:1"],
        "message_published": ["chat:1"],
        "messages_delivered": ["chat:1"],
        "authorization_denied": ["private:user-bob"],
        "renewal_refused": [],
    }.items():
        found = by_name[name]
        assert {each["connection"] for each in found} == set(ids), name
        assert {each["user"] for each in found} == {"ada"}, name
        assert sorted({str(each.get("channel") or each["target"]) for each in found if targets}) == targets, name
    assert {each["id"] for each in by_name["message_published"]} == {f"m-{transport}" for transport in TRANSPORTS}
    assert {each["action"] for each in by_name["authorization_denied"]} == {"subscribe to", "publish to"}
    assert [(each["transport"], each["error"]) for each in by_name["authentication_refused"]] == [
        ("sse", "wrong audience")
    ]
    assert [(each["status"], each["transport"]) for each in by_name["handshake_rejected"]] == [(403, "websocket")]


async def test_connections_subscriptions_and_refusals_are_logged_where_nothing_is_set(database: str) -> None:
    run_each(database, "create table items (id int primary key)", "select realtime.expose('items')")
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **SETTINGS) as server,
    ):
        async with transport_client(server.url, "websocket", token=token(sub="ada")) as ada:
            await ada.join("chat:1", presence={})
            await ada.join("db:collection:items", id="q", query={})
            await ada.join("private:user-bob")
            for request in (
                {"type": "presence:update", "channel": "chat:2", "data": {}},
                {"type": "history", "channel": "chat:3"},
                {"type": "message", "channel": "chat:4", "data": {"text": "secret"}},
                {"type": "message", "channel": "*", "event": "e", "data": 1},
            ):
                await ada.send(**request)
                await ada.receive("error")
            await ada.leave()
        await server.connections(0)
        await server.end()
    of_clients = [each for each in events(server) if each["logger"] == "realtime.client"]
    assert [(each["event"], each["level"], each.get("channel")) for each in of_clients] == [
        ("connection_opened", "info", None),
        ("channel_subscribed", "info", "chat:1"),
        ("channel_subscribed", "info", "db:collection:items"),
        ("authorization_denied", "info", None),
        *[("request_refused", "info", None)] * 4,
        ("connection_closed", "info", None),
        ("channel_unsubscribed", "info", "db:collection:items"),
        ("channel_unsubscribed", "info", "chat:1"),
    ]
    refused = [each for each in events(server) if each["event"] == "request_refused"]
    assert [(each["target"], each["code"]) for each in refused] == [
        ("chat:2", "RT_009"),
        ("chat:3", "RT_004"),
        ("chat:4", "RT_007"),
        ("*", "RT_004"),
    ]
    assert "secret" not in "".join(server.lines)


async def test_a_subscription_beyond_the_limit_is_a_line_and_a_message_beyond_the_rate_is_none(database: str) -> None:
    run_each(database, "create table items (id int primary key)", "select realtime.expose('items')")
    limits = {"max_subscriptions": 1, "max_message_rate": 10}
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **limits, **SETTINGS) as server,
    ):
        async with transport_client(server.url, "websocket", token=token(sub="ada")) as ada:
            await ada.join("chat:1")
            assert (await ada.join("db:collection:items", id="q", query={}))["code"] == "RT_006"
            assert (await ada.join("chat:2"))["code"] == "RT_006"
            for _ in range(20):
                await ada.send(type="message", channel="chat:1", event="e", data=1)
            assert (await ada.receive("error"))["code"] == "RT_006"
        await server.end()
    refused = [each for each in events(server) if str(each["event"]).endswith("_refused")]
    assert [(each["event"], each["target"], each["code"], each["level"]) for each in refused] == [
        ("request_refused", "db:collection:items", "RT_006", "info"),
        ("request_refused", "chat:2", "RT_006", "info"),
    ]
    assert {each["error"] for each in refused} == {"at most 1 subscriptions are allowed on one connection"}
