"""Many clients of the Python SDK in one process, which report when each was connected and when it had caught up.

A child of ``bench_reconnect``. Argument: ``url``, ``clients``, ``channels``, ``transport``, ``delay``, ``most``. Out:
``{"ready": n}`` when all have subscribed to a channel with presence and to a live query; then, when all have got the message
``after``, the times of each client (seconds since the epoch).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from bunbase import Message, Realtime


class One:
    """A client and what happened to it."""

    def __init__(self, number: int, arguments: dict[str, Any]) -> None:
        self.connected: list[float] = []
        self.recovered = 0.0
        self.messages: list[str] = []
        self.snapshots = 0
        self.done = asyncio.Event()
        self._number = number
        self._arguments = arguments
        self.realtime = Realtime(
            arguments["url"],
            transports=(arguments["transport"],),
            reconnect_delay=arguments["delay"],
            max_reconnect_delay=arguments["most"],
            max_reconnect_attempts=1000,
            connect_timeout=30,
            parameters={"user": f"user-{number}"},
        )
        self.realtime.on("connected", lambda: self.connected.append(time.time()))

    async def begin(self) -> None:
        """Subscribe."""
        await self.realtime.connect()
        channel = self.realtime.channel(f"bench:{self._number % self._arguments['channels']}", presence=True)
        channel.on("*", self._received)
        await channel.subscribe()
        first = asyncio.Event()
        query = self.realtime.database().collection("messages").where("room", "==", f"r{self._number % 20}").limit(20)

        def shown(_: object) -> None:
            self.snapshots += 1
            first.set()

        query.on_snapshot(shown)
        await first.wait()

    def _received(self, message: Message) -> None:
        self.messages.append(message.event)
        if message.event == "after":
            self.recovered = time.time()
            self.done.set()


async def main(arguments: dict[str, Any]) -> None:
    """Connect all, wait for all."""
    everybody = [One(number, arguments) for number in range(arguments["clients"])]
    for start in range(0, len(everybody), 25):
        await asyncio.gather(*(one.begin() for one in everybody[start : start + 25]))
    print(json.dumps({"ready": len(everybody)}), flush=True)
    await asyncio.gather(*(one.done.wait() for one in everybody))
    answer = [
        {
            "connected": one.connected[1:],
            "recovered": one.recovered,
            "messages": one.messages,
            "snapshots": one.snapshots,
        }
        for one in everybody
    ]
    print(json.dumps(answer), flush=True)
    await asyncio.gather(*(one.realtime.disconnect() for one in everybody))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
