"""The clients of ``bench_fanout``: ``python -m tests.bench.costs.load_fanout '{…}'`` (see :class:`Plan`).

Reports ``"ready"`` when each has subscribed. A line of input is the number of messages of a round, which the publisher sends
at ``rate``; what the subscribers saw of it is reported when each has all of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.bench.parts.load import report
from tests.bench.parts.processes import percentile
from tests.bench.parts.sockets import Publisher

__all__ = ["Plan", "Subscriber", "joined", "received"]

_AT_ONCE = 50  # connections that are opened at the same time
_STUCK = 30.0  # seconds without a message after which the rest is lost
_AT = b'"at":'
_DIGITS = 17  # of seconds since 1970 with microseconds


class Plan(msgspec.Struct):
    """``rate``: messages a second."""

    url: str
    channel: str
    subscribers: int
    rate: float


class Subscriber(WSListener):
    """``taken``: seconds from when each message was sent to here."""

    def __init__(self, subscribe: bytes) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.taken: list[float] = []
        self._subscribe = subscribe

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, self._subscribe)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        body = frame.get_payload_as_bytes()
        if self.ready.done():
            at = body.index(_AT) + len(_AT)
            self.taken.append(time.time() - float(body[at : at + _DIGITS]))
        elif body.startswith(b'{"type":"subscribed"'):
            self.ready.set_result(None)
        elif body.startswith(b'{"type":"error"'):
            self.ready.set_exception(RuntimeError(body.decode()))


async def joined(url: str, channel: str, count: int) -> list[Subscriber]:
    """So many, which have subscribed."""
    subscribe = json.dumps({"type": "subscribe", "channel": channel}).encode()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> Subscriber:
        async with gate:
            _, listener = await ws_connect(
                lambda: Subscriber(subscribe), url, enable_auto_pong=True, websocket_handshake_timeout=_STUCK
            )
            assert isinstance(listener, Subscriber)
            await listener.ready
            return listener

    return await asyncio.gather(*(one() for _ in range(count)))


async def received(subscribers: list[Subscriber], count: int) -> None:
    """Wait until each has so many messages. Raises ``RuntimeError`` if the rest does not come."""
    before, since = -1, time.monotonic()
    while min(len(subscriber.taken) for subscriber in subscribers) < count:
        now = sum(len(subscriber.taken) for subscriber in subscribers)
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK:
            raise RuntimeError(f"{count * len(subscribers) - now} messages did not come")
        await asyncio.sleep(0.02)


async def run(plan: Plan) -> None:
    """Everything; reports each round."""
    subscribers = await joined(plan.url, plan.channel, plan.subscribers)
    publisher = await Publisher.open(plan.url, plan.channel, 0, plan.rate)
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        count = json.loads(line)
        await publisher.run(count / plan.rate, 0.001, lambda: False)
        await received(subscribers, count)
        rounds = [sorted(each) for each in zip(*(subscriber.taken for subscriber in subscribers), strict=True)]
        report(
            {
                "deliveries": count * len(subscribers),
                "first": percentile([each[0] for each in rounds], 50),
                **{f"p{p}": percentile([seconds for each in rounds for seconds in each], p) for p in (50, 95, 99)},
            }
        )
        for subscriber in subscribers:
            subscriber.taken.clear()


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
