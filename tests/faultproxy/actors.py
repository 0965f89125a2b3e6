"""Clients that send numbered messages and keep all they receive: the Python SDK in this process, or an SDK in a process.

An actor in a process speaks JSON lines. In: ``{"do": "send", "n": 7}``, ``{"do": "stop"}``. Out: ``{"ready": true}``,
``{"connected": true}``, ``{"message": [sender, n, position]}``, ``{"acked": n}``, ``{"refused": n, "code": …}``,
``{"gap": true}``, ``{"docs": [data…]}`` after each snapshot, ``{"users": [id…]}`` after each presence event.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from bunbase import Message, Realtime, RealtimeError, Snapshot
from bunbase.core.lists import apply

from tests.support.postgres.sql import GIVE_UP_AFTER

__all__ = ["CHANNEL", "Actor", "NodeActor", "PythonActor"]

CHANNEL = "chaos:1"
EVENT = "sent"
SHORT_TIMEOUTS: dict[str, Any] = {
    "reconnect_delay": 0.05,
    "max_reconnect_delay": 0.5,
    "max_reconnect_attempts": 1_000_000,
    "connect_timeout": 2.0,
    "heartbeat_interval": 0.5,
    "heartbeat_timeout": 1.0,
    "upgrade_interval": 0.5,
}


class Actor:
    """What an actor knows. ``changed`` is set whenever it learns something."""

    def __init__(self, name: str, url: str, transports: tuple[str, ...], format: str = "json") -> None:
        self.name = name
        self.url = url
        self.transports = transports
        self.format = format
        self.received: list[tuple[str, int, str]] = []
        self.acked: list[int] = []
        self.refused: list[tuple[int, str]] = []
        self.gaps = 0
        self.docs: list[dict[str, Any]] = []
        self.users: set[str] = set()
        self.connections = 0
        self.changed = asyncio.Event()

    async def start(self) -> None:
        """Connect, subscribe with presence, begin the live query."""
        raise NotImplementedError

    async def send(self, n: int) -> None:
        """Send a message; its ack is noted when it comes."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Leave."""
        raise NotImplementedError

    def note(self, fact: dict[str, Any]) -> None:
        """Learn something."""
        for kind, value in fact.items():
            match kind:
                case "message":
                    self.received.append((value[0], value[1], value[2]))
                case "acked":
                    self.acked.append(value)
                case "refused":
                    self.refused.append((value, fact.get("code", "")))
                case "gap":
                    self.gaps += 1
                case "docs":
                    self.docs = value
                case "users":
                    self.users = set(value)
                case "connected":
                    self.connections += 1
        self.changed.set()


class PythonActor(Actor):
    """The Python SDK, in this process."""

    def __init__(self, name: str, url: str, transports: tuple[str, ...], format: str = "json") -> None:
        super().__init__(name, url, transports, format)
        self.sends: set[asyncio.Task[None]] = set()
        self.replayed: list[Any] = []

    async def start(self) -> None:
        """See ``Actor``."""
        self.realtime = Realtime(
            self.url,
            transports=self.transports,
            format="msgpack" if self.format == "msgpack" else "json",
            parameters={"user": self.name},
            **SHORT_TIMEOUTS,
        )
        self.realtime.on("connected", lambda: self.note({"connected": True}))
        self.channel = channel = self.realtime.channel(CHANNEL, presence={"name": self.name})
        channel.on(EVENT, self._received)
        channel.on("gap", lambda _: self.note({"gap": True}))
        for event in ("presence:join", "presence:leave", "presence:update", "subscribed"):
            channel.on(event, lambda *_: self.note({"users": [user.id for user in channel.presence.users]}))
        self.live = (
            self.realtime.database().collection("messages").order_by("likes", "desc").limit(10).on_snapshot(self._shown)
        )
        await channel.subscribe()

    async def send(self, n: int) -> None:
        """See ``Actor``."""
        task = asyncio.create_task(self._send(n))
        self.sends.add(task)
        task.add_done_callback(self.sends.discard)

    async def _send(self, n: int) -> None:
        try:
            await self.channel.send(EVENT, {"from": self.name, "n": n})
        except RealtimeError as error:
            self.note({"refused": n, "code": str(error)})
        else:
            self.note({"acked": n})

    async def stop(self) -> None:
        """See ``Actor``."""
        await self.realtime.disconnect()
        for task in tuple(self.sends):
            task.cancel()

    def _received(self, message: Message) -> None:
        self.note({"message": [message.data["from"], message.data["n"], message.position]})

    def _shown(self, snapshot: Snapshot) -> None:
        apply(self.replayed, snapshot.changes)
        assert tuple(self.replayed) == snapshot.docs, "the changes of each snapshot lead to its list"
        self.note({"docs": [dict(doc.data) for doc in snapshot.docs]})


class NodeActor(Actor):
    """The TypeScript SDK, in a Node process. ``sdk``: the file to import it from."""

    process: Process
    sdk: Path

    async def start(self) -> None:
        """See ``Actor``."""
        self.process = await asyncio.create_subprocess_exec(
            "node",
            str(Path(__file__).with_name("actor.mjs")),
            json.dumps(
                {
                    "url": self.url,
                    "user": self.name,
                    "transports": self.transports,
                    "format": self.format,
                    "sdk": self.sdk.as_uri(),
                }
            ),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        self._errors = asyncio.create_task(self._complain())
        self._ready = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(GIVE_UP_AFTER):
            await self._ready

    async def send(self, n: int) -> None:
        """See ``Actor``."""
        await self._write({"do": "send", "n": n})

    async def stop(self) -> None:
        """See ``Actor``."""
        if self.process.returncode is not None:
            return
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await self._write({"do": "stop"})
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            raise
        await asyncio.gather(self._reading, self._errors)

    async def _write(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        await self.process.stdin.drain()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            fact = json.loads(line)
            if "ready" in fact:
                self._ready.set_result(None)
            self.note(fact)
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"{self.name} ended before it was ready"))

    async def _complain(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            print(f"{self.name}: {line.decode().rstrip()}")
