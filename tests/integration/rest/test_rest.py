"""The REST API: what is published is in the tables, what is wrong is a problem, and not everybody is let in."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from tests.support.clients.list_client import read, write
from tests.support.servers.rest_api import KEY, LOCAL, api, problem, rest_over


@pytest.mark.parametrize(
    "path", ["chat:room-123", "chat%3Aroom-123", "a%2Fb", "caf%C3%A9", "with%20space", "100%25", "%2E%2E"]
)
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


async def test_the_api_does_nothing_that_sql_cannot(http: httpx.AsyncClient, database: str) -> None:
    """An ordinary role with the publisher's grants can do the same."""
    with psycopg.connect(database) as connection:
        connection.execute("set role realtime_publisher")
        connection.execute("select realtime.broadcast('c', 'e', '1')")
        connection.execute("select realtime.create_channel('room')")
        connection.execute("select realtime.kick('c', 'ada')")
        connection.execute("select realtime.disconnect(user_id => 'ada')")


async def test_unknown_paths_are_not_found(http: httpx.AsyncClient) -> None:
    problem(await http.get("/realtime/nothing"), 404, "RT_004")
    problem(await http.get("/realtime/channels/"), 404, "RT_004")
    problem(await http.get("/realtime/channels/none"), 404, "RT_004")
    answer = await http.put("/realtime/channels/c/broadcast", json={})
    problem(answer, 405, "RT_007")
    assert answer.headers["allow"] == "POST"
    problem(await http.post("/realtime/channels/c/broadcast", content=b"{}"), 415, "RT_007")
    problem(await http.get("/realtime/channels/%ff"), 400, "RT_007")
    problem(await http.get("/realtime/channels/a%00b"), 400, "RT_007")


@pytest.mark.parametrize("path", ["a%09b", "a%7Fb", "%01", "*", "db:x"])
async def test_names_that_no_channel_can_have_are_refused(http: httpx.AsyncClient, path: str) -> None:
    problem(await http.post(f"/realtime/channels/{path}/broadcast", json={"event": "e"}), 400, "RT_007")


@pytest.mark.parametrize("path", ["channels/a%0Ab/presence", "channels/a%0A", "%0A", "channels%0A/x"])
async def test_a_line_break_in_the_address_is_answered_with_a_code(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/realtime/{path}")
    assert problem(answer, 400, "RT_007") == "names have no control characters"


async def test_invalid_names_are_refused_in_words(http: httpx.AsyncClient) -> None:
    answer = await http.post("/realtime/channels/c/broadcast", json={"event": "a\nb"})
    assert problem(answer, 400, "RT_007") == "event: control characters are not allowed"
    answer = await http.get("/realtime/channels/c/messages", params={"before": "yesterday"})
    assert problem(answer, 400, "RT_007") == "before: not a position; one is like 0/16B3790/42"


async def test_without_a_key_only_this_machine_is_let_in(database: str) -> None:
    rest = rest_over(database)
    await rest.start()
    async with api(rest, "203.0.113.5") as stranger, api(rest, "::1") as local:
        assert "machine" in problem(await stranger.get("/realtime/channels"), 403, "RT_003")
        assert (await local.get("/realtime/channels")).status_code == 200
        for headers in (
            {"X-Forwarded-For": "203.0.113.5"},
            {"Origin": "https://evil.example"},
            {"Host": "evil.example"},
        ):
            problem(await local.get("/realtime/channels", headers=headers), 403, "RT_003")
    await rest.stop()


async def test_a_request_with_the_key_is_admitted(keyed: httpx.AsyncClient) -> None:
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
    assert (await keyed.get("/realtime/openapi.json")).json()["security"] == [{"key": []}, {"administrator": []}]


async def test_a_database_that_is_away_is_a_problem_not_a_crash(database: str) -> None:
    rest = rest_over("host=127.0.0.1 port=1 dbname=none connect_timeout=1")
    async with api(rest) as http:
        problem(await http.get("/realtime/channels"), 503, "RT_001")
        await rest.start()
        problem(await http.get("/realtime/channels"), 503, "RT_001")
    await rest.stop()
