"""The REST API: what it does is in the tables, what it says is in its description, and what is wrong is a problem."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest
from starlette.applications import Starlette

from server.rest import ENDPOINTS, Rest
from tests.server.listener import read, write

KEY = "correct horse"
LOCAL = "http://localhost:8000"


def api(rest: Rest, *, client: tuple[str, int] = ("127.0.0.1", 5), **options: Any) -> httpx.AsyncClient:
    app = Starlette(routes=[rest.mount])
    transport = httpx.ASGITransport(app=app, client=client)
    return httpx.AsyncClient(transport=transport, base_url=options.pop("base_url", LOCAL), **options)


def rest_over(dsn: str, key: str | None = None) -> Rest:
    return Rest(dsn, "1.2.3", key=key, pool_size=2, message_size=128 * 1024)


@pytest.fixture
async def http(database: str) -> AsyncIterator[httpx.AsyncClient]:
    rest = rest_over(database)
    await rest.start()
    async with asyncio.timeout(60), api(rest) as client:
        yield client
    await rest.stop()


@pytest.fixture
async def keyed(database: str) -> AsyncIterator[httpx.AsyncClient]:
    rest = rest_over(database, KEY)
    await rest.start()
    async with asyncio.timeout(60), api(rest, client=("203.0.113.5", 5)) as client:
        yield client
    await rest.stop()


def problem(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code), body
    detail: str = body["detail"]
    return detail


SOMEBODY = """
insert into realtime.nodes (id, slot_name, lease_expires_at) values ('n1', 's1', now() + interval '1 hour');
insert into realtime.connections (id, node_id, user_id, transport, ip, attributes) values
  ('c1', 'n1', 'ada', 'websocket', '192.0.2.1', '{"team": "red"}'), ('c2', 'n1', 'ada', 'websocket', null, '{}'),
  ('c3', 'n1', null, 'sse', null, '{}');
insert into realtime.presence (channel, connection_id, user_id, metadata, state) values
  ('chat:1', 'c1', 'ada', '{"name": "Ada"}', '{"status": "online"}'), ('chat:1', 'c2', 'ada', '{"name": "Ada"}', '{}'),
  ('chat:1', 'c3', 'c3', '{}', '{}')
