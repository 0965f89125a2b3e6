"""One commit that changes more lists of one connection than fit into its buffer, over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients.list_client import write
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.clients.users import running_server

LISTS = 12
ROWS = 40


async def receive_lists(client: TransportClient, lists: dict[str, list[Any]], until: str) -> None:
    """Apply what comes until every list shows ``until`` in all of its rows."""
    while not all(rows and all(row["n"] == until for row in rows) for rows in lists.values()):
        event = await client.receive("snapshot")
        rows = lists[event["id"]]
        if event["reset"]:
            rows.clear()
        for change in event["changes"]:
            if change["oldIndex"] >= 0:
                assert rows.pop(change["oldIndex"])["id"] == change["doc"]["data"]["id"]
            if change["newIndex"] >= 0:
                rows.insert(change["newIndex"], change["doc"]["data"])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_commit_that_fills_the_buffer_reaches_every_list(database: str, transport: str) -> None:
    write(
        database,
        "create table t (id int primary key, n text not null default '0', x text default repeat('x', 100))",
        f"insert into t select g from generate_series(1, {ROWS}) g",
        "select realtime.expose('t')",
    )
    channel = "db:collection:t"
    async with (
        running_server(database, max_buffer_size=16 * 1024) as server,
        transport_client(server.url, transport) as ada,
    ):
        lists: dict[str, list[Any]] = {str(number): [] for number in range(LISTS)}
        for number in range(LISTS):
            query = {"where": [["id", ">", -number]], "orderBy": [["id", "asc"]]}
            assert (await ada.join(channel, id=str(number), query=query))["type"] == "subscribed"
        await receive_lists(ada, lists, "0")
        write(database, "update t set n = '1'")
        await receive_lists(ada, lists, "1")
        write(database, "update t set n = '2' where id % 2 = 0", "update t set n = '2' where id % 2 = 1")
        await receive_lists(ada, lists, "2")
        assert all([row["id"] for row in rows] == list(range(1, ROWS + 1)) for rows in lists.values())
