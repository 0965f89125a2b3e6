"""The client for code without asyncio, against a real server."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from bunbase import RealtimeError, Snapshot, SyncRealtime

from tests.support.clients.list_client import write
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

Run = Callable[..., Any]


@pytest_asyncio.fixture
async def run(server: ServerProcess) -> AsyncIterator[Run]:
    """Runs a function in a thread, with a client of ``ada`` and further arguments. No thread of clients is left behind."""

    def with_client(function: Run, *arguments: Any) -> Any:
        with SyncRealtime(server.url, parameters={"user": "ada"}) as realtime:
            return function(realtime, *arguments)

    async def in_thread(function: Run, *arguments: Any) -> Any:
        async with asyncio.timeout(GIVE_UP_AFTER):
            return await asyncio.to_thread(with_client, function, *arguments)

    yield in_thread
    assert [thread.name for thread in threading.enumerate() if thread.name == "bunbase"] == []


async def test_a_loop_over_snapshots_shows_each_change_until_nothing_comes(run: Run, table: str) -> None:
    def consume(realtime: SyncRealtime) -> None:
        query = realtime.database().collection("messages").where("room", "==", "sync:1").order_by("id")
        with query.limit(5).snapshots() as snapshots:
            assert next(snapshots).docs == ()
            write(table, "insert into messages (id, room, body) values (8001, 'sync:1', 'a')")
            changed = next(snapshots)
            assert [(change.type, change.doc.data["body"]) for change in changed.changes] == [("added", "a")]
        assert list(snapshots) == []
        assert len(query.get().docs) == 1
        seen: list[Snapshot] = []
        again = query.snapshots(timeout=0.2)
        while not seen:  # a busy machine may need more than the timeout for the first one
            seen.extend(again)
        assert [len(snapshot.docs) for snapshot in seen] == [1]
        write(table, "delete from messages where id = 8001")
        while len(seen) < 2:
            seen.extend(again)
        assert len(seen[1].docs) == 0

    await run(consume)


async def test_selected_fields_are_all_that_documents_have(run: Run, table: str) -> None:
    def consume(realtime: SyncRealtime) -> None:
        write(table, "insert into messages (id, room, body) values (8101, 'sync:2', 'a')")
        query = realtime.database().collection("messages").where("room", "==", "sync:2").select("body")
        assert [doc.data for doc in query.get().docs] == [{"id": 8101, "body": "a"}]
        assert next(query.pages(2)).docs == query.get().docs
        assert query.count() == 1

    await run(consume)


async def test_pages_are_one_live_list_to_iterate_over(run: Run, table: str) -> None:
    write(table, "truncate messages; insert into messages select n, 'a', '', 0 from generate_series(1, 3) n")

    def consume(realtime: SyncRealtime) -> None:
        query = realtime.database().collection("messages").order_by("id")
        with query.pages(2) as pages:
            first = next(pages)
            assert ([doc.id for doc in first.docs], first.strategy, pages.has_more) == (["1", "2"], "incremental", True)
            pages.load_more()
            assert [(change.type, change.doc.id) for change in next(pages).changes] == [("added", "3")]
            assert not pages.has_more
            write(table, "delete from messages where id = 1")
            assert [doc.id for doc in next(pages).docs] == ["2", "3"] == [doc.id for doc in pages.docs]
        assert list(pages) == []
        assert not realtime._realtime._manager.subscriptions
        with pytest.raises(RealtimeError, match="no field 'nope'"), query.where("nope", "==", 1).pages(2) as refused:
            next(refused)

    await run(consume)


async def test_a_live_query_that_is_refused_raises_in_the_loop(run: Run) -> None:
    def consume(realtime: SyncRealtime) -> None:
        with pytest.raises(RealtimeError, match="RT_004"):
            list(realtime.database().collection("nowhere").snapshots())

    await run(consume)


async def test_a_loop_over_messages_gets_the_history_and_what_follows(run: Run, channel_name: str) -> None:
    def consume(realtime: SyncRealtime) -> None:
        channel = realtime.channel(channel_name, history=5, presence=True)
        ack = channel.send("sent", 1)
        assert repr(channel) == f"<SyncChannel {channel_name!r} not subscribed>"
        with channel:
            assert channel.is_subscribed
            messages = channel.messages("sent")
            channel.send("other", 0)
            channel.send("sent", 2)
            assert [next(messages).data for _ in range(2)] == [1, 2]
            channel.update_presence(status="away")
            assert [user.id for user in channel.get_presence().users] == ["ada"]
            realtime.when_seen(str(ack.position))
        assert list(messages) == []
        assert not channel.is_subscribed
        with pytest.raises(RealtimeError, match="RT_003"):
            realtime.channel("private:x").subscribe()

    await run(consume)


async def test_closing_the_client_ends_the_loops_of_other_threads(run: Run, channel_name: str) -> None:
    def consume(realtime: SyncRealtime) -> threading.Thread:
        messages = realtime.channel(channel_name).subscribe().messages()
        waiting, got = threading.Event(), list[Any]()

        def loop() -> None:
            waiting.set()
            got.extend(message.data for message in messages)

        thread = threading.Thread(target=loop)
        thread.start()
        waiting.wait()
        return thread

    thread = await run(consume)
    await asyncio.to_thread(thread.join, GIVE_UP_AFTER)
    assert not thread.is_alive()


async def test_a_loop_that_is_left_ends_its_live_query(run: Run) -> None:
    def consume(realtime: SyncRealtime) -> None:
        for _ in realtime.database().collection("messages").snapshots():
            assert len(realtime._realtime._manager.subscriptions) == 1
            break
        gc.collect()
        while realtime._realtime._manager.subscriptions:
            realtime.database().collection("messages").get()

    await run(consume)
