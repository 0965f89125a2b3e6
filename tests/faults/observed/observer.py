"""A client that keeps a history of all it is shown, and of when it cannot have been shown something."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bunbase import Realtime, RealtimeError, Snapshot
from bunbase.client.typed_channel import Channel

from tests.faultproxy.actors import SHORT_TIMEOUTS
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["CONNECTED", "Observer", "Seen", "State"]

State = tuple[tuple[Any, ...], ...]
"""The rows of a list, in its order."""

CONNECTED = "connected"


class Seen(NamedTuple):
    """One entry of a history. ``at``: seconds since 1970; ``of``: the channel or window; ``kind``: :data:`CONNECTED`,
    "subscribed" and "gap" are where something may be lacking, "message", "state", "here", "join", "leave" and "update" are
    what was shown.
    """

    at: float
    kind: str
    of: str
    value: Any


class Observer:
    """A client at a node. ``seen``: its history; ``node``: the name of the node; ``acked``, ``again``: see :meth:`send`."""

    def __init__(self, name: str, node: str, url: str, transport: str) -> None:
        self.name = name
        self.node = node
        self.seen: list[Seen] = []
        self.channels: dict[str, Channel] = {}
        self.acked: dict[str, list[int]] = {}
        self.again: set[int] = set()
        self._connections = 0
        self.errors: list[str] = []
        self.realtime = Realtime(url, transports=(transport,), parameters={"user": name}, **SHORT_TIMEOUTS)
        self.realtime.on("connected", self._connected)
        self.realtime.on("message", lambda message: self.sent("*", message.data))

    def _connected(self) -> None:
        self._connections += 1
        self._note(CONNECTED, "")

    def _note(self, kind: str, of: str, value: Any = None) -> None:
        self.seen.append(Seen(time.time(), kind, of, value))

    def sent(self, of: str, data: Mapping[str, Any]) -> None:
        """A message of a writer of the load: ``from`` and ``n`` in ``data``."""
        self._note("message", of, (data["from"], data["n"]))

    async def join(self, name: str, event: str, *, room: bool = False, presence: bool = False) -> None:
        """Subscribe to a channel and keep its messages of ``event``; of a ``room`` its changes; of ``presence`` each event
        as the server sent it.
        """
        channel = self.channels[name] = self.realtime.channel(name, presence={} if presence else None)
        channel.on(event, lambda message: self.sent(name, message.data))
        channel.on("gap", lambda _: self._note("gap", name))
        channel.on("subscribed", lambda: self._note("subscribed", name))
        channel.on("error", lambda error: self.errors.append(f"{name}: {error}"))
        if room:
            channel.on("room:updated", lambda settings: self.sent(name, settings["metadata"]))
        if presence:
            self._watch(channel)
        async with asyncio.timeout(GIVE_UP_AFTER):
            await channel.subscribe()

    def _watch(self, channel: Channel) -> None:
        """Note presence before the SDK has made the best of it."""
        state = channel._state.presence
        replace, receive = state.replace, state.receive

        def replaced(raw: Mapping[str, Any], *, first: bool) -> Any:
            self._note("here", channel.name, sorted(user["id"] for user in raw["users"]))
            return replace(raw, first=first)

        def received(message: Mapping[str, Any]) -> Any:
            self._note(message["type"].removeprefix("presence:"), channel.name, message["user"]["id"])
            return receive(message)

        state.replace, state.receive = replaced, received  # type: ignore[method-assign]

    def follow(self, window: str, sql: str, fields: Sequence[str]) -> None:
        """Keep each state of a live query."""

        def shown(snapshot: Snapshot) -> None:
            self._note("state", window, (snapshot.position, rows_of((doc.data for doc in snapshot.docs), fields)))

        live = self.realtime.database().collection("counters").sql(sql).on_snapshot(shown)
        live.on("error", lambda error: self.errors.append(f"{window}: {error}"))

    async def send(self, channel: str, event: str, n: int) -> None:
        """Publish a number; one whose acknowledgement comes is kept in ``acked``, one that may have been sent over several
        connections in ``again``.
        """
        before = self._connections
        self.again.add(n)
        with contextlib.suppress(RealtimeError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_AFTER):
                await self.channels[channel].send(event, {"from": self.name, "n": n})
            self.acked.setdefault(channel, []).append(n)
            if self._connections == before:
                self.again.discard(n)

    def last(self, kind: str, of: str) -> Any:
        """The value of the last entry of that kind; None if there is none."""
        return next((each.value for each in reversed(self.seen) if (each.kind, each.of) == (kind, of)), None)

    async def stop(self) -> None:
        """Leave."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self.realtime.disconnect()


def rows_of(documents: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> State:
    """The rows with these fields."""
    return tuple(tuple(document[field] for field in fields) for document in documents)
