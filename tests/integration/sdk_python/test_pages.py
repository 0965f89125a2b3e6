"""What is made of live queries: one result, and pages."""

from __future__ import annotations

import asyncio

import pytest
from bunbase import RealtimeError, Snapshot

from tests.integration.sdk_python.conftest import MakeClient, next_of, written
from tests.support.clients.list_client import write
from tests.support.nodes.live_node import walsender_stopped
from tests.support.servers.processes import GIVE_UP_AFTER

FIVE = "truncate messages; insert into messages select n, 'a', '', {} from generate_series(1, 5) n"


async def test_one_document_goes_and_comes_back_and_is_a_place_in_the_order(client: MakeClient, table: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        await written(
            ada, table, "truncate messages; insert into messages select n, 'a', '', n % 2 from generate_series(1, 5) n"
        )
        messages = ada.database().collection("messages")
        found: asyncio.Queue[Snapshot] = asyncio.Queue()
        live = messages.doc(4).on_snapshot(found.put_nowait)
        seen = []
        for step in (
            "delete from messages where id = 4",
            "insert into messages values (4, 'a', 'again', 0)",
            "update messages set id = 14 where id = 4",
            "update messages set id = 4 where id = 14",
        ):
            seen.append((await next_of(found)).doc)
            write(table, step)
        seen.append((await next_of(found)).doc)
        assert [doc and doc.data["body"] for doc in seen] == ["", None, "again", None, "again"]
        await live.unsubscribe()
        assert (await messages.doc("99").get()).doc is None
        with pytest.raises(RealtimeError, match="the values of its key"):
            await messages.doc(1, 2).get()

        query = messages.order_by("likes", "desc")
        docs = (await query.get()).docs
        assert [doc.id for doc in docs] == ["1", "3", "5", "2", "4"]
        assert [doc.id for doc in (await query.start_after(docs[1]).get()).docs] == ["5", "2", "4"]
        assert [doc.id for doc in (await query.start_at(docs[1]).end_before(docs[4]).get()).docs] == ["3", "5", "2"]
        with pytest.raises(RealtimeError, match="no field nope"):
            messages.order_by("nope").end_at(docs[0])

        assert await messages.where("likes", "==", 1).count() == 3
        assert await query.start_after(docs[1]).count() == 3
        assert await messages.limit(2).count() == 2
        numbers: asyncio.Queue[Snapshot] = asyncio.Queue()
        counted = messages.live_count().on_snapshot(numbers.put_nowait)
        assert (await next_of(numbers)).docs[0].data == {"count": 5}
        write(table, "insert into messages values (6, 'a', '', 0)")
        assert (await next_of(numbers)).docs[0].data == {"count": 6}
        await counted.unsubscribe()


async def test_documents_with_the_selected_fields_change_when_these_do(client: MakeClient, table: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        await written(
            ada, table, "truncate messages; insert into messages select n, 'a', 'b', n from generate_series(1, 5) n"
        )
        messages = ada.database().collection("messages")
        bodies = messages.order_by("likes").select("likes").select("body")
        found: asyncio.Queue[Snapshot] = asyncio.Queue()
        live, pages = bodies.on_snapshot(found.put_nowait), bodies.pages(2)
        paged: asyncio.Queue[Snapshot] = asyncio.Queue()
        pages.on("snapshot", paged.put_nowait)
        first = (await next_of(found)).docs
        assert [doc.data for doc in first] == [{"id": n, "body": "b"} for n in range(1, 6)]
        assert [doc.data for doc in (await next_of(paged)).docs] == [{"id": 1, "body": "b"}, {"id": 2, "body": "b"}]
        write(table, "update messages set room = 'other', likes = 20 where id = 5")  # no snapshot
        write(table, "update messages set likes = 10 where id = 1")
        moved = await next_of(found)
        changes = [(change.type, change.old_index, change.new_index, change.doc.data) for change in moved.changes]
        assert changes == [("modified", 0, 3, {"id": 1, "body": "b"})]
        assert [doc.id for doc in (await next_of(paged)).docs] == ["2", "3"]

        assert (await bodies.get()).docs == moved.docs
        assert await bodies.count() == 5
        async with bodies.limit(1).snapshots() as snapshots:
            assert (await anext(snapshots)).docs[0].data == {"id": 2, "body": "b"}
        assert [doc.id for doc in (await bodies.start_after(4).get()).docs] == ["1", "5"]
        with pytest.raises(RealtimeError, match="no field likes in document 2: select it"):
            bodies.start_after(moved.docs[0])
        by_id = messages.order_by("id").select("body")
        assert [doc.id for doc in (await by_id.start_after(moved.docs[0]).get()).docs] == ["3", "4", "5"]
        with pytest.raises(RealtimeError, match="has no field 'bod'; did you mean 'body'") as refused:
            await messages.select("bod").get()
        assert refused.value.code == "RT_007"
        await pages.unsubscribe()
        await live.unsubscribe()


async def test_one_result_has_what_was_committed_before_also_where_the_query_is_kept(
    client: MakeClient, table: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        await written(ada, table, "truncate messages")
        rows = ada.database().collection("messages").order_by("likes")
        number = ada.database().collection("messages").sql("select count(*) as n from messages")
        assert [(await rows.get()).docs, (await number.get()).docs[0].data] == [(), {"n": 0}]
        with walsender_stopped(table):
            write(table, "insert into messages values (1, 'a', '', 0)")
            async with rows.snapshots() as kept:
                assert (await anext(kept)).docs == ()  # as of the stream
            once = [asyncio.create_task(query.get()) for query in (rows, number)]
            live = rows.snapshots(fresh=True)
            first = asyncio.create_task(anext(live))
            with pytest.raises(RealtimeError, match="no result within"):
                await rows.get(timeout=0.5)
            assert not any(task.done() for task in (*once, first))
        for task in (*once, first):
            assert len((await task).docs) == 1
        assert once[1].result().docs[0].data == {"n": 1}
        await live.close()


async def test_one_result_leaves_no_subscription_and_pages_are_one_live_list(client: MakeClient, table: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        await written(
            ada, table, "truncate messages; insert into messages select n, 'a', '', 0 from generate_series(1, 5) n"
        )
        query = ada.database().collection("messages").order_by("id")
        assert [doc.id for doc in (await query.limit(2).get()).docs] == ["1", "2"]
        with pytest.raises(RealtimeError, match="no field 'nope'"):
            await query.where("nope", "==", 1).get()
        assert not ada._manager.subscriptions
        snapshots: asyncio.Queue[Snapshot] = asyncio.Queue()
        pages = query.pages(2, snapshots.put_nowait)
        assert [doc.id for doc in (await next_of(snapshots)).docs] == ["1", "2"]
        assert pages.has_more
        pages.load_more()
        pages.load_more()  # one at a time
        assert [(change.type, change.doc.id) for change in (await next_of(snapshots)).changes] == [
            ("added", "3"),
            ("added", "4"),
        ]
        write(table, "insert into messages values (0, 'a', '', 0)")
        assert [doc.id for doc in (await next_of(snapshots)).docs] == ["0", "1", "2", "3"]
        write(table, "delete from messages where id in (0, 1, 2)")
        await next_of(snapshots)
        assert ([doc.id for doc in pages.docs], pages.has_more) == (["3", "4", "5"], False)
        await pages.unsubscribe()
        assert not ada._manager.subscriptions
