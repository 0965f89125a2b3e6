"""An ``EventSource`` over several channels has one id for all of them, and yet comes back to each where it was."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from engine.channels.core.messages.model import Position, parse_position
from server.transports.sse.event_ids import StreamPosition, write_id
from tests.integration.transports.test_sse import CHANNELS, EventSource, fill, positions
from tests.support.clients.list_client import write
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.processes import GIVE_UP_AFTER

EVERYTHING = "&".join(f"channel={name}" for name in CHANNELS)


async def test_a_message_of_one_channel_is_no_gap_in_the_others(database: str) -> None:
    last_id = ""
    async with running_server(database) as server, rest_client(server) as http, asyncio.timeout(GIVE_UP_AFTER):
        source = EventSource(http, EVERYTHING)
        async with source.open() as stream:
            for _ in CHANNELS:
                await stream.receive("subscribed")
            write(database, "select realtime.broadcast('chat:1', 'sent', '1')")
            message = await stream.receive("message")
            assert stream.last_id.startswith(message["position"])
        last_id = source.last_id
    write(database, "select realtime.broadcast('chat:2', 'sent', '2')")
    async with running_server(database) as server, rest_client(server) as http, asyncio.timeout(GIVE_UP_AFTER):
        source = EventSource(http, EVERYTHING)
        source.last_id = last_id
        async with source.open() as stream:
            assert [(await stream.receive("subscribed"))["recovered"] for _ in CHANNELS] == [True] * len(CHANNELS)
            assert (await stream.receive("message"))["data"] == 2


async def test_a_slow_client_resumes_without_loss(database: str) -> None:
    async with (
        running_server(database, max_buffer_size=65_536, max_backlog=262_144) as server,
        rest_client(server) as http,
        asyncio.timeout(2 * GIVE_UP_AFTER),
    ):
        source = EventSource(http, EVERYTHING)
        async with source.open() as stream:
            for _ in CHANNELS:
                await stream.receive("subscribed")
            write(database, "select realtime.broadcast('chat:1', 'sent', '1')")
            await stream.receive("message")
            assert stream.last_id
        for name in CHANNELS:
            write(
                database,
                f"select realtime.broadcast('{name}', 'sent', to_jsonb(n || repeat('x', 20000)))"
                " from generate_series(10, 49) n",
            )
        visits = 0
        while len(source.received) < 40 * len(CHANNELS):
            visits += 1
            assert visits <= 40, f"{len(source.received)} messages after {visits} visits"
            async with source.open() as stream:
                while (message := await stream.next())["type"] not in ("close", "end"):
                    source.take(message)
                    if len(source.received) == 40 * len(CHANNELS):
                        break
        assert visits > 1
        for name in CHANNELS:
            mine = sorted((m for m in source.received.values() if m["channel"] == name), key=positions)
            assert [int(message["data"][:2]) for message in mine] == list(range(10, 50))


async def test_a_client_closed_before_its_first_history_resumes_each_channel(database: str) -> None:
    unwanted = quote(json.dumps({"channel": "chat:4", "history": 1000, "filter": {"events": ["wanted"]}}))
    broadcast = "realtime.broadcast('{}', 'sent', to_jsonb(n || repeat('x', 5000)))"
    broadcasts = ", ".join(broadcast.format(name) for name in (*CHANNELS, "chat:4"))
    for start in range(0, 40, 10):  # several messages of each in a transaction, and several transactions
        write(database, f"select {broadcasts} from generate_series({start}, {start + 9}) n")
    everything, codes = 40 * len(CHANNELS), []
    async with (
        running_server(database, max_buffer_size=16_384, max_backlog=65_536) as server,
        rest_client(server) as http,
        asyncio.timeout(2 * GIVE_UP_AFTER),
    ):
        source = EventSource(http, f"{EVERYTHING}&channel=presence:lobby&subscribe={unwanted}&history=1000")
        while len(source.received) < everything:
            before = len(source.received)
            codes.append(await _receive_in_order(source, everything))
            assert len(source.received) > before, f"nothing new after {codes}"
        assert set(codes[:-1]) == {4008}
        assert len(codes) <= 2 * everything * 5000 // 65_536
        for name in CHANNELS:
            mine = [message for message in source.received.values() if message["channel"] == name]
            assert [message["data"].rstrip("x") for message in mine] == [str(n) for n in range(40)]
        async with source.open() as stream:  # then it is as if nothing had been
            epochs = {(await stream.receive("subscribed"))["epoch"] for _ in (*CHANNELS, "presence:lobby", "chat:4")}
            write(database, "select realtime.broadcast('chat:2', 'sent', '\"last\"')")
            while (last := await stream.receive("message"))["data"] != "last":
                pass
            assert stream.last_id == f"{last['position']};{epochs.pop()}"


async def _receive_in_order(source: EventSource, wanted: int) -> int | None:
    """Listen until ``wanted`` messages have been received in all, or the stream is closed; then its code."""
    last: dict[str, Position] = {}
    async with source.open() as stream:
        while len(source.received) < wanted:
            message = await stream.receive()
            if message["type"] == "close":
                code: int = message["code"]
                return code
            if message["type"] == "message":
                position = parse_position(message["position"])
                assert position > last.get(message["channel"], Position(0, 0))
                last[message["channel"]] = position
            source.take(message)
    return None


async def test_a_gap_in_one_channel_is_reported_for_that_channel_only(database: str) -> None:
    fill(database, 0, 3)
    async with running_server(database) as server, rest_client(server) as http, asyncio.timeout(GIVE_UP_AFTER):
        source = EventSource(http, f"{EVERYTHING}&history=3")
        async with source.open() as stream:
            epoch = (await stream.receive("connected"))["epoch"]
            await source.listen(stream, 100, 9)
        first = min((m for m in source.received.values() if m["channel"] == "chat:2"), key=positions)
        again = EventSource(http, EVERYTHING)
        own = {
            "chat:1": StreamPosition("0/1", "elsewhere"),
            "chat:2": StreamPosition(first["position"], epoch),
            "chat:3": None,
        }
        again.last_id = write_id(own) or ""
        async with again.open() as stream:
            answers = [await stream.receive("subscribed") for _ in CHANNELS]
            assert {answer["channel"]: answer.get("recovered") for answer in answers} == {
                "chat:1": False,
                "chat:2": True,
                "chat:3": None,
            }
            received = [await stream.receive("message") for _ in range(2)]
            assert [(message["channel"], message["data"]) for message in received] == [("chat:2", 1), ("chat:2", 2)]
