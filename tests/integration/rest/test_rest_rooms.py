"""Rooms over REST: made, changed, listed and closed; who is there, who is put out, and what was sent."""

from __future__ import annotations

import httpx
import pytest

from tests.support.clients.list_client import read, write
from tests.support.servers.rest_api import USER_ROWS, problem


async def test_a_room_is_made_read_changed_listed_and_closed(http: httpx.AsyncClient) -> None:
    settings = {"metadata": {"topic": "Tea"}, "capacity": 5, "ttl": 3600.5, "presenceTimeout": 0, "createdBy": "ada"}
    made = await http.post("/realtime/channels", json={"name": "chat:1", **settings})
    assert made.status_code == 201, made.text
    room = made.json()
    assert {name: room[name] for name in settings} == settings
    assert (room["history"], room["typingTimeout"], room["maxMessages"], room["closedAt"]) == (True, 5, None, None)
    assert (await http.get("/realtime/channels/chat:1")).json() == room
    problem(await http.post("/realtime/channels", json={"name": "chat:1"}), 409, "RT_007")
    changed = await http.patch("/realtime/channels/chat%3A1", json={"capacity": None, "typingTimeout": 2.5})
    assert changed.status_code == 200, changed.text
    differs = {name for name, value in changed.json().items() if value != room[name]}
    assert differs == {"capacity", "typingTimeout", "updatedAt"}
    await http.post("/realtime/channels", json={"name": "chat:2"})
    page = (await http.get("/realtime/channels", params={"limit": 1})).json()
    assert ([each["name"] for each in page["channels"]], page["next"]) == (["chat:1"], "chat:1")
    page = (await http.get("/realtime/channels", params={"limit": 1, "after": "chat:1"})).json()
    assert ([each["name"] for each in page["channels"]], page["next"]) == (["chat:2"], None)
    assert (await http.delete("/realtime/channels/chat:1")).status_code == 204
    problem(await http.delete("/realtime/channels/chat:1"), 404, "RT_004")
    problem(await http.patch("/realtime/channels/chat:1", json={"capacity": 1}), 404, "RT_004")
    problem(await http.post("/realtime/channels/chat:1/broadcast", json={"event": "e"}), 404, "RT_004")
    names = [each["name"] for each in (await http.get("/realtime/channels")).json()["channels"]]
    assert names == ["chat:2"]
    everything = (await http.get("/realtime/channels", params={"closed": "true"})).json()["channels"]
    assert [(each["name"], each["closedAt"] is None) for each in everything] == [("chat:1", False), ("chat:2", True)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "c", "capacity": 0},
        {"name": "c", "ttl": -1},
        {"name": "c", "nme": 1},
    ],
)
async def test_a_room_that_cannot_be_is_refused(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    problem(await http.post("/realtime/channels", json=body), 400, "RT_007")
    problem(await http.post("/realtime/channels", json={"name": "db:collection:x"}), 400, "RT_007")


@pytest.mark.parametrize("seconds", [0.001, 12.5, 315360000])
async def test_any_time_that_is_described_can_be_set(http: httpx.AsyncClient, seconds: float) -> None:
    made = await http.post("/realtime/channels", json={"name": "r", "ttl": seconds})
    assert (made.status_code, made.json()["ttl"]) == (201, seconds)
    problem(await http.patch("/realtime/channels/r", json={"ttl": 1e-5}), 400, "RT_007")


async def test_rooms_are_shown_as_sql_made_them_also_beyond_what_rest_accepts(
    http: httpx.AsyncClient, database: str
) -> None:
    write(database, "select realtime.create_channel('a', ttl => '100 years', presence_timeout => '3 days')")
    write(database, """select realtime.create_channel('b', metadata => '{"x": 1.10, "y": 1e5000}')""")
    write(
        database,
        "update realtime.channels set metadata = (repeat('{\"a\":', 3000) || '1' || repeat('}', 3000))::jsonb "
        "where name = 'a'",
    )
    listed = await http.get("/realtime/channels")
    assert listed.status_code == 200
    assert b'"ttl":3155760000.0' in listed.content
    assert b'{"a": ' * 3000 in listed.content
    assert b'"x": 1.10, "y": 1' + b"0" * 5000 in (await http.get("/realtime/channels/b")).content


async def test_presence_counts_users_not_connections(http: httpx.AsyncClient, database: str) -> None:
    write(database, USER_ROWS)
    answer = (await http.get("/realtime/channels/chat:1/presence")).json()
    assert (answer["channel"], answer["count"]) == ("chat:1", 2)
    assert [(user["id"], user["name"], user["metadata"], user["connections"]) for user in answer["users"]] == [
        ("ada", "Ada", {"name": "Ada"}, 2),
        ("c3", None, {}, 1),
    ]
    assert (await http.get("/realtime/channels/nobody/presence")).json() == {
        "channel": "nobody",
        "users": [],
        "count": 0,
    }


async def test_a_kick_takes_the_presence_away_and_connections_are_listed_and_ended(
    http: httpx.AsyncClient, database: str
) -> None:
    write(database, USER_ROWS)
    kicked = await http.post("/realtime/channels/chat:1/kick", json={"userId": "ada", "reason": "spam"})
    assert kicked.json() == {"channel": "chat:1", "userId": "ada", "connections": 2}
    assert read(database, "select connection_id from realtime.presence") == [("c3",)]
    listed = (await http.get("/realtime/connections", params={"userId": "ada"})).json()
    assert [each["id"] for each in listed["connections"]] == ["c1", "c2"]
    assert listed["connections"][0] | {"connectedAt": 0} == {
        "id": "c1",
        "nodeId": "n1",
        "userId": "ada",
        "attributes": {"team": "red"},
        "transport": "websocket",
        "ip": "192.0.2.1",
        "connectedAt": 0,
        "presentIn": [],
    }
    page = (await http.get("/realtime/connections", params={"limit": 2})).json()
    assert page["next"] == "c2"
    assert (await http.delete("/realtime/connections/c3")).status_code == 204
    problem(await http.delete("/realtime/connections/c3"), 404, "RT_004")
    assert (await http.delete("/realtime/connections", params={"userId": "ada"})).json() == {"count": 2}
    problem(await http.delete("/realtime/connections"), 400, "RT_007")
    assert read(database, "select count(*) from realtime.connections") == [(0,)]


async def test_a_page_of_history_has_at_most_16_mib_and_marks_earlier_messages(
    http: httpx.AsyncClient, database: str
) -> None:
    write(
        database,
        "insert into realtime.messages (channel, event, payload) "
        "select 'c', 'e', to_jsonb(lpad(n::text, 119998, 'x')) from generate_series(1, 300) n",
        """insert into realtime.commits (channel, xid, position, first_at, last_at)
           select channel, xid, '0/1000', min(inserted_at), max(inserted_at) from realtime.messages group by 1, 2""",
    )
    pages, before = list[list[int]](), None
    while not pages or before is not None:
        params = {"limit": "1000"} | ({} if before is None else {"before": before})
        page = (await http.get("/realtime/channels/c/messages", params=params)).json()
        pages.append([int(message["data"].lstrip("x")) for message in page["messages"]])
        before = page["before"]
    full = (16 << 20) // 120_000
    assert [len(page) for page in pages] == [full, full, 300 - 2 * full]
    assert [number for page in reversed(pages) for number in page] == list(range(1, 301))


async def test_history_is_read_back_page_by_page_in_commit_order(http: httpx.AsyncClient, database: str) -> None:
    for number in range(5):
        await http.post("/realtime/channels/c/broadcast", json={"event": "e", "data": number})
    # What a running server writes down when it sees the commits.
    write(
        database,
        """insert into realtime.commits (channel, xid, position, first_at, last_at)
           select channel, xid, '0/1000'::pg_lsn + seq, inserted_at, inserted_at from realtime.messages""",
    )
    page = (await http.get("/realtime/channels/c/messages", params={"limit": 2})).json()
    assert [message["data"] for message in page["messages"]] == [3, 4]
    assert page["before"] == page["messages"][0]["position"]
    page = (await http.get("/realtime/channels/c/messages", params={"limit": 3, "before": page["before"]})).json()
    assert ([message["data"] for message in page["messages"]], page["before"]) == ([0, 1, 2], None)
    problem(await http.get("/realtime/channels/c/messages", params={"before": "yesterday"}), 400, "RT_007")
    problem(await http.get("/realtime/channels/c/messages", params={"limit": 1001}), 400, "RT_007")
    problem(await http.get("/realtime/channels/c/messages", params={"after": "0/1/1"}), 400, "RT_007")


async def test_history_has_the_numbers_and_the_times_that_postgres_has(http: httpx.AsyncClient, database: str) -> None:
    write(
        database,
        "insert into realtime.messages (channel, event, payload, inserted_at) "
        "values ('c', 'e', '12345678901234567890.123456789012345678901', 'infinity')",
    )
    write(
        database,
        "insert into realtime.commits select channel, xid, '0/10', inserted_at, inserted_at from realtime.messages",
    )
    answer = await http.get("/realtime/channels/c/messages")
    assert b'"data":12345678901234567890.123456789012345678901,"timestamp":"infinityZ"' in answer.content


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"name": "r", "capasity": 3}, "capasity is no field here; did you mean capacity?"),
        ({"name": "r", "capacity": "3"}, "capacity must be a whole number"),
        ({"name": "r", "capacity": 0}, "capacity must be more than 0"),
        ({"name": ""}, "name must have at least 1 character"),
        ({}, "name is missing"),
        ([], "body: it must be an object, not a list"),
    ],
)
async def test_what_is_wrong_with_a_body_is_in_our_words(http: httpx.AsyncClient, body: object, detail: str) -> None:
    answer = await http.post("/realtime/channels", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)
