"""A message of the past becomes a frame once for all who ask, however long the past is."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.messages.decode import MessageRow
from server.wire import encoder
from server.wire.encoder import ChannelFrames
from server.wire.frame import Frame, write_frames


def event(number: int, size: int, committed_at: int | None = None) -> MessageEvent:
    payload = b'"%b"' % (b"x" * size)
    row = MessageRow(number * 256, number, "c", "e", payload, None, None, str(number), None, 0, "2026-01-25")
    return MessageEvent(row, committed_at)


async def test_the_second_who_asks_gets_the_same_frames() -> None:
    frames = ChannelFrames()
    past = [event(number, 20_000) for number in range(200)]
    assert sum(len(each.json) for each in past) > 2 * encoder._KEPT_BYTES
    first = [frames.frame(each) for each in past]
    assert [frames.frame(each) for each in past] == first  # frames are compared by identity


async def test_what_is_kept_of_the_past_is_bounded_and_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_PAST_BYTES", 50_000)
    monkeypatch.setattr(encoder, "_PAST_FOR", 0.0)
    frames = ChannelFrames()
    for number in range(100):
        frames.frame(event(number, 10_000))
        assert frames._past_size <= 70_000
        assert frames._past_size == sum(len(frame.data) for frame in frames._past.values())
    for _ in range(3):
        await asyncio.sleep(0)
    assert (frames._past, frames._past_size) == ({}, 0)


def test_a_message_of_the_present_needs_no_event_loop() -> None:
    frames = ChannelFrames()
    live = event(1, 100, committed_at=1)
    assert frames.frame(live) is frames.frame(live)


class Written:
    """What a transport was given, and how."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []

    def write(self, data: bytes) -> None:
        self.calls.append([data])

    def writelines(self, parts: list[bytes]) -> None:
        self.calls.append(parts)


@pytest.mark.parametrize(
    ("sizes", "calls"), [([5000], 1), ([100, 200], 1), ([5000, 6000], 2), ([1, 100_000], 2), ([8000, 100, 100], 1)]
)
def test_large_frames_are_written_without_a_copy(sizes: list[int], calls: int) -> None:
    transport = Written()
    frames = [Frame(bytes([number]) * size) for number, size in enumerate(sizes)]
    assert write_frames(cast("asyncio.WriteTransport", transport), frames) == sum(sizes)
    [parts] = transport.calls
    assert b"".join(parts) == b"".join(frame.data for frame in frames)
    assert len(parts) == calls
