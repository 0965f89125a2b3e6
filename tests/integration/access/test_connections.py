"""Who may do what on a connection: every credential, every action, every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from tests.integration.access.conftest import Judged
from tests.integration.access.judged import Credential
from tests.support.clients.handshakes import answer_of
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.servers.processes import GIVE_UP_AFTER

ALL = ("anonymous", "ada", "bob", "ops")
SQL = "db:collection:note", {"sql": "select id from note"}
NOTES = {"anonymous": "RT_003", "ada": "1", "bob": "2", "ops": "RT_003"}
"""Administrators have a role that is not served: they see no more rows than clients without one."""
AT_ONCE = 8
T = TypeVar("T")
_Do = Callable[[TransportClient], Awaitable[str]]


def subscribe(channel: str, **options: object) -> _Do:
    async def do(client: TransportClient) -> str:
        answer = await client.join(channel, id=f"s{id(do)}", **options)
        if answer["type"] == "error":
            return str(answer["code"])
        await client.send(type="unsubscribe", channel=channel, id=f"s{id(do)}")
        await client.receive("unsubscribed")
        return "done"

    return do


def leave(channel: str) -> _Do:
    """Leave what was not joined."""

    async def do(client: TransportClient) -> str:
        await client.send(type="unsubscribe", channel=channel, ref="r")
        answer = await client.receive("unsubscribed", "error")
        return str(answer.get("code", "done"))

    return do


def page(channel: str) -> _Do:
    """A page of the past: with a subscription, and of a client that is refused one without it."""

    async def do(client: TransportClient) -> str:
        joined = await client.join(channel, id="p")
        await client.send(type="history", channel=channel, limit=5, ref="p")
        answer = await client.receive("history", "error")
        if answer["type"] == "error":
            return f"{joined['code']}, {answer['code']}"
        await client.send(type="unsubscribe", channel=channel, id="p")
        await client.receive("unsubscribed")
        return "read" if answer["messages"] else "nothing"

    return do


def publish(channel: str) -> _Do:
    async def do(client: TransportClient) -> str:
        answer = await client.ask(type="message", channel=channel, event="e", data=1, ref="r")
        return str(answer.get("code", "done"))

    return do


def live(channel: str, query: dict[str, Any]) -> _Do:
    """The ids of the rows that the client sees, or the code."""

    async def do(client: TransportClient) -> str:
        answer = await client.join(channel, id="live", query=query)
        if answer["type"] == "error":
            return str(answer["code"])
        snapshot = await client.receive("snapshot")
        await client.send(type="unsubscribe", channel=channel, id="live")
        await client.receive("unsubscribed")
        return ",".join(str(each["doc"]["id"]) for each in snapshot["changes"])

    return do


async def update_presence(client: TransportClient) -> str:
    await client.join("presence:lobby", presence=True)
    answer = await client.ask(type="presence:update", channel="presence:lobby", data={"status": "here"}, ref="r")
    return str(answer.get("code", "done"))


def allowed(*users: str, otherwise: str = "RT_003") -> dict[str, str]:
    return {user: "done" if user in users else otherwise for user in ALL}


ACTIONS: dict[str, tuple[_Do, dict[str, str]]] = {
    "subscribe to a public channel": (subscribe("public:news"), allowed(*ALL)),
    "subscribe to an open channel": (subscribe("chat:1"), allowed(*ALL)),
    "subscribe to ada's channel": (subscribe("private:user-ada"), allowed("ada")),
    "subscribe to bob's channel": (subscribe("private:user-bob"), allowed("bob")),
    "subscribe to a room of ada's": (subscribe("private:room-1"), allowed("ada")),
    "subscribe to a room that is not there": (subscribe("private:room-2"), allowed()),
    "subscribe to a private channel without a rule": (subscribe("private:other"), allowed()),
    "subscribe to what is no channel": (subscribe("db:other"), allowed(otherwise="RT_004")),
    "subscribe to all": (subscribe("*"), allowed(otherwise="RT_004")),
    "read the history of an open channel": (subscribe("chat:past", history=5), allowed(*ALL)),
    "read the history of a room of ada's": (subscribe("private:room-1", history=5), allowed("ada")),
    "ask for a page of an open channel": (page("chat:past"), dict.fromkeys(ALL, "read")),
    "ask for a page of a room of ada's": (
        page("private:room-1"),
        {user: "read" if user == "ada" else "RT_003, RT_004" for user in ALL},
    ),
    "leave an open channel that it has not joined": (leave("chat:1"), allowed(otherwise="RT_007")),
    "leave a private channel that it has not joined": (leave("private:user-bob"), allowed(otherwise="RT_007")),
    "leave a live query that it has not opened": (leave("db:collection:secret"), allowed(otherwise="RT_007")),
    "be present in a presence channel": (subscribe("presence:lobby", presence=True), allowed(*ALL)),
    "be present in a room of ada's": (subscribe("private:room-1", presence=True), allowed("ada")),
    "be present where users may": (subscribe("private:board", presence={"name": "N"}), allowed("ada", "bob", "ops")),
    "change its presence": (update_presence, allowed(*ALL)),
    "publish to a public channel": (publish("public:news"), allowed(*ALL)),
    "publish to ada's channel": (publish("private:user-ada"), allowed("ada")),
    "publish to bob's channel": (publish("private:user-bob"), allowed("bob")),
    "publish to a room of ada's": (publish("private:room-1"), allowed("ada")),
    "publish where editors may": (publish("private:board"), allowed()),
    "publish to a live query": (publish("db:collection:news"), allowed()),
    "query an open table": (live("db:collection:news", {}), dict.fromkeys(ALL, "1")),
    "query rows with a policy": (live("db:collection:note", {}), NOTES),
    "query rows with a policy in SQL": (live(*SQL), NOTES),
    "query a table that is not exposed": (live("db:collection:secret", {}), allowed(otherwise="RT_004")),
    "name a table that is not exposed in SQL": (
        live("db:collection:note", {"sql": "select id from note where id in (select id from secret)"}),
        allowed(otherwise="RT_003"),
    ),
}


async def gathered(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """The results of all, some at once."""
    some = asyncio.Semaphore(AT_ONCE)

    async def one(each: Coroutine[object, object, T]) -> T:
        async with some:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


async def decisions(judged: Judged, transport: str, credential: Credential) -> dict[str, str]:
    """What becomes of each action on one connection."""
    given = {"token": credential.token, "apikey": credential.key}
    parameters = {name: text for name, text in given.items() if text is not None}
    async with transport_client(judged.server.url, transport, **parameters) as client:
        found = {name: await do(client) for name, (do, _) in ACTIONS.items()}
        await client.leave()
    return found


async def test_each_action_is_decided_alike_on_every_transport_for_every_credential(judged: Judged) -> None:
    cases = [
        (transport, name, credential)
        for transport in TRANSPORTS
        for name, credential in judged.credentials.items()
        if credential.who is not None
    ]
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        found = await gathered(decisions(judged, transport, each) for transport, _, each in cases)
    wrong = {
        (transport, name, action): (outcome, ACTIONS[action][1][str(credential.who)])
        for (transport, name, credential), outcomes in zip(cases, found, strict=True)
        for action, outcome in outcomes.items()
        if outcome != ACTIONS[action][1][str(credential.who)]
    }
    assert wrong == {}


async def test_each_refused_credential_opens_no_connection_on_any_transport(judged: Judged) -> None:
    cases = [
        (transport, name, credential)
        for transport in TRANSPORTS
        for name, credential in judged.credentials.items()
        if credential.who is None
    ]
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        answers = await gathered(
            answer_of(judged.server, transport, each.token, key=each.key, key_in="header")
            for transport, _, each in cases
        )
    for (transport, name, credential), answer in zip(cases, answers, strict=True):
        status = 4401 if transport in ("websocket", "msgpack") else 401
        assert (answer["type"], answer.get("code"), answer.get("status")) == ("error", "RT_002", status), (name, answer)
        assert answer["message"].startswith(credential.reason), (name, answer)
        for secret in (credential.token, credential.key):
            assert secret is None or secret not in answer["message"]
