"""Clients that connect, then join a channel each, in a process of their own (see :class:`ConnectPlan`).

Out: ``"ready"``, then, for each line of input, the seconds that all took: to be greeted, and to be answered.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.bench.parts.load import receive, report
from tests.support.values.tokens import token

__all__ = ["ConnectPlan"]

_AT_ONCE = 50


class ConnectPlan(msgspec.Struct):
    """``tokens``: each client has one; ``greeted``: the server sends the first message."""

    url: str
    clients: int
    tokens: bool = False
    greeted: bool = True


class Joiner(WSListener):
    """One connection. ``answered``: the first message after the last request has come."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.errors = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.errors += b'"type":"error"' in frame.get_payload_as_bytes()
            self.answered.set()


async def run(plan: ConnectPlan) -> int:
    """Both steps; how many requests were refused."""
    headers: list[dict[str, str]] = [
        {"Authorization": f"Bearer {token(sub=f'user-{number}', org='acme')}"} if plan.tokens else {}
        for number in range(plan.clients)
    ]
    opened: list[tuple[WSTransport, Joiner]] = []

    async def connect(number: int) -> None:
        transport, listener = await ws_connect(Joiner, plan.url, extra_headers=headers[number])
        assert isinstance(listener, Joiner)
        if plan.greeted:
            await listener.answered.wait()
        opened.append((transport, listener))

    async def join(number: int) -> None:
        transport, listener = opened[number]
        listener.answered.clear()
        transport.send(WSMsgType.TEXT, b'{"type": "subscribe", "channel": "bench:%d"}' % number)
        await listener.answered.wait()

    report("ready")
    for step in (connect, join):
        await receive()
        began = time.perf_counter()
        await all_of([step(number) for number in range(plan.clients)])
        report(time.perf_counter() - began)
    await receive()
    for transport, _ in opened:
        transport.disconnect()
    return sum(listener.errors for _, listener in opened)


async def all_of(work: list[Coroutine[Any, Any, None]]) -> None:
    """So many at the same time as the clients of a busy moment are."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Coroutine[Any, Any, None]) -> None:
        async with free:
            await each

    await asyncio.gather(*map(one, work))


if __name__ == "__main__":
    report(uvloop.run(run(msgspec.json.decode(sys.argv[1], type=ConnectPlan))))
