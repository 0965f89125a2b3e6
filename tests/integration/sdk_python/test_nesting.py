"""A row that is nested more deeply than Python reads ends the queries that show it; the client stays connected."""

from __future__ import annotations

import asyncio

from bunbase import RealtimeError

from tests.integration.sdk_python.conftest import MakeClient
from tests.support.clients.list_client import write
from tests.support.servers.processes import GIVE_UP_AFTER


def nested(levels: int) -> str:
    return f"repeat('[', {levels}) || repeat(']', {levels})"


async def test_a_row_nested_too_deeply_ends_its_query_and_the_connection_goes_on(
    client: MakeClient, table: str
) -> None:
    write(
        table,
        "drop table if exists deep",
        "create table deep (id int primary key, doc json, docb jsonb)",
        f"insert into deep values (1, ({nested(512)})::json, ({nested(512)})::jsonb)",
        "select realtime.expose('deep')",
    )
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        lost: list[object] = []
        ada.on("disconnected", lost.append)
        deep = ada.database().collection("deep")
        errors: asyncio.Queue[RealtimeError] = asyncio.Queue()
        async with deep.sql("select id from deep order by id").snapshots() as flat:
            assert [doc.id for doc in (await anext(flat)).docs] == ["1"]
            for query in (deep, deep.sql("select id, doc, docb from deep where id + 0 > 0")):
                firsts: asyncio.Queue[object] = asyncio.Queue()
                query.on_snapshot(firsts.put_nowait).on("error", errors.put_nowait)
                await firsts.get()  # 512 levels are read
            write(table, f"insert into deep values (1500, ({nested(1500)})::json, null)")
            assert [doc.id for doc in (await anext(flat)).docs] == ["1", "1500"]
            for _ in range(2):
                assert_names(await errors.get(), "doc")
            write(table, f"update deep set doc = null, docb = ({nested(1500)})::jsonb where id = 1500")
            for query in (deep, deep.sql("select id, doc, docb from deep where id + 0 > 0")):
                query.on_snapshot(lambda _: None).on("error", errors.put_nowait)
                assert_names(await errors.get(), "docb")
            write(table, "delete from deep where id = 1500")
            assert [doc.id for doc in (await anext(flat)).docs] == ["1"]
        assert lost == []


def assert_names(error: RealtimeError, field: str) -> None:
    assert error.code == "RT_007"
    assert f"the field '{field}' of the row '1500' is nested more than 512 levels deep" in str(error)