"""


@pytest.mark.parametrize("path", ["chat:room-123", "chat%3Aroom-123", "a%2Fb", "caf%C3%A9", "with%20space", "100%25"])
async def test_a_broadcast_is_a_row_whatever_the_channel_is_called(
    http: httpx.AsyncClient, database: str, path: str
) -> None:
    data = {"text": "Grüße", "n": [1, 2.5, None, True, 12345678901234567890]}
    body = {"event": "new-message", "data": data, "sender": "ada"}
    answer = await http.post(f"/realtime/channels/{path}/broadcast", json=body)
    assert answer.status_code == 201, answer.text
    name = httpx.URL(f"{LOCAL}/{path}").path[1:]
    assert answer.json()["channel"] == name
    [row] = read(database, "select channel, event, payload, sender, id from realtime.messages")
    assert row == (name, "new-message", data, "ada", answer.json()["id"])


async def test_a_broadcast_with_an_id_can_be_repeated(http: httpx.AsyncClient, database: str) -> None:
    body = {
        "event": "e",
        "data": 1,
        "id": "mine",
        "priority": 5,
        "audience": {"users": ["a"], "exclude": {"sender": True}},
    }
    answers = [await http.post("/realtime/channels/c/broadcast", json=body) for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"channel": "c", "id": "mine"}] * 2
    [row] = read(database, "select audience, priority from realtime.messages")
    assert row == ({"users": ["a"], "exclude": {"sender": True}}, 5)


async def test_a_message_without_data_is_null(http: httpx.AsyncClient, database: str) -> None:
    assert (await http.post("/realtime/channels/c/broadcast", json={"event": "e"})).status_code == 201
    assert read(database, "select payload from realtime.messages") == [(None,)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"event":"e"} x',
        b'{"data":1}',
        b'{"event":""}',
        b'{"event":"e","extra":1}',
        b'{"event":"e","data":"\\u0000"}',
        b'{"event":"e","data":1e400}',
        b'{"event":"e","data":"\\ud800"}',
        b'{"event":"e","data":"\xff"}',
        b'{"event":"e","data":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"event":"' + b"x" * 256 + b'"}',
        b'{"event":"e","audience":{"everyone":true}}',
        b'{"event":"e","priority":"high"}',
        b'{"event":"e\\n"}',
    ],
)
async def test_a_body_that_cannot_be_is_refused_and_nothing_is_stored(
    http: httpx.AsyncClient, database: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await http.post("/realtime/channels/c/broadcast", content=body, headers=headers), 400, "RT_007")
    assert read(database, "select count(*) from realtime.messages") == [(0,)]


@pytest.mark.parametrize("size", [128 * 1024 - 1, 300 * 1024])
async def test_data_beyond_the_limit_is_refused(http: httpx.AsyncClient, database: str, size: int) -> None:
    body = {"event": "e", "data": "x" * size}
    problem(await http.post("/realtime/channels/c/broadcast", json=body), 413, "RT_005")
    fits = {"event": "e", "data": "x" * (128 * 1024 - 2)}
    assert (await http.post("/realtime/channels/c/broadcast", json=fits)).status_code == 201


async def test_a_channel_that_must_be_made_first_is_unknown_until_then(http: httpx.AsyncClient, database: str) -> None:
    write(database, "insert into realtime.channel_defaults (pattern, dynamic) values ('room:*', false)")
    problem(await http.post("/realtime/channels/room:1/broadcast", json={"event": "e"}), 404, "RT_004")
    assert (await http.post("/realtime/channels", json={"name": "room:1"})).status_code == 201
    assert (await http.post("/realtime/channels/room:1/broadcast", json={"event": "e"})).status_code == 201


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


async def test_presence_counts_users_not_connections(http: httpx.AsyncClient, database: str) -> None:
    write(database, SOMEBODY)
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
    write(database, SOMEBODY)
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


async def test_what_is_not_there_is_said_so(http: httpx.AsyncClient) -> None:
    problem(await http.get("/realtime/nothing"), 404, "RT_004")
    problem(await http.get("/realtime/channels/"), 404, "RT_004")
    problem(await http.get("/realtime/channels/none"), 404, "RT_004")
    answer = await http.put("/realtime/channels/c/broadcast", json={})
    problem(answer, 405, "RT_007")
    assert answer.headers["allow"] == "POST"
    problem(await http.post("/realtime/channels/c/broadcast", content=b"{}"), 415, "RT_007")
    problem(await http.get("/realtime/channels/%ff"), 400, "RT_007")
    problem(await http.get("/realtime/channels/a%00b"), 400, "RT_007")


async def test_without_a_key_only_this_machine_is_let_in(database: str) -> None:
    rest = rest_over(database)
    await rest.start()
    async with api(rest, client=("203.0.113.5", 5)) as stranger, api(rest, client=("::1", 5)) as local:
        assert "machine" in problem(await stranger.get("/realtime/channels"), 403, "RT_003")
        assert (await local.get("/realtime/channels")).status_code == 200
        for headers in (
            {"X-Forwarded-For": "203.0.113.5"},
            {"Origin": "https://evil.example"},
            {"Host": "evil.example"},
        ):
            problem(await local.get("/realtime/channels", headers=headers), 403, "RT_003")
    await rest.stop()


async def test_with_a_key_whoever_has_it_is_let_in(keyed: httpx.AsyncClient) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
    ):
        answer = await keyed.get("/realtime/channels", headers=headers)
        problem(answer, 401, "RT_002")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await keyed.get("/realtime/channels", headers={"Authorization": f"Bearer {KEY}"})).status_code == 200
    assert (await keyed.get("/realtime/openapi.json")).json()["security"] == [{"key": []}]


async def test_a_database_that_is_away_is_a_problem_not_a_crash(database: str) -> None:
    rest = rest_over("host=127.0.0.1 port=1 dbname=none connect_timeout=1")
    async with api(rest) as http:
        problem(await http.get("/realtime/channels"), 503, "RT_001")
        await rest.start()
        problem(await http.get("/realtime/channels"), 503, "RT_001")
    await rest.stop()


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def fits(document: Mapping[str, Any], schema: Mapping[str, Any], value: object) -> bool:
    """Whether a value is what a schema says; as much of JSON Schema as the description uses."""
    schema = resolve(document, schema)
    if "anyOf" in schema:
        return any(fits(document, each, value) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if kind is not None and not isinstance(value, kinds[kind]):
        return False
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return set(schema.get("required", ())) <= set(value) <= set(known) and all(
            fits(document, known[name], each) for name, each in value.items()
        )
    if isinstance(value, list) and "items" in schema:
        return all(fits(document, schema["items"], each) for each in value)
    return True


async def test_the_description_says_what_every_endpoint_takes_and_gives(http: httpx.AsyncClient, database: str) -> None:
    write(database, SOMEBODY)
    document = (await http.get("/realtime/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    bodies: dict[str, object] = {
        "broadcast": {"event": "e", "data": {"a": 1}},
        "broadcastWidely": {"event": "e", "channels": ["room"], "audience": {"exclude": {"sender": True}}},
        "kick": {"userId": "ada"},
        "createChannel": {"name": "room"},
        "changeChannel": {"capacity": 3},
    }
    order = [
        "createChannel",
        "broadcast",
        "broadcastWidely",
        "listMessages",
        "getPresence",
        "kick",
        "listChannels",
        "getChannel",
    ]
    order += ["changeChannel", "closeChannel", "listConnections", "disconnect", "disconnectUser"]
    operations = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert sorted(operations) == sorted(order) == sorted(endpoint.name for endpoint in ENDPOINTS)
    for name in order:
        path, method, operation = operations[name]
        assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        url = path.replace("{id}", "room").replace("{connectionId}", "c3")
        required = {p["name"]: "ada" for p in operation["parameters"] if p["in"] == "query" and p["required"]}
        body = bodies.get(name)
        assert ("requestBody" in operation) == (body is not None)
        if body is not None:
            assert fits(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        answer = await http.request(method, url, params=required, json=body)
        assert str(answer.status_code) in operation["responses"], (name, answer.text)
        assert answer.is_success, (name, answer.text)
        content = operation["responses"][str(answer.status_code)].get("content")
        if content is None:
            assert answer.content == b""
        else:
            assert fits(document, content["application/json"]["schema"], answer.json()), (name, answer.text)
        for status, described in operation["responses"].items():
            if status >= "4":
                schema = described["content"]["application/problem+json"]["schema"]
                assert "code" in resolve(document, schema)["properties"]


async def test_every_reference_in_the_description_leads_somewhere(http: httpx.AsyncClient) -> None:
    text = (await http.get("/realtime/openapi.json")).text
    document = json.loads(text)
    for reference in set(re.findall(r'"\$ref":"([^"]+)"', text.replace(": ", ":"))):
        assert resolve(document, {"$ref": reference})


async def test_the_page_tells_every_endpoint_and_loads_nothing(keyed: httpx.AsyncClient) -> None:
    answer = await keyed.get("/realtime/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.name}"' in answer.text
    assert not re.search(r"<script|<link|src=|url\(|https?://(?!localhost)", answer.text)


async def test_the_api_does_nothing_that_sql_cannot(http: httpx.AsyncClient, database: str) -> None:
    """An ordinary role with the publisher's grants can do the same."""
    with psycopg.connect(database) as connection:
        connection.execute("set role realtime_publisher")
        connection.execute("select realtime.broadcast('c', 'e', '1')")
        connection.execute("select realtime.create_channel('room')")
        connection.execute("select realtime.kick('c', 'ada')")
        connection.execute("select realtime.disconnect(user_id => 'ada')")


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
    "body",
    [
        {"priority": "1"},
        {"priority": True},
        {"audience": {"exclude": {"sender": "yes"}}},
        {"audience": {"where": [["team", "=", "red"]]}},
        {"audience": {"where": [["team"]]}},
        {"audience": {"where": ["team"]}},
    ],
)
async def test_values_of_another_type_and_conditions_that_cannot_be_are_refused(
    http: httpx.AsyncClient, database: str, body: dict[str, Any]
) -> None:
    problem(await http.post("/realtime/channels/c/broadcast", json={"event": "e", **body}), 400, "RT_007")
    assert read(database, "select count(*) from realtime.messages") == [(0,)]


