"""A client that keeps what it hears as the protocol says, comes back after a broken connection and resumes.

What can be judged at once is judged at once: positions grow, joins and leaves alternate, every answer belongs to a question.
Whether the record is the right one is for :mod:`tests.model.oracle`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.model.nodes import ModelNode
from tests.model.stay import Stay

__all__ = ["Client", "Sent"]

_numbers = itertools.count(1)
ENDED_BY_SERVER = 4001


@dataclass(eq=False)
class Sent:
    """A message that this client published. ``outcome``: an ack, an error, or None: not known."""

    number: int
    channel: str
    id: str | None
    user: str | None
    outcome: dict[str, Any] | None = None
    asked: bool = False  # it is on its way over the present connection


class Client:
    """``changed`` is called after whatever it heard; ``failed`` with what must not happen."""

    def __init__(
        self, name: str, user: str | None, changed: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.name = name
        self.user = user
        self.node: ModelNode | None = None
        self.id = ""
        self.stays: dict[str, Stay] = {}
        self.over: list[Stay] = []
        self.sent: list[Sent] = []
        self.told: list[int] = []  # what was sent to connections, not to a channel
        self.answers = 0  # presence updates that have not been answered
        self.wants_to_be_back = False
        self._changed = changed
        self._failed = failed
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._by_ref: dict[str, Sent] = {}
        self._pongs = 0
        self._last_told = 0

    @property
    def present_id(self) -> str:
        return self.user or self.id

    @property
    def connected(self) -> bool:
        return self._socket is not None

    @property
    def waiting(self) -> bool:
        """Whether something that it asked for has not been answered."""
        return bool(
            self.answers
            or any(stay.state in ("asked", "leaving") for stay in self.stays.values())
            or any(sent.asked for sent in self.sent)
        )

    def follows(self, channels: list[str]) -> bool:
        """Whether it is subscribed to all of them now."""
        return all(channel in self.stays and self.stays[channel].state == "on" for channel in channels)

    @property
    def unanswered(self) -> list[object]:
        """What :attr:`waiting` is about."""
        stays = [(stay.channel, stay.state) for stay in self.stays.values() if stay.state != "on"]
        return [*stays, *(sent for sent in self.sent if sent.asked)]

    async def connect(self, node: ModelNode) -> None:
        """Connect and ask again for everything that the last connection had. Raises ``OSError`` if the node is not there."""
        query = f"?user={self.user}" if self.user else ""
        socket = await connect(f"ws://127.0.0.1:{node.port}/realtime{query}", max_size=None, compression=None)
        greeting = json.loads(await socket.recv())
        assert greeting["type"] == "connected", greeting
        self._last_told = 0
        self.id, self.node, self._socket, self.wants_to_be_back = greeting["connectionId"], node, socket, False
        self._reading = asyncio.create_task(self._read(socket, node))
        for stay in list(self.stays.values()):
            if stay.state == "lost":
                await self._ask(stay)

    async def drop(self) -> None:
        """The connection breaks: no close frame, no closing handshake."""
        if self._socket is not None and self._reading is not None:
            self._socket.transport.abort()
            await self._reading

    async def close(self) -> None:
        """Go in order, and for good."""
        if self._socket is not None and self._reading is not None:
            await self._socket.close()
            await self._reading
        self._give_up()

    async def say(self, **message: object) -> None:
        """Send something; a connection that breaks right then is noticed by the reader."""
        if self._socket is not None:
            try:
                await self._socket.send(json.dumps(message))
            except ConnectionClosed:
                assert self._reading is not None
                await self._reading

    async def subscribe(self, channel: str, options: dict[str, Any]) -> None:
        if channel not in self.stays:
            stay = self.stays[channel] = Stay(self.name, channel, options, user=self.user)
            await self._ask(stay)

    async def unsubscribe(self, channel: str) -> None:
        stay = self.stays.get(channel)
        if stay is not None and stay.state in ("asked", "on"):
            stay.state = "leaving"
            await self.say(type="unsubscribe", channel=channel)

    async def publish(self, number: int, channel: str, id: str | None) -> None:
        sent = Sent(number, channel, id, self.user)
        self.sent.append(sent)
        await self._send(sent)

    async def repeat(self) -> None:
        """Send again what may not have arrived, where an id makes that harmless."""
        for sent in self.sent:
            if (
                sent.outcome is None
                and not sent.asked
                and sent.id is not None
                and not sent.channel.startswith("cursors:")
            ):
                await self._send(sent)

    async def update_presence(self, channel: str, data: dict[str, Any]) -> None:
        self.answers += self.connected
        await self.say(type="presence:update", channel=channel, data=data, ref="presence")

    async def ping(self, until: Callable[[Callable[[], bool]], Any]) -> None:
        """Wait until everything that was sent to this client before has arrived."""
        wanted = self._pongs + 1
        await self.say(type="ping")
        await until(lambda: self._pongs >= wanted or not self.connected)

    async def _ask(self, stay: Stay) -> None:
        if self._socket is None:
            stay.state = "lost"  # with the next connection
        else:
            stay.state = "asked"
            await self.say(**stay.request())

    async def _send(self, sent: Sent) -> None:
        if self._socket is None:
            return
        ref = str(next(_numbers))
        self._by_ref[ref] = sent
        sent.asked = True
        identified = {} if sent.id is None else {"id": sent.id}
        data = {"n": sent.number, "k": sent.number % 2}
        await self.say(
            type="message", channel=sent.channel, event=event_of(sent.number), data=data, ref=ref, **identified
        )

    async def _read(self, socket: ClientConnection, node: ModelNode) -> None:
        try:
            async for text in socket:
                self._hear(json.loads(text), node)
                self._changed()
        except ConnectionClosed:
            pass
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it fails the test
            self._failed(wrong)
        finally:
            self._lost(socket.close_code)
            self._changed()

    def _lost(self, code: int | None) -> None:
        self._socket, self.answers = None, 0
        self._by_ref.clear()
        for sent in self.sent:
            sent.asked = False
        for stay in list(self.stays.values()):
            if stay.state == "leaving":
                self._end(stay)
            else:
                stay.state, stay.members = "lost", None
        self.wants_to_be_back = code != ENDED_BY_SERVER
        if code == ENDED_BY_SERVER:
            self._give_up()

    def _give_up(self) -> None:
        for stay in list(self.stays.values()):
            self._end(stay)

    def _end(self, stay: Stay) -> None:
        stay.state = "over"
        del self.stays[stay.channel]
        if stay.begins is not None:
            self.over.append(stay)

    def _hear(self, message: dict[str, Any], node: ModelNode) -> None:
        kind, stay = message["type"], self.stays.get(message.get("channel", ""))
        if kind == "message":
            if message["channel"] == "*":
                self._told(message["data"]["n"])
            else:
                assert stay is not None, message
                stay.message(message)
        elif kind == "ack":
            self._answered(message)
        elif kind.startswith("presence:"):
            assert stay is not None, message
            stay.presence(message)
        elif kind.startswith("room:"):
            assert stay is not None, message
            stay.rooms.append(kind)
            if kind == "room:closed":
                self._end(stay)
        elif kind == "subscribed":
            assert stay is not None, message
            self._subscribed(stay, message, node)
        elif kind == "unsubscribed":
            assert stay is not None, message
            self._end(stay)
        elif kind == "pong":
            self._pongs += 1
        else:
            self._refused(message, stay)

    def _subscribed(self, stay: Stay, message: dict[str, Any], node: ModelNode) -> None:
        leaving = stay.state == "leaving"  # the answer crossed with "unsubscribe"
        if leaving:
            stay.state = "asked"
        stay.subscribed(message, node)
        if leaving:
            stay.state = "leaving"

    def _told(self, number: int) -> None:
        """A message to connections: in commit order, and on one connection once."""
        assert number > self._last_told, (number, self._last_told)
        self._last_told = number
        self.told.append(number)

    def _answered(self, message: dict[str, Any]) -> None:
        if message.get("ref") == "presence":
            self.answers -= 1
            return
        sent = self._by_ref.pop(message["ref"])
        sent.asked = False
        if message["type"] == "ack" or message["code"] != "RT_001":
            sent.outcome = message

    def _refused(self, message: dict[str, Any], stay: Stay | None) -> None:
        assert message["type"] == "error", message
        if "ref" in message:
            self._answered(message)
        elif "there is no subscription" in message["message"]:
            pass  # "unsubscribe" crossed with the end of the subscription
        elif stay is not None and message["code"] == "RT_001" and stay.state != "leaving":
            stay.state, stay.members = "lost", None  # to be tried again
        elif stay is not None:
            # full, closed or unknown when it asked; removed while it was there
            assert message["code"] in ("RT_001", "RT_003", "RT_004", "RT_008"), message
            self._end(stay)
        else:
            assert message["code"] == "RT_001", message  # of the connection as a whole

    async def retry(self) -> None:
        """Ask again for what was refused because the database was away."""
        for stay in list(self.stays.values()):
            if stay.state == "lost" and self.connected:
                await self._ask(stay)


def event_of(number: int) -> str:
    """The event's name follows from the message's number."""
    return "even" if number % 2 == 0 else "odd"
