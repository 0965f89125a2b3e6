"""The subscribers of ``bench_rls``: ``python -m tests.bench.parts.load_rls '{…}'`` (see :class:`Plan`).

Reports ``"ready"`` when each has its first list. Each line of input begins a round and is the text of the row that ends it:
receives until each subscriber has got that row, of which it sees at least one, and reports what came. Each subscriber has a
connection and a token of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.bench.parts.load import report
from tests.support.values.tokens import token

__all__ = ["COLLECTION", "Plan"]

COLLECTION = "note"

_AT_ONCE = 50  # connections that are opened at the same time
_STUCK = 30.0  # seconds without a message after which the rest is lost
_TIMES = 5_000  # that are reported: the line has to fit into the buffer of a pipe
_ADDED = b'"type":"added"'


class _Data(msgspec.Struct):
    at: float


class _Doc(msgspec.Struct):
    data: _Data


class _Change(msgspec.Struct):
    type: str
    doc: _Doc | None = None


class _Message(msgspec.Struct):
    changes: list[_Change] = []


_decode = msgspec.json.Decoder(_Message).decode


class Plan(msgspec.Struct):
    """Subscribers ``first`` to ``first + count``; number n is the user n modulo ``users``. Of so many messages (``every``)
    each takes the time of one.
    """

    url: str
    role: str
    first: int
    count: int
    users: int
    limit: int
    every: int = 1


class Reader(WSListener):
    """Counts the rows that are added to its list; ``taken``: seconds from the row's ``at`` to here, of the offered load: the
    transaction that ends a round has rows for all users at once.
    """

    def __init__(self, plan: Plan, number: int) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: str | None = None
        query = {"orderBy": [["id", "desc"]], "limit": plan.limit}
        about = {"channel": f"db:collection:{COLLECTION}", "id": "q"}
        self._subscribe = json.dumps({"type": "subscribe", **about, "query": query}).encode()
        self._every = plan.every
        self._first_due = number % plan.every
        self.begin(b"")

    def begin(self, last: bytes) -> None:
        """A round begins, which the row ``last`` ends."""
        self.rows = self.messages = self.bytes = 0
        self.last = 0.0
        self.taken: list[float] = []
        self.done = False
        self._last = last
        self._due = self._first_due

    @classmethod
    async def open(cls, plan: Plan, number: int) -> Reader:
        """Connect as the subscriber's user, subscribe, and wait for the first list."""
        signed = token(sub=f"user-{number % plan.users}", role=plan.role)
        _, listener = await ws_connect(lambda: cls(plan, number), f"{plan.url}?token={signed}", enable_auto_pong=True)
        assert isinstance(listener, Reader)
        await listener.ready
        return listener

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, self._subscribe)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                self.ended = f"{frame.get_close_code()} {frame.get_close_message()!r}"
            return
        body = frame.get_payload_as_bytes()
        if not self.ready.done():
            self._begin(body)
            return
        self.messages += 1
        self.bytes += len(body)
        self.rows += body.count(_ADDED)
        if self._last and self._last in body:
            self.last, self.done = time.time(), True
        elif self.messages > self._due:
            self._due += self._every
            self._take(body)

    def _begin(self, body: bytes) -> None:
        kind = json.loads(body)["type"]
        if kind == "snapshot":
            self.ready.set_result(None)
        elif kind == "error":
            self.ready.set_exception(RuntimeError(body.decode()))

    def _take(self, body: bytes) -> None:
        now = time.time()
        self.taken += [now - each.doc.data.at for each in _decode(body).changes if each.doc and each.type == "added"]


async def run(plan: Plan) -> None:
    """Everything; reports the result of each round."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Reader:
        async with gate:
            return await Reader.open(plan, number)

    readers = await asyncio.gather(*(one(plan.first + number) for number in range(plan.count)))
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        last = json.loads(line).encode()
        for reader in readers:
            reader.begin(last)
        cpu = time.process_time()
        await _received(readers)
        report(_result(readers, time.process_time() - cpu))


def _result(readers: list[Reader], cpu: float) -> dict[str, Any]:
    taken = [seconds for reader in readers for seconds in reader.taken]
    return {
        "rows": sum(reader.rows for reader in readers),
        "messages": sum(reader.messages for reader in readers),
        "bytes": sum(reader.bytes for reader in readers),
        "missing": sum(not reader.done for reader in readers),
        "ended": [reader.ended for reader in readers if reader.ended],
        "last": max(reader.last for reader in readers),
        "taken": [round(seconds, 5) for seconds in taken[:: len(taken) // _TIMES + 1]],
        "cpu": cpu,
    }


async def _received(readers: list[Reader]) -> None:
    """Wait until each has got its last row, or nothing comes any more."""
    before, since = -1, time.monotonic()
    while not all(reader.done for reader in readers):
        now = sum(reader.messages for reader in readers)
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK or all(reader.ended for reader in readers):
            return
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
