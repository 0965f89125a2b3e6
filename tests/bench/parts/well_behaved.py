"""A client that keeps to the protocol and its limits while others do not: what its requests take, and its errors."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["Measured", "WellBehaved"]

_COLLECTION = "db:collection:messages"
_LIST = {"orderBy": [["id", "asc"]], "limit": 20}


class Measured:
    """What all well-behaved clients have seen since the last ``row``: milliseconds by kind, and errors."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {"ping": [], "message": [], "subscribe": [], "change": []}
        self.errors: Counter[str] = Counter()

    def row(self) -> dict[str, object]:
        """p50 and p99 of each kind that was seen, and the number of errors; then begin again."""
        row: dict[str, object] = {}
        for name, taken in self.times.items():
            if len(taken) > 1:
                p99 = statistics.quantiles(taken, n=100)[98]
                row |= {f"{name} p50 ms": statistics.median(taken), f"{name} p99 ms": p99}
            taken.clear()
        return row | {"errors": self.errors.total()}

    @staticmethod
    def ratio(before: dict[str, object], during: dict[str, object]) -> dict[str, object]:
        """``during`` by ``before``, of the times that are in both."""
        times = [name for name in before if name.endswith(" ms") and name in during]
        return {name: during[name] / before[name] for name in times} | {"errors": during["errors"]}  # type: ignore[operator]


class WellBehaved:
    """Each ``interval`` seconds it pings and publishes into a channel of its own; every fifth time it opens a live query
    with a value of its own, and leaves it again. The answers are timed.

    ``changes``: it also holds a list whose rows have the time of their change in milliseconds as ``body``, and times these.
    """

    def __init__(self, number: int, measured: Measured, *, interval: float = 1.0, changes: bool = True) -> None:
        self._number = number
        self._times = measured.times
        self._errors = measured.errors
        self._interval = interval
        self._changes = changes
        self._sent: dict[str, tuple[str, float]] = {}

    async def run(self, url: str) -> None:
        """Go on until it is cancelled, or the server ends the connection."""
        address = f"203.0.113.{self._number + 1}"
        try:
            async with connect(url, additional_headers={"X-Forwarded-For": address}, max_size=None) as client:
                await asyncio.gather(self._receive(client), self._ask(client))
        except (ConnectionClosed, OSError) as ended:
            self._errors[f"connection: {ended}"] += 1

    async def _ask(self, client: ClientConnection) -> None:
        await self._send(client, "", {"type": "subscribe", "channel": f"own:{self._number}"})
        if self._changes:
            await self._send(client, "", {"type": "subscribe", "channel": _COLLECTION, "id": "l", "query": _LIST})
        await asyncio.sleep(random.random() * self._interval)
        for number in range(10**9):
            await self._send(client, "pong", {"type": "ping"})
            message = {"type": "message", "channel": f"own:{self._number}", "event": "e", "data": number, "ref": "r"}
            await self._send(client, "ack", message)
            about = {"channel": _COLLECTION, "id": "other"}
            if number % 5 == 0:
                query = {"where": [["likes", "==", random.randrange(5000)]]}
                await self._send(client, "other", {"type": "subscribe", **about, "query": query})
            if number % 5 == 2:
                await self._send(client, "", {"type": "unsubscribe", **about})
            await asyncio.sleep(self._interval)

    async def _send(self, client: ClientConnection, answer: str, message: dict[str, object]) -> None:
        if answer:
            self._sent[answer] = str(message["type"]), time.perf_counter()
        await client.send(json.dumps(message))

    async def _receive(self, client: ClientConnection) -> None:
        async for text in client:
            message = json.loads(text)
            kind = message["type"]
            if kind == "error":
                self._errors[f"{message['code']} {message['message']}"] += 1
            elif kind == "snapshot" and message["id"] == "l" and not message["reset"]:
                for change in message["changes"]:
                    self._times["change"].append(time.time() * 1000 - float(change["doc"]["data"]["body"]))
            asked = self._sent.pop("other" if kind == "subscribed" and message.get("id") == "other" else kind, None)
            if asked is not None:
                self._times[asked[0]].append((time.perf_counter() - asked[1]) * 1000)
