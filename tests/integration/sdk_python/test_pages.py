"""What is made of live queries: one result, and pages."""

from __future__ import annotations

import asyncio

import pytest
from bunbase import RealtimeError, Snapshot

from tests.integration.sdk_python.conftest import MakeClient, next_of
from tests.support.clients.list_client import write
from tests.support.servers.processes import GIVE_UP_AFTER


async def test_one_result_leaves_no_subscription_and_pages_are_one_live_list(client: MakeClient, table: str) -> None:
    write(table, "truncate messages; insert into messages select n, 'a', '', 0 from generate_series(1, 5) n")
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
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
