"""What the dashboard is made of: pages of connections, channels, live queries and alerts, in every order, each row once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from tests.support.clients.list_client import read, write
from tests.support.servers.rest_api import FIGURES, USER_ROWS, problem

CONNECTIONS = """
insert into realtime.connections (id, node_id, user_id, transport, ip, connected_at)
select format('x%s', lpad(n::text, 3, '0')), case when n % 2 = 0 then 'n1' else 'n2' end,
       case when n % 5 <> 0 then format('user %s', n % 7) end, 'websocket', '198.51.100.1',
       now() - n % 9 * interval '1 minute'
from generate_series(1, 60) n"""
CHANNELS = """
insert into realtime.node_channels (node_id, channel, subscribers)
select 'n1', format('room:%s', n), n % 4 from generate_series(1, 40) n"""
QUERIES = """
insert into realtime.node_queries
  (node_id, query_id, collection, role, strategy, reason, query, subscribers, result_rows, reads, read_ms)
select node, format('id%s', n), format('table%s', n % 3), 'member', 're-read', 'it has LIMIT',
       format('{"limit":%s}', n), n % 5, n, 2, n % 6
from generate_series(1, 40) n, unnest('{n1,n2}'::text[]) node"""
ALERTS = """
insert into realtime.alerts (rule, measure, subject, severity, value, threshold, cleared_at, cleared_because)
select 'slot_lag', 'slot_lag_bytes', format('s%s', n), 'warning', n, 1,
       case when n % 2 = 0 then now() end, case when n % 2 = 0 then 'measure' end