@pytest.mark.parametrize("path", ["a%09b", "a%7Fb", "%01", "*", "db:x"])
async def test_names_that_no_channel_can_have_are_refused(http: httpx.AsyncClient, path: str) -> None:
    problem(await http.post(f"/realtime/channels/{path}/broadcast", json={"event": "e"}), 400, "RT_007")


@pytest.mark.parametrize("seconds", [0.001, 12.5, 315360000])
async def test_any_time_that_is_described_can_be_set(http: httpx.AsyncClient, seconds: float) -> None:
    made = await http.post("/realtime/channels", json={"name": "r", "ttl": seconds})
    assert (made.status_code, made.json()["ttl"]) == (201, seconds)
    problem(await http.patch("/realtime/channels/r", json={"ttl": 1e-5}), 400, "RT_007")


@pytest.mark.parametrize("path", ["channels/a%0Ab/presence", "channels/a%0A", "%0A", "channels%0A/x"])
async def test_a_line_break_in_the_address_is_answered_with_a_code(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/realtime/{path}")
    assert problem(answer, 400, "RT_007") == "names have no control characters"


async def test_what_a_name_may_not_have_is_said_in_words(http: httpx.AsyncClient) -> None:
    answer = await http.post("/realtime/channels/c/broadcast", json={"event": "a\nb"})
    assert problem(answer, 400, "RT_007") == "event: control characters are not allowed"
    answer = await http.get("/realtime/channels/c/messages", params={"before": "yesterday"})
    assert problem(answer, 400, "RT_007") == "before: not a position; one is like 0/16B3790/42"
