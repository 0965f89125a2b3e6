"""What nodes answer over REST about each other: latencies of all, and the plan of a query where it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.support.clients.list_client import write
from tests.support.clients.users import rest_client, running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER

Body = dict[str, Any]
TABLE = """
create table items (id int primary key, owner text, n int);
insert into items select g, 'ada', g from generate_series(1, 9) g;
create index on items (n);
select realtime.expose('items')
"""


async def answered(http: httpx.AsyncClient, path: str, enough: Callable[[Body], bool]) -> Body:
    """The answer, once it is as ``enough`` wants: figures are written every two seconds."""
    found: Body = {}
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not enough(found := (await http.get(path)).json()):  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{path}: {found}")
    return found


def count_of(latency: Body, stage: str) -> int:
    [found] = [each["count"] for each in latency["stages"] if each["stage"] == stage]
    return int(found)


async def test_each_node_answers_for_all_and_explains_the_queries_that_it_keeps(database: str) -> None:
    write(database, *TABLE.split(";\n"))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(running_server(database)) for _ in range(2)]
        https = [await stack.enter_async_context(rest_client(server)) for server in servers]
        users = [await stack.enter_async_context(user_client(server, "ada")) for server in servers]
        for user in users:
            await user.join("chat:1")
        for n in range(3):
            await users[0].ask(type="message", channel="chat:1", event="e", data=n)
        for user in users:
            for _ in range(3):
                await user.receive("message")

        for path in ("/latency?minutes=1", "/nodes?x=1", "/slots?x=", "/alert-rules?after=a", "/connections?minutes=1"):
            refused = await https[0].get(path)
            assert (refused.status_code, refused.json()["code"]) == (400, "RT_007"), path
            assert path.partition("?")[2].partition("=")[0] in refused.json()["detail"]

        for http in https:
            found = await answered(http, "/latency", lambda found: count_of(found, "total") == 6)
            assert found["minutes"] == 5
            assert [each["stage"] for each in found["stages"]] == ["feed", "apply", "encode", "write", "total"]
            for each in found["stages"]:
                assert 0 <= each["p50Ms"] <= each["p95Ms"] <= each["p99Ms"]

        nodes = (await answered(https[1], "/nodes", lambda found: all(each["version"] for each in found["nodes"])))[
            "nodes"
        ]
        assert [(each["state"], each["connections"]) for each in nodes] == [("ok", 1), ("ok", 1)]
        slots = (await https[0].get("/slots")).json()["slots"]
        assert {each["slot"] for each in slots if each["own"]} == {each["slot"] for each in nodes}

        counted = "select count(*) as id from items where n > $1"
        await users[0].join("db:collection:items", id="q", query={"where": [["n", ">", 7]]})
        await users[0].join("db:collection:items", id="c", query={"sql": counted, "params": [4]})
        listed = await answered(https[1], "/live-queries?sort=queryId&count=true", lambda found: found["count"] == 2)
        by_strategy = {each["strategy"]: each for each in listed["queries"]}
        for strategy, in_sql, value in (("incremental", "items", "7"), ("re-read", "count(*)", "4")):
            query = by_strategy[strategy]
            path = f"/live-queries/{query['queryId']}/explain"
            here = (await https[0].get(path)).json()
            assert (here["queryId"], here["strategy"], here["note"]) == (query["queryId"], strategy, None), here
            assert here["reason"] == query["reason"]
            assert in_sql in here["sql"]
            assert value in [*here["parameters"], *here["sql"].split()], here
            assert "(cost=" in here["plan"]
            elsewhere = (await https[1].get(path)).json()
            assert (elsewhere["strategy"], elsewhere["sql"], elsewhere["plan"]) == (strategy, None, None)
            assert elsewhere["note"] == f"this server does not keep the query: ask {query['nodes'][0]}"