from generate_series(1, 30) n"""
OTHER_NODE = "insert into realtime.nodes (id, lease_expires_at) values ('n2', now() + interval '1 hour')"


@pytest.fixture
def filled(database: str) -> str:
    write(database, *USER_ROWS.split(";\n"))
    write(
        database,
        "insert into realtime.nodes (id, lease_expires_at, schema_version) values ('n2', now() + interval '1 hour', 1)",
    )
    write(database, "update realtime.nodes set schema_version = 1")
    write(database, *FIGURES.split(";\n"), FIGURES.split(";\n")[0].replace("'n1'", "'n2'"))
    write(database, "delete from realtime.alerts", CONNECTIONS, CHANNELS, QUERIES, ALERTS)
    return database


async def pages(http: httpx.AsyncClient, path: str, list_name: str, **query: str) -> list[dict[str, Any]]:
    """All rows of a list, page by page; the count that each page has is theirs."""
    rows: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    counts = set()
    while True:
        answer = await http.get(path, params={"limit": 7, "count": "true", **query, **after})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows += page[list_name]
        counts.add(page["count"])
        assert len(page[list_name]) <= 7
        if page["next"] is None:
            break
        assert len(page[list_name]) == 7
        after = {"after": page["next"]}
    assert counts == {len(rows)}
    return rows


def ordered(rows: list[dict[str, Any]], name: str, *, down: bool) -> bool:
    given = [row[name] for row in rows]
    return given == sorted(given, reverse=down)


@pytest.mark.usefixtures("filled")
async def test_connections_are_found_by_what_they_are_and_come_in_the_order_that_is_asked_for(
    http: httpx.AsyncClient,
) -> None:
    path = "/realtime/connections"
    for sort in ({}, {"sort": "connectedAt"}, {"sort": "-connectedAt"}, {"sort": "user"}):
        rows = await pages(http, path, "connections", **sort)
        assert len({row["id"] for row in rows}) == len(rows) == 63
        if sort.get("sort") == "user":
            users = [row["userId"] for row in rows]
            named = [user for user in users if user is not None]
            assert users == named + [None] * (len(users) - len(named)), "anonymous ones are last"
            assert named == sorted(named)
        else:
            by = "connectedAt" if sort else "id"
            assert ordered(rows, by, down=sort.get("sort") == "-connectedAt")
    found = {
        "search=x00": 9,
        "search=user 3": 7,
        "search=198.51": 60,
        "search=192.0.2.1": 1,
        "search=51.100": 0,
        "search=%": 0,
        "channel=chat:1": 3,
        "channel=none": 0,
        "node=n2": 30,
        "userId=ada": 2,
        "search=c&userId=ada": 2,
    }
    for query, count in found.items():
        parameters = dict(part.split("=") for part in query.split("&"))
        assert len(await pages(http, path, "connections", **parameters)) == count, query
    [one] = (await http.get(path, params={"limit": 1})).json()["connections"]
    assert (one["id"], one["presentIn"]) == ("c1", ["chat:1"])
    uncounted = (await http.get(path)).json()
    assert uncounted["count"] is None


async def test_one_connection_is_shown_with_its_metadata(http: httpx.AsyncClient, filled: str) -> None:
    write(filled, """update realtime.connections set metadata = '{"device": "phone"}' where id = 'c1'""")
    one = (await http.get("/realtime/connections/c1")).json()
    assert {**one, "connectedAt": ""} == {
        "id": "c1",
        "nodeId": "n1",
        "userId": "ada",
        "attributes": {"team": "red"},
        "metadata": {"device": "phone"},
        "transport": "websocket",
        "ip": "192.0.2.1",
        "connectedAt": "",
        "presentIn": ["chat:1"],
    }
    write(filled, "update realtime.connections set dropped_at = now() where id = 'c1'")
    problem(await http.get("/realtime/connections/c1"), 404, "RT_004")


@pytest.mark.usefixtures("filled")
async def test_channels_in_use_come_in_pages_and_their_histories_only_where_asked_for(
    http: httpx.AsyncClient, database: str
) -> None:
    write(
        database,
        "select realtime.broadcast('chat:1', 'e', '1')",
        "select realtime.create_channel('a room', capacity => 3)",
    )
    path = "/realtime/active-channels"
    for sort, by, down in (
        ("-subscribers", "subscribers", True),
        ("-members", "members", True),
        ("name", "channel", False),
    ):
        rows = await pages(http, path, "channels", sort=sort)
        assert len({row["channel"] for row in rows}) == len(rows) == 42
        if by != "channel":  # whose order is that of the database
            assert ordered(rows, by, down=down)
    [chat] = await pages(http, path, "channels", search="chat")
    assert (chat["subscribers"], chat["members"], chat["messages"], chat["room"]) == (3, 2, None, False)
    [chat] = await pages(http, path, "channels", search="chat", history="true")
    assert (chat["messages"], chat["historyBytes"] > 0) == (1, True)
    assert [each["channel"] for each in await pages(http, path, "channels", channel="room:1")] == ["room:1"]
    [room] = await pages(http, path, "channels", search="a room")
    assert (room["room"], room["capacity"], room["subscribers"]) == (True, 3, 0)
    await pages(http, path, "channels", sort="-lastMessageAt")


@pytest.mark.usefixtures("filled")
async def test_a_live_query_is_one_row_for_all_nodes_that_keep_it(http: httpx.AsyncClient) -> None:
    path = "/realtime/live-queries"
    for sort, by in (("-readMs", "readMs"), ("-subscribers", "subscribers")):
        rows = await pages(http, path, "queries", sort=sort)
        assert len({row["queryId"] for row in rows}) == len(rows) == 41
        assert ordered(rows, by, down=True)
    [found] = await pages(http, path, "queries", search="id17")
    assert {**found, "query": ""} == {
        "queryId": "id17",
        "collection": "table2",
        "role": "member",
        "strategy": "re-read",
        "reason": "it has LIMIT",
        "query": "",
        "subscribers": 4,
        "rows": 17,
        "reads": 4,
        "readMs": 10.0,
        "cost": None,
        "nodes": ["n1", "n2"],
    }
    assert await pages(http, path, "queries", queryId="id17") == [found]
    assert await pages(http, path, "queries", queryId="id1", search="none") == []
    assert len(await pages(http, path, "queries", search="TABLE1")) == 14
    assert len(await pages(http, path, "queries", search='"limit":1')) == 11
    elsewhere = (await http.get(f"{path}/id17/explain")).json()
    assert (elsewhere["strategy"], elsewhere["reason"], elsewhere["sql"]) == ("re-read", "it has LIMIT", None)
    assert elsewhere["note"] == "this server does not keep the query: ask n1 or n2"
    problem(await http.get(f"{path}/none/explain"), 404, "RT_004")


@pytest.mark.usefixtures("filled")
async def test_alerts_are_listed_the_latest_first_and_their_rules_are_changed(
    http: httpx.AsyncClient, database: str
) -> None:
    rows = await pages(http, "/realtime/alerts", "alerts")
    assert len(rows) == 30
    assert ordered(rows, "id", down=True)
    opened = await pages(http, "/realtime/alerts", "alerts", open="true")
    past = await pages(http, "/realtime/alerts", "alerts", open="false")
    assert Counter(row["clearedBecause"] for row in opened) == {None: 15}
    assert Counter(row["clearedBecause"] for row in past) == {"measure": 15}
    rules = (await http.get("/realtime/alert-rules")).json()["rules"]
    assert [rule["name"] for rule in rules] == sorted(rule["name"] for rule in rules)
    path = "/realtime/alert-rules/slot_lag"
    changed = await http.patch(path, json={"threshold": 100, "clearAt": None, "hold": 90.5})
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert (shown["threshold"], shown["clearAt"], shown["hold"], shown["severity"]) == (100, None, 90.5, "warning")
    stored = (
        "select threshold, clear_at, extract(epoch from hold)::float8, enabled"
        " from realtime.alert_rules where name = 'slot_lag'"
    )
    assert read(database, stored) == [(100.0, None, 90.5, True)]
    assert not (await http.patch(path, json={"enabled": False})).json()["enabled"]
    for wrong in (
        {"clearAt": 101},
        {"threshold": -1},
        {"hold": 86401},
        {"severity": "loud"},
        {"measure": "x"},
        {"threshold": None},
    ):
        problem(await http.patch(path, json=wrong), 400, "RT_007")
    assert read(database, stored) == [(100.0, None, 90.5, False)]
    problem(await http.patch("/realtime/alert-rules/none", json={"enabled": True}), 404, "RT_004")


@pytest.mark.parametrize("path", ["connections?sort=user&", "active-channels?", "live-queries?", "alerts?"])
@pytest.mark.parametrize(
    "after", ["x", "bm9uZQ", "W10", "WyJhIiwiYiIsImMiXQ", "WzEsIlx1MDAwMCIsImEiXQ", "-", "99999999999999999999"]
)
async def test_a_place_that_no_page_gave_is_refused(http: httpx.AsyncClient, path: str, after: str) -> None:
    answer = await http.get(f"/realtime/{path}after={after}")
    if after == "W10":  # a place without values, before all others
        assert answer.status_code in (200, 400)
    else:
        problem(answer, 400, "RT_007")
