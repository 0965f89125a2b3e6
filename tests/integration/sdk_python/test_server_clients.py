"""The synchronous and the asyncio client for servers, against REST of a real server."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bunbase import AsyncRealtimeServer, Encryption, Message, RealtimeError, RealtimeServer

from tests.faultproxy.proxy import FaultProxy
from tests.integration.sdk_python.conftest import MakeClient
from tests.support.clients.list_client import read, slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

KEY = "a key of these tests"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(table: str) -> AsyncIterator[ServerProcess]:
    """A server whose REST needs a key."""
    config = {"trust_user_parameter": "true", "rest_key": KEY}
    async with serving(table, free_port(), slot_name=slot_name(), **config) as process:
        yield process


@pytest.fixture
def transport() -> str:
    """One will do here."""
    return "websocket"


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something."""
    while True:
        if found := await look():
            return found
        await asyncio.sleep(0.01)


class Either:
    """The two clients as one: every call of the synchronous one in a thread."""

    def __init__(self, client: RealtimeServer | AsyncRealtimeServer) -> None:
        self.client = client

    async def do(self, name: str, *arguments: Any, channel: str | None = None, **options: Any) -> Any:
        target = self.client if channel is None else self.client.channel(channel, encryption=options.pop("keys", None))
        method = getattr(target, name)
        if isinstance(self.client, RealtimeServer):
            return await asyncio.to_thread(method, *arguments, **options)
        return await method(*arguments, **options)


@pytest_asyncio.fixture(params=["sync", "async"])
async def rest(request: pytest.FixtureRequest, server: ServerProcess) -> AsyncIterator[Either]:
    if request.param == "sync":
        with RealtimeServer(server.url, KEY) as sync:
            yield Either(sync)
    else:
        async with AsyncRealtimeServer(server.url, KEY) as aio:
            yield Either(aio)


async def test_a_server_publishes_and_sees_what_it_published(rest: Either, client: MakeClient) -> None:
    name = f"orders:{id(rest)}"
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(name) as channel:
        messages = channel.messages()
        first = await rest.do("broadcast", "new", {"id": 1}, channel=name, sender="shop")
        assert await rest.do("broadcast", "new", {"id": 2}, channel=name, id="two") == "two"
        await rest.do("broadcast", "new", {"id": 2}, channel=name, id="two")
        await rest.do("broadcast", "new", {"id": 3}, channel=name, audience={"users": ["bob"]})
        await rest.do("broadcast", "new", {"id": 4}, channel=name)
        got = [await anext(messages) for _ in range(3)]
        assert [(message.id, message.sender, message.data["id"]) for message in got[:2]] == [
            (first, "shop", 1),
            ("two", None, 2),
        ]
        assert got[2].data == {"id": 4}
        page = await rest.do("history", channel=name, limit=2)
        while [message.data["id"] for message in page.messages] != [3, 4]:  # written down a moment later
            page = await rest.do("history", channel=name, limit=2)
        older = await rest.do("history", channel=name, limit=2, before=page.before)
        assert [message.data["id"] for message in older.messages] == [1, 2]


async def test_a_server_continues_a_trace_with_what_it_publishes(rest: Either, client: MakeClient) -> None:
    name = f"traced:{id(rest)}"
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2"}
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        messages = (await ada.channel(name, meta=True).subscribe()).messages()
        await rest.do("broadcast", "e", channel=name, **trace)
        await rest.do("broadcast", "e", channels=[name], **trace)
        await rest.do("broadcast", "e", channel=name, traceparent=f" {trace['traceparent']} ")
        await rest.do("broadcast", "e", channel=name, tracestate="a=1")
        await rest.do("broadcast", "e", channel=name)
        only_parent = {"traceparent": trace["traceparent"]}
        assert [(await anext(messages)).meta for _ in range(5)] == [trace, trace, only_parent, None, None]
        for wrong in ("a\r\nb", "ä", "\x7f"):
            for options in ({"channel": name}, {"channels": [name]}):
                with pytest.raises(ValueError, match=r"tracestate: .* printable ASCII"):
                    await rest.do("broadcast", "e", **options, tracestate=wrong)


async def test_a_server_lists_connections_and_disconnects_them(rest: Either, client: MakeClient) -> None:
    name = f"room:{id(rest)}"
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        channel = await ada.channel(name, presence={"name": "Ada"}).subscribe()
        presence = await rest.do("get_presence", channel=name)
        assert (presence.count, presence.users[0].id, presence.users[0].name) == (1, "ada", "Ada")
        kicked: asyncio.Queue[RealtimeError] = asyncio.Queue()
        channel.on("error", kicked.put_nowait)
        assert await rest.do("kick", "ada", "spam", channel=name) == 1
        assert (await kicked.get()).code == "RT_003"
        assert not channel.is_subscribed
        await bob.connect()
        found = await eventually(lambda: rest.do("get_connections", user_id="bob"))
        assert [(each.id, each.user_id, each.transport) for each in found] == [(bob.connection_id, "bob", "websocket")]
        ended: asyncio.Queue[Any] = asyncio.Queue()
        bob.on("disconnected", ended.put_nowait)
        ada.on("disconnected", ended.put_nowait)
        assert await rest.do("disconnect_user", "bob") == 1
        await ended.get()
        assert bob.state == "failed"
        await rest.do("disconnect", ada.connection_id)
        await ended.get()
        with pytest.raises(RealtimeError) as unknown:
            await rest.do("disconnect", "nobody")
        assert unknown.value.code == "RT_004"


