"""The floor of ``bench_rls``: a bare picows server that writes the same bytes to as many sockets (:class:`Plan`).

No database, no rows, no policies: each message that a client sends is answered with an empty list. A line of input
``[rate, seconds, text]`` begins a round: at each tick every change that is due becomes a frame, built once, and is queued
for the connections that see it; each of these is written to once. The row ``text`` then goes to all of them, and ``"done"``
is reported.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from server.wire.encoder import text_frame
from tests.bench.parts.load import report

__all__ = ["Plan"]

_TICK = 0.005
_DOC = (
    b'{"type":"%b","oldIndex":%d,"newIndex":%d,"doc":{"id":"%d","data":{"id":%d,"owner":"user-123","team":12,'
    b'"body":"%b","at":%.6f}}}'
)
_BODY = b"a note of about the length of a message in a chat"


class Plan(msgspec.Struct):
    """Each change goes to the next ``seen_by`` of the connections."""

    port: int
    seen_by: int


class Connection(WSListener):
    """One client."""

    def __init__(self, everyone: list[Connection]) -> None:
        self.queue: list[bytes] = []
        self._everyone = everyone
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._everyone.append(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, b'{"type":"snapshot","changes":[]}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._everyone.remove(self)

    def flush(self) -> None:
        """One write of all that is queued."""
        if self._transport is not None:
            self._transport.underlying_transport.write(b"".join(self.queue))
        self.queue.clear()


def message(number: int, body: bytes) -> bytes:
    """As the server writes it: a row comes, and the one beyond the limit goes."""
    now = time.time()
    changes = (
        _DOC % (b"removed", 19, -1, number, number, _BODY, now),
        _DOC % (b"added", -1, 0, number, number, body, now),
    )
    return text_frame(
        b'{"type":"snapshot","channel":"db:collection:note","id":"q","position":"0/16B3790","changes":[%b]}'
        % b",".join(changes)
    )


async def play(everyone: list[Connection], seen_by: int, rate: float, seconds: float) -> None:
    """``rate`` changes a second for so many seconds."""
    chance, groups = random.Random(1), max(1, len(everyone) // seen_by)
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        waiting: dict[Connection, None] = {}
        while sent < passed * rate:
            sent += 1
            frame, first = message(sent, _BODY), chance.randrange(groups) * seen_by
            for connection in everyone[first : first + seen_by]:
                connection.queue.append(frame)
                waiting[connection] = None
        for connection in waiting:
            connection.flush()
        await asyncio.sleep(max(0.0, _TICK - (time.monotonic() - began - passed)))


async def main(plan: Plan) -> None:
    """Serve until the input ends."""
    everyone: list[Connection] = []

    def accept(request: WSUpgradeRequest) -> Connection:
        return Connection(everyone)

    await ws_create_server(accept, "127.0.0.1", plan.port, backlog=2048)
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        rate, seconds, last = json.loads(line)
        await play(everyone, plan.seen_by, rate, seconds)
        for connection in everyone:
            connection.queue.append(message(0, last.encode()))
            connection.flush()
        report("done")


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))
