"""Server-sent events: what a plain ``EventSource`` needs, ids that lose nothing, requests that send, slow readers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from engine.channels.core.messages.model import Position, parse_position
from server.transports.sse.event_ids import read_id
from tests.support.clients.list_client import TOP, write
from tests.support.clients.transports import EventStreamClient, open_stream, transport_client
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

CHANNELS = ("chat:1", "chat:2", "chat:3")


class EventSource:
    """An ``EventSource`` of browsers: goes on from its last id, at the address it was made with."""

    def __init__(self, http: httpx.AsyncClient, query: str) -> None:
        self.http = http
        self.query = query
        self.last_id = ""
        self.received: dict[str, dict[str, Any]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EventStreamClient]:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        response = await self.http.send(
            self.http.build_request("GET", f"/sse?{self.query}", headers=headers), stream=True
        )
        stream = EventStreamClient(self.http, response)
        stream.last_id = self.last_id
        try:
            yield stream
        finally:
            self.last_id = stream.last_id
            await stream.close()

    async def listen(self, stream: EventStreamClient, most: int, wanted: int) -> None:
        """Take up to ``most`` events, or until so many messages in all have been received."""
        for _ in range(most):
            if len(self.received) == wanted:
                return
            self.take(await stream.receive())

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self.received[f"{message['channel']} {message['position']}"] = message


def positions(message: dict[str, Any]) -> tuple[int, int, int]:
    high, low, number = message["position"].split("/")
    return int(high, 16), int(low, 16), int(number)


def at(id: str) -> Position:
    """The position that an id is about."""
    return parse_position(id.partition(";")[0])


def fill(dsn: str, first: int, last: int) -> None:
    """Messages of all channels, several per transaction, in turn and not."""
    for n in range(first, last):
        order = random.Random(n).sample(CHANNELS, len(CHANNELS))
        write(dsn, "select " + ", ".join(f"realtime.broadcast('{name}', 'sent', '{n}')" for name in order))


async def test_a_stream_cut_anywhere_loses_nothing_when_it_is_resumed(database: str) -> None:
    fill(database, 0, 30)
    async with running_server(database) as server, rest_client(server) as http:
        source = EventSource(http, "&".join(f"channel={name}" for name in CHANNELS) + "&history=1000")
        cuts = random.Random(7)
        wanted = 3 * 30
        async with asyncio.timeout(4 * GIVE_UP_AFTER):
            while len(source.received) < wanted:
                async with source.open() as stream:
                    await source.listen(stream, cuts.randrange(1, 150), wanted)
                if len(source.received) == wanted == 3 * 30:  # once: a stream may be cut before it brings anything new
                    fill(database, 30, 60)
                    wanted = 3 * 60
        for name in CHANNELS:
            mine = [message for message in source.received.values() if message["channel"] == name]
            assert [message["data"] for message in sorted(mine, key=positions)] == list(range(60))


async def test_ids_only_grow_and_come_after_everything_before_them_also_while_channels_are_being_opened(
    database: str,
) -> None:
    fill(database, 0, 5)
    async with running_server(database) as server, rest_client(server) as http:
        source = EventSource(http, "&".join(f"channel={name}" for name in CHANNELS) + "&history=5")
        async with source.open() as stream:
            opened, early = 0, []
            while opened < len(CHANNELS):
                message = await stream.receive()
                source.take(message)
                opened += message["type"] == "subscribed"
                if stream.last_id:
                    early.append((read_id(stream.last_id), len(source.received)))
            await source.listen(stream, 15, 15)
            for id, count in early:
                for message in list(source.received.values())[count:]:
                    place = id.of(message["channel"])
                    assert place is None or parse_position(message["position"]) > parse_position(place.position)
            fill(database, 5, 10)
            seen = []
            for _ in range(15):
                await stream.receive("message")
                seen.append(stream.last_id.partition(";"))
            assert {epoch for _, _, epoch in seen} == {(await _epoch(server))}
            numbers = [positions({"position": id}) for id, _, _ in seen if id.count("/") == 2]
            assert numbers == sorted(numbers)
            assert numbers


async def _epoch(server: ServerProcess) -> str:
    async with transport_client(server.url, "websocket") as client:
        epoch: str = client.connected["epoch"]
        return epoch


async def test_a_high_message_overtakes_what_waits_and_is_not_lost_when_the_stream_is_cut_behind_it(
    database: str,
) -> None:
    broadcast = "realtime.broadcast('chat:{}', 'e', to_jsonb({}), priority => {})"
    low = ", ".join(broadcast.format(1, n, 0) for n in range(90))
    filler = f"(select count({broadcast.format(1, 'n || repeat(chr(120), 100000)', 0)}) from generate_series(90, 99) n)"
    async with running_server(database) as server, rest_client(server) as http:
        source = EventSource(http, "channel=chat:1&channel=chat:2")
        async with source.open() as stream:
            for _ in range(2):
                await stream.receive("subscribed")
            write(database, f"select {low}, {filler}, {broadcast.format(2, 100, 5)}, {broadcast.format(2, 101, 0)}")
            first = await stream.receive("message")
            assert (first["channel"], first["data"]) == ("chat:2", 100)
            before = at(stream.last_id) if stream.last_id else None
            assert before is None or before < parse_position(first["position"])
            for _ in range(50):
                source.take(await stream.receive("message"))
            assert before is None or before < at(stream.last_id)
            assert at(stream.last_id) < parse_position(first["position"])
        async with source.open() as stream:  # more than is taken at once: ids know of what waits
            await source.listen(stream, 200, 102)
        numbers = [str(message["data"]).rstrip("x") for message in sorted(source.received.values(), key=positions)]
        assert numbers == [str(n) for n in range(102)]


async def test_an_id_of_another_history_is_reported_and_the_last_messages_come_instead(database: str) -> None:
    fill(database, 0, 3)
    async with running_server(database) as server, rest_client(server) as http:
        headers = {"Last-Event-ID": "0/1;elsewhere"}
        asked = {"channel": "chat:1", "history": "2"}
        stream = EventStreamClient(http, await open_stream(http, params=asked, headers=headers))
        assert (await stream.receive("subscribed"))["recovered"] is False
        assert [(await stream.receive("message"))["data"] for _ in range(2)] == [1, 2]
        write(database, "select realtime.broadcast('chat:1', 'sent', '4')")
        assert (await stream.receive("message"))["data"] == 4
        await stream.close()


async def test_the_address_can_hold_whole_subscriptions(table: str) -> None:
    query = quote(json.dumps({"channel": "db:collection:messages", "id": "q", "query": TOP}))
    filtered = quote(json.dumps({"type": "subscribe", "channel": "chat:1", "filter": {"events": ["wanted"]}}))
    async with running_server(table) as server, rest_client(server) as http:
        stream = EventStreamClient(http, await open_stream(http, params=f"subscribe={query}&subscribe={filtered}"))
        assert {(await stream.receive("subscribed"))["channel"] for _ in range(2)} == {
            "db:collection:messages",
            "chat:1",
        }
        assert (await stream.receive("snapshot"))["reset"] is True
        write(table, "insert into messages values (1, 'a', E'two\\nlines', 5)")
        [change] = (await stream.receive("snapshot"))["changes"]
        assert change["doc"]["data"]["body"] == "two\nlines"
        write(table, "select realtime.broadcast('chat:1', 'no', '1'), realtime.broadcast('chat:1', 'wanted', '2')")
        assert (await stream.receive("message"))["data"] == 2
        await stream.close()


async def test_json_written_over_several_lines_stays_one_event(database: str) -> None:
    write(
        database,
        "create table notes (id int primary key, body json)",
        "select realtime.expose('notes')",
        "insert into notes values (1, E'{\\n \"a\": \\r\\n 1\\n}')",
    )
    async with running_server(database) as server, transport_client(server.url, "sse") as ada:
        await ada.join("db:collection:notes")
        [change] = (await ada.receive("snapshot"))["changes"]
        assert change["doc"]["data"]["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("subscribe=nonsense", 400, "RT_007"),
        ("subscribe=" + quote('{"type":"message"}'), 400, "RT_007"),
        ("channel=a&history=all", 400, "RT_007"),
        ("client=short", 400, "RT_007"),
        ("format=xml", 400, "RT_007"),
        ("channel=a&lastEventId=(0/1;e|e;abcdefgh:0/2", 400, "RT_007"),
        ("channel=" + "x" * 40_000, 414, "RT_007"),
    ],
)
async def test_an_address_that_cannot_be_is_refused_before_the_stream(
    database: str, query: str, status: int, code: str
) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        refused = await http.get(f"/sse?{query}")
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await server.health())[1]["connections"] == 0


async def test_a_disconnected_client_gets_the_code_not_to_return(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http, rest_client(server) as api:
        source = EventSource(http, "channel=chat:1")
        async with source.open() as stream:
            connected = await stream.receive("connected")
            await stream.receive("subscribed")
            await api.delete(f"/connections/{connected['connectionId']}")
            assert (await stream.receive("close"))["code"] == 4001
            assert (await stream.receive())["type"] in ("error", "end")
        again = await http.get("/sse?channel=chat:1", headers={"Last-Event-ID": source.last_id})
        assert again.status_code == 204


async def test_a_repeated_batch_is_carried_out_once_and_a_missing_one_is_noticed(database: str) -> None:
    async with (
        running_server(database) as server,
        rest_client(server) as http,
        transport_client(server.url, "sse") as ada,
    ):
        await ada.join()
        message = {"type": "message", "channel": "chat:1", "event": "sent", "data": 1}
        body = {"session": ada.connected["session"], "seq": 2, "messages": [message, message]}
        answers = [await http.post("/send", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        gap = await http.post("/send", json=body | {"seq": 4})
        assert gap.status_code == 409
        uncounted = await http.post("/send", json={"session": body["session"], "messages": [message | {"data": 2}]})
        assert uncounted.status_code == 202
        assert [(await ada.receive("message"))["data"] for _ in range(3)] == [1, 1, 2]


async def test_an_invalid_batch_is_refused_and_one_invalid_message_is_answered_in_the_stream(database: str) -> None:
    async with (
        running_server(database) as server,
        rest_client(server) as http,
        transport_client(server.url, "sse") as ada,
    ):
        secret = ada.connected["session"]
        unknown = await http.post("/send", json={"session": "nobody", "messages": []})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "RT_001")
        broken = await http.post("/send", content=b"{")
        assert (broken.status_code, broken.json()["code"]) == (400, "RT_007")
        big = await http.post("/send", content=b" " * (1024 * 1024 + 1))
        assert (big.status_code, big.json()["code"]) == (413, "RT_005")
        half = {"type": "message", "channel": "chat:1", "event": "e", "data": "\ud800", "ref": "r"}
        plain = {"session": secret, "messages": [5, half, {"type": "ping"}]}
        sent = await http.post("/send", content=json.dumps(plain), headers={"Content-Type": "text/plain"})
        assert sent.status_code == 202
        assert (await ada.receive("error"))["code"] == "RT_007"
        refused = await ada.receive("error")
        assert (refused["code"], refused["ref"]) == ("RT_007", "r")
        assert "half of a surrogate pair" in refused["message"]
        assert (await ada.receive())["type"] == "pong"
        wrong = await http.get("/send")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_sending_waits_while_too_much_is_under_way(database: str) -> None:
    async with running_server(database, max_message_rate=100_000) as server, transport_client(server.url, "sse") as ada:
        assert isinstance(ada, EventStreamClient)
        batches = [
            [{"type": "message", "channel": "chat:1", "event": "e", "data": n} for n in range(start, start + 1000)]
            for start in range(0, 3000, 1000)
        ]
        for batch in batches:
            await ada.post(*batch)
        acks = [await ada.receive("ack") for _ in range(3000)]
        assert len({ack["id"] for ack in acks}) == 3000


async def test_ending_the_session_ends_the_stream(database: str) -> None:
    async with (
        running_server(database) as server,
        rest_client(server) as http,
        transport_client(server.url, "sse") as ada,
    ):
        ended = await http.request("DELETE", "/session", json={"session": ada.connected["session"]})
        assert ended.status_code == 204
        assert (await ada.receive("close"))["code"] == 1000
        assert (await ada.receive())["type"] == "end"


async def test_pages_of_allowed_origins_only_may_use_it(database: str) -> None:
    good, evil = {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with running_server(database, allowed_origins="https://app.example") as server, rest_client(server) as http:
        for path in ("/send", "/poll"):
            preflight = await http.options(path, headers=good | asking)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "https://app.example"
            assert "access-control-allow-origin" not in (await http.options(path, headers=evil | asking)).headers
        opened = await http.post("/poll", json={}, headers=good)
        assert (opened.status_code, opened.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert (await http.post("/poll", json={}, headers=evil)).status_code == 403
        assert (await http.get("/sse", headers=evil)).status_code == 403
        stream = await open_stream(http, headers=good)
        assert stream.headers["access-control-allow-origin"] == "https://app.example"
        await stream.aclose()
