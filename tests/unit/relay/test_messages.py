"""Messages between relay and workers: any chunks of bytes give the messages that were sent, anything else is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feed.decoders.frames import WalFrames
from engine.feed.feed import ServerIdentity
from engine.feed.startup import Processes
from engine.relay.messages import (
    Break,
    Confirmed,
    Doubt,
    FromWorker,
    Hello,
    OtherServer,
    Part,
    Passed,
    Reconnected,
    RecordingWanted,
    RelayProtocolError,
    Splitter,
    Status,
    ToWorker,
    Welcome,
    encode,
    from_worker,
    to_worker,
)

SERVER = ServerIdentity("7", 1, 100, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1, 2})))
TO_WORKER: list[ToWorker] = [
    Welcome(1, 10, True, "", False, "pgoutput", SERVER),
    Status("reconnecting", "a reason", 3),
    Part(10, WalFrames(18, 20, 7, 5, 0, True, (b"R",), (b"I" * 300, b""))),
    Passed(20, 1 << 62),
    Passed(20, 20, 15),
    Break(20, 5, 2, "lost", True, True, 0, SERVER),
    Reconnected(),
]
FROM_WORKER: list[FromWorker] = [
    Hello(1, "1.2", "node"),
    Hello(1, "1.2", "node", 1 << 62, 10, SERVER),
    Confirmed(1, 10),
    Doubt(),
    OtherServer(2),
    RecordingWanted(),
]


@given(st.lists(st.sampled_from(TO_WORKER)), st.lists(st.integers(1, 40), min_size=1))
def test_messages_come_out_of_any_chunks_as_they_went_in(messages: list[ToWorker], sizes: list[int]) -> None:
    data = b"".join(map(encode, messages))
    splitter, found, at, turn = Splitter(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += [to_worker(message) for message in splitter.feed(data[at : at + size])]
        at, turn = at + size, turn + 1
    assert found == messages


def test_the_messages_of_workers_come_out_as_they_went_in() -> None:
    data = b"".join(map(encode, FROM_WORKER))
    assert [from_worker(message) for message in Splitter().feed(data)] == FROM_WORKER


@pytest.mark.parametrize("data", [b"", b"\xc1", msgspec.msgpack.encode([99]), encode(Confirmed(1, 2))[4:-1]])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(RelayProtocolError, match="not a message of the relay"):
        from_worker(data)
    with pytest.raises(RelayProtocolError, match="not a message of the relay"):
        to_worker(data)