async def test_a_server_broadcasts_to_all_to_users_and_to_channels(rest: Either, client: MakeClient) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        direct: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        ada.on("message", lambda message: direct.put_nowait(("ada", message)))
        bob.on("message", lambda message: direct.put_nowait(("bob", message)))
        for realtime in (ada, bob):  # a connection is known once it has subscribed
            await realtime.channel(f"wide:{id(rest)}").subscribe()
        messages = ada.channel(f"wide:{id(rest)}").messages()
        await rest.do("broadcast", "notice", 1, users=["bob"])
        assert [(who, message.event, message.data) for who, message in [await direct.get()]] == [("bob", "notice", 1)]
        await rest.do("broadcast", "notice", 2)
        assert {who for who, _ in [await direct.get(), await direct.get()]} == {"ada", "bob"}
        await rest.do("broadcast", "sent", 3, channels=[f"wide:{id(rest)}"])
        assert (await anext(messages)).data == 3


async def test_rooms_are_made_read_changed_and_closed(rest: Either) -> None:
    name = f"made:{id(rest)}"
    made = await rest.do("create_room", name, capacity=3, presence_timeout=2.5, metadata={"topic": "Tea"})
    assert (made.name, made.capacity, made.presence_timeout, made.metadata) == (name, 3, 2.5, {"topic": "Tea"})
    assert (await rest.do("update_room", name, capacity=None, max_messages=7)).capacity is None
    assert (await rest.do("get_room", name)).max_messages == 7
    with pytest.raises(RealtimeError) as twice:
        await rest.do("create_room", name)
    assert twice.value.code == "RT_007"
    await rest.do("close_room", name)
    assert (await rest.do("get_room", name)).closed_at is not None
    with pytest.raises(RealtimeError) as closed:
        await rest.do("broadcast", "sent", 1, channel=name)
    assert closed.value.code == "RT_004"


async def test_a_server_encrypts_for_clients_with_the_key(rest: Either, client: MakeClient) -> None:
    name, keys = f"sealed:{id(rest)}", Encryption("k", {"k": b"k" * 32})
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(name, encryption=keys) as channel:
        messages = channel.messages()
        await rest.do("broadcast", "sent", "secret", channel=name, keys=keys)
        assert (await anext(messages)).data == "secret"


async def test_a_wrong_key_is_refused(server: ServerProcess) -> None:
    async with AsyncRealtimeServer(server.url, "wrong") as rest:
        with pytest.raises(RealtimeError) as refused:
            await rest.get_connections()
        assert refused.value.code == "RT_002"


async def test_a_broadcast_whose_answer_was_lost_is_repeated_and_stored_once(server: ServerProcess, table: str) -> None:
    stored = "select from realtime.messages where channel = 'lost:1'"
    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        FaultProxy("127.0.0.1", server.port) as proxy,
        AsyncRealtimeServer(proxy.url, KEY, attempts=50) as rest,
    ):
        await rest.channel("lost:1").get_presence()
        proxy.deaf = True  # requests arrive, answers do not
        sending = asyncio.create_task(rest.channel("lost:1").broadcast("sent", 1))
        await eventually(lambda: asyncio.to_thread(read, table, stored))
        proxy.deaf = False
        proxy.cut()
        await sending
        assert len(read(table, stored)) == 1
        assert proxy.accepted > 1


async def test_a_server_that_cannot_be_reached_is_rt_001() -> None:
    with RealtimeServer(f"http://127.0.0.1:{free_port()}", attempts=2) as rest:
        with pytest.raises(RealtimeError) as lost:
            await asyncio.to_thread(rest.get_connections)
        assert lost.value.code == "RT_001"
        assert isinstance(lost.value.__context__, httpx.ConnectError)
        shown = "".join(traceback.format_exception(lost.value))
        assert "httpcore" not in shown
        assert shown.count("File ") <= 7, shown


async def test_threads_share_a_synchronous_client(server: ServerProcess, table: str) -> None:
    threads: set[int] = set()
    with RealtimeServer(server.url, KEY) as rest, ThreadPoolExecutor(8) as pool:
        channel = rest.channel("threads:1")

        def publish(n: int) -> str:
            threads.add(threading.get_ident())
            return channel.broadcast("sent", n)

        loop = asyncio.get_running_loop()
        ids = await asyncio.gather(*(loop.run_in_executor(pool, publish, n) for n in range(100)))
    assert len(set(ids)) == 100
    assert len(threads) > 1
    [(count,)] = read(table, "select count(*) from realtime.messages where channel = 'threads:1'")
    assert count == 100
