"""A process of clients: ``python -m server.bench.load.agent`` (see :mod:`server.bench.load.orders`).

The first line of its input is a ``Plan``, the others are orders, each answered by one line: ``Counts``, or the tally for
``Count``. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from typing import Any

import msgspec

from server.bench.load import acts
from server.bench.load.clients.tally import Tally
from server.bench.load.orders import (
    Act,
    Arrive,
    Connect,
    Count,
    Counts,
    Drop,
    Order,
    Plan,
    Publish,
    Receive,
    Subscribe,
    Write,
)

__all__: list[str] = []


class Agent:
    """The clients of this process, by group."""

    def __init__(self, plan: Plan) -> None:
        self._clients = acts.Clients(plan)
        self._cpu = time.process_time()

    async def carry_out(self, order: Order) -> Any:
        """The answer to an order."""
        if isinstance(order, Count):
            return self._count()
        began = time.monotonic()
        counts = await self._act(order)
        counts.seconds = time.monotonic() - began
        return msgspec.to_builtins(counts)

    async def leave(self) -> None:
        """There are no more orders."""
        await self._clients.drop_all()

    async def _act(self, order: Act) -> Counts:
        clients = self._clients
        match order:
            case Connect():
                return await clients.connect(order)
            case Subscribe():
                return await clients.subscribe(order)
            case Publish():
                return await clients.publish(order)
            case Receive():
                return await clients.receive(order)
            case Drop():
                return await clients.drop(order)
            case Write():
                from server.bench.load.writers import write  # the driver takes memory that clients need

                return await write(order, clients.tally)
            case Arrive():
                return await clients.arrive(order)

    def _count(self) -> dict[str, Any]:
        tally, cpu = self._clients.tally, time.process_time()
        tally.cpu, self._cpu = cpu - self._cpu, cpu
        self._clients.clear(Tally(every=tally.every))
        gc.collect()
        return tally.to_json()


async def run() -> None:
    """Carry out orders until there are no more."""
    agent = Agent(msgspec.json.decode(await _line(), type=Plan))
    decode = msgspec.json.Decoder(Order).decode
    while line := await _line():
        print(json.dumps(await agent.carry_out(decode(line))), flush=True)
    await agent.leave()


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    """Take all files that this process may have, and begin."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.freeze()
    gc.disable()  # a collection of ten thousand clients would be measured as latency of the server
    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())


if __name__ == "__main__":
    main()
