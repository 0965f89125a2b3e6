"""The members of a presence channel, in a process of their own: ``python -m tests.bench.parts.load_presence '{…}'``.

Joins all at once, reports how long that took, then changes members' presence at a steady rate, and reports how long every
member waited for it. All members get the same bytes; each takes the time of one in so many.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any
from zlib import crc32

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.bench.parts.load import report

__all__ = ["PresencePlan"]

_STUCK = 10.0
_AT_ONCE = 100  # connections opened at the same time


class PresencePlan(msgspec.Struct):
    """``rate``: updates per second of all members together, for ``warmup`` and then ``seconds``."""

    url: str
    channel: str
    members: int
    rate: float
    seconds: float
    warmup: float = 2.0
    every: int = 50


class _State(msgspec.Struct):
    at: float


class _User(msgspec.Struct):
    state: _State


class _Update(msgspec.Struct):
    user: _User


_decode = msgspec.json.Decoder(_Update).decode


class Member(WSListener):
    """One connection. ``joined``, ``complete``: when it was answered, and when it knew of all members."""

    def __init__(self, number: int, plan: PresencePlan) -> None:
        self.joined = 0.0
        self.complete = 0.0
        self.updates = 0
        self.checksum = 0
        self.answered = 0
        self.taken: list[float] = []
        self.since = 0.0
        self.failure: str | None = None
        self.transport: WSTransport | None = None
        self._all = b'"count":%d}' % plan.members
        self._every = plan.every
        self._due = number % plan.every

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.failure = f"closed: {frame.get_close_code()} {frame.get_close_message()!r}"
        if frame.msg_type != WSMsgType.TEXT:
            return
        view = frame.get_payload_as_memoryview()
        kind = bytes(view[9:25])
        if kind == b'presence:update"':
            self.checksum = crc32(view, self.checksum)
            self.updates += 1
            if self.updates > self._due:
                self._due += self._every
                at = _decode(view).user.state.at
                if at >= self.since:
                    self.taken.append(time.time() - at)
        elif kind.startswith(b'ack"'):
            self.answered += 1
        else:
            self._come(bytes(view))

    def _come(self, body: bytes) -> None:
        now = time.time()
        if body.startswith(b'{"type":"subscribed"'):
            self.joined = now
        elif body.startswith(b'{"type":"error"'):
            self.failure = body.decode()
        if self._all in body[-20:]:  # of a change, or of the list in the answer
            self.complete = now


async def run(plan: PresencePlan) -> None:
    """Join, then update."""
    members = await connect(plan)
    report({"connected": len(members)})
    if await asyncio.to_thread(sys.stdin.readline):
        report(await join(plan, members))
    if await asyncio.to_thread(sys.stdin.readline):
        report(await update(plan, members))


async def connect(plan: PresencePlan) -> list[Member]:
    """All connections, not all at the same moment: that would measure the listen queue."""
    members: list[Member] = []

    async def one(number: int) -> Member:
        _, listener = await ws_connect(lambda: Member(number, plan), plan.url, read_buffer_init_size=16 * 1024)
        assert isinstance(listener, Member)
        return listener

    for first in range(0, plan.members, _AT_ONCE):
        members += await asyncio.gather(*(one(number) for number in range(first, min(first + _AT_ONCE, plan.members))))
    return members


async def join(plan: PresencePlan, members: list[Member]) -> dict[str, Any]:
    """All at once; until everybody knows that everybody is there."""
    subscribe = json.dumps({"type": "subscribe", "channel": plan.channel, "presence": True}).encode()
    cpu = time.process_time()
    began = time.time()
    for member in members:
        assert member.transport is not None
        member.transport.send(WSMsgType.TEXT, subscribe)
    await until(lambda: sum(member.complete > 0 for member in members), len(members))
    return {
        "joined": [member.joined - began for member in members if member.joined],
        "complete": [member.complete - began for member in members if member.complete],
        "failures": [member.failure for member in members if member.failure][:5],
        "cpu": time.process_time() - cpu,
    }


async def update(plan: PresencePlan, members: list[Member]) -> dict[str, Any]:
    """One member after the other, evenly."""
    began, cpu, sent = time.time(), time.process_time(), 0
    for member in members:
        member.since = began + plan.warmup
    total = int(plan.rate * (plan.warmup + plan.seconds))
    while sent < total:
        due = min(total, int((time.time() - began) * plan.rate) + 1) - sent
        for _ in range(due):
            transport = members[sent % len(members)].transport
            assert transport is not None
            transport.send(
                WSMsgType.TEXT,
                b'{"type":"presence:update","channel":"%b","data":{"status":"here","at":%.6f}}'
                % (plan.channel.encode(), time.time()),
            )
            sent += 1
        await asyncio.sleep(0.001)
    sent_in = time.time() - began
    await until(lambda: sum(member.updates for member in members), total * len(members))
    return {
        "sent": sent,
        "sent_in": sent_in,
        "took": time.time() - began,
        "delivered": sum(member.updates for member in members),
        "missing": total * len(members) - sum(member.updates for member in members),
        "same": len({member.checksum for member in members}) == 1,
        "failures": [member.failure for member in members if member.failure][:5],
        "taken": [seconds for member in members for seconds in member.taken],
        "cpu": time.process_time() - cpu,
    }


async def until(count: Any, wanted: int) -> None:
    """Wait until ``count()`` is ``wanted``, or nothing changes any more."""
    before, since = -1, time.monotonic()
    while (now := count()) < wanted:
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK:
            return
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=PresencePlan)))
