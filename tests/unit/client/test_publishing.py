"""What a client publishes in one go: submitted, judged and answered together, in its place among other requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.frames import Opcode

from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from server.auth.authorizer import UNKNOWN, Action, Circumstances, NameRules
from server.ports.channels import Ack, Answer, Publication
from server.transports.websocket.websocket_connection import WebSocketConnection
from server.wire.frame import Frame
from tests.support.clients.raw_socket import handshake, masked, read_frame
from tests.support.fakes.server import fake_server

GIVE_UP_AFTER = 60


def text(type: str, **fields: Any) -> bytes:
    return masked(Opcode.TEXT, json.dumps({"type": type, **fields}).encode())


def message(number: int, channel: str = "c") -> bytes:
    return text("message", channel=channel, event="e", data=number, ref=str(number))


async def test_messages_of_one_read_are_judged_once_a_channel_submitted_together_and_answered_in_one_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []
    written: list[Frame] = []
    calls: list[list[tuple[Publication, Answer]]] = []
    submitted = asyncio.Event()

    def judge(
        rules: NameRules, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        judged.append(resource)

    def write(connection: WebSocketConnection, frame: Frame) -> None:
        written.append(frame)
        put(connection, frame)

    def submit(messages: Sequence[tuple[Publication, Answer]]) -> int:
        calls.append(list(messages))
        if len(calls) == 2:
            submitted.set()
        return len(messages)

    put = WebSocketConnection.write
    monkeypatch.setattr(NameRules, "judge", judge)
    monkeypatch.setattr(WebSocketConnection, "write", write)
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        monkeypatch.setattr(server.rooms, "submit", submit)
        reader, writer = await handshake(server)
        together = [message(0), message(1, "d"), message(2), text("ping"), message(3), message(4)]
        writer.write(b"".join(together))
        assert json.loads((await read_frame(reader))[1])["type"] == "pong"
        await submitted.wait()
        assert [[publication.data for publication, _ in call] for call in calls] == [[b"0", b"1", b"2"], [b"3", b"4"]]
        assert judged == ["c", "d", "c"], "once for each channel of what is submitted together"
        answers = [answer for call in calls for _, answer in call]
        for number, answer in enumerate(answers):
            answer(UnavailableError("not now") if number == 3 else Ack(f"i{number}", None))
        got = [json.loads((await read_frame(reader))[1]) for _ in answers]
        assert [(each["ref"], each["type"]) for each in got] == [
            *((str(number), "ack") for number in range(3)),
            ("3", "error"),
            ("4", "ack"),
        ]
        assert [frame.count for frame in written[-3:]] == [3, 1, 1]
        [connection] = server.connections
        assert not connection.reading_paused
        writer.close()


async def test_what_came_before_a_broken_frame_is_published_and_what_came_behind_it_is_not() -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        for number, broken in enumerate((masked(Opcode.TEXT, b"\xff"), masked(Opcode.TEXT, b"{}", rsv1=True))):
            reader, writer = await handshake(server)
            writer.write(message(10 * number) + broken + message(10 * number + 1))
            while (await read_frame(reader))[0] != Opcode.CLOSE:
                pass
            writer.close()  # for which the server waits
            async with server.rooms.changed:
                await server.rooms.changed.wait_for(lambda number=number: len(server.rooms.gone) == number + 1)  # type: ignore[misc]
        await server.services.background.drain(GIVE_UP_AFTER)
        assert [each.data for each in server.rooms.published] == [b"0", b"10"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("message", {"channel": "c", "event": "e", "data": 1}),
        ("message", {"channel": "{number}", "event": "e", "data": 1}),
        ("presence:update", {"channel": "c", "data": {}}),
        ("subscribe", {"channel": "{number}", "presence": True, "history": 10}),
        ("subscribe", {"channel": "db:collection:items", "id": "{number}", "query": {}}),
        ("unsubscribe", {"channel": "c"}),
        ("history", {"channel": "c", "limit": 1000}),
        ("auth", {"token": "t"}),
        ("ping", {}),
    ],
)
async def test_a_burst_of_requests_makes_few_tasks_and_timers(kind: str, fields: dict[str, Any]) -> None:
    """As many as a hundred thousand, of which none is answered by the database meanwhile."""
    loop = asyncio.get_running_loop()
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await handshake(server)
        writer.write(text("subscribe", channel="c", presence=True))
        assert json.loads((await read_frame(reader))[1])["type"] == "subscribed"
        server.rooms.gate.clear()
        peak = [0, 0]

        def counted() -> tuple[int, int]:
            return len(asyncio.all_tasks()), len(loop._scheduled)  # type: ignore[attr-defined]

        idle = counted()

        def look() -> None:
            peak[:] = (max(most, now - before) for most, now, before in zip(peak, counted(), idle, strict=True))

        with contextlib.suppress(ConnectionError):  # the server ends it
            for number in range(1_000):
                named = {name: str(number) if value == "{number}" else value for name, value in fields.items()}
                writer.write(100 * text(kind, **named))
                await asyncio.sleep(0)
                look()
                if writer.is_closing():
                    break
            while not reader.at_eof():
                await reader.read(1 << 16)
                look()
        assert max(peak) < 200, "a connection may send a hundred messages at once"
        server.rooms.gate.set()
        writer.close()
