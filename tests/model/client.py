"""A client that keeps what it receives as the protocol requires, comes back after a broken connection and resumes.

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

from tests.model.tracked_subscription import TrackedSubscription
from tests.support.nodes.server_nodes import ModelNode

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
    """``changed`` is called after whatever it received; ``failed`` with what must not happen."""

    def __init__(
        self, name: str, user: str | None, changed: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.name = name
        self.user = user
        self.node: ModelNode | None = None
        self.id = ""
        self.subscriptions: dict[str, TrackedSubscription] = {}
        self.over: list[TrackedSubscription] = []
        self.sent: list[Sent] = []
        self.notices: list[int] = []  # what was sent to connections, not to a channel
        self.answers = 0  # presence updates that have not been answered
        self.wants_to_be_back = False
        self._changed = changed
        self._failed = failed
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._by_ref: dict[str, Sent] = {}
        self._pongs = 0
        self._last_notice = 0

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
            or any(subscription.state in ("asked", "leaving") for subscription in self.subscriptions.values())
            or any(sent.asked for sent in self.sent)
        )

    def follows(self, channels: list[str]) -> bool:
        """Whether it is subscribed to all of them now."""
        return all(channel in self.subscriptions and self.subscriptions[channel].state == "on" for channel in channels)

    @property
    def unanswered(self) -> list[object]:
        """What :attr:`waiting` is about."""
        subscriptions = [
            (subscription.channel, subscription.state)
            for subscription in self.subscriptions.values()
            if subscription.state != "on"
        ]
        return [*subscriptions, *(sent for sent in self.sent if sent.asked)]

    async def connect(self, node: ModelNode) -> None:
        """Connect and ask again for everything that the last connection had. Raises ``OSError`` if the node is not there."""
        query = f"?user={self.user}" if self.user else ""
        socket = await connect(f"ws://{node.address}/realtime{query}", max_size=None, compression=None)
        greeting = json.loads(await socket.recv())
        assert greeting["type"] == "connected", greeting
        self._last_notice = 0
        self.id, self.node, self._socket, self.wants_to_be_back = greeting["connectionId"], node, socket, False
        self._reading = asyncio.create_task(self._read(socket, node))
        for subscription in list(self.subscriptions.values()):
            if subscription.state == "lost":
                await self._ask(subscription)

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

    async def send(self, **message: object) -> None:
        """Send something; a connection that breaks right then is noticed by the reader."""
        if self._socket is not None:
            try:
                await self._socket.send(json.dumps(message))
            except ConnectionClosed:
                assert self._reading is not None
                await self._reading

    async def subscribe(self, channel: str, options: dict[str, Any]) -> None:
        if channel not in self.subscriptions:
            subscription = self.subscriptions[channel] = TrackedSubscription(
                self.name, channel, options, user=self.user
            )
            await self._ask(subscription)

    async def unsubscribe(self, channel: str) -> None:
        subscription = self.subscriptions.get(channel)
        if subscription is not None and subscription.state in ("asked", "on"):
            subscription.state = "leaving"
            await self.send(type="unsubscribe", channel=channel)

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
        await self.send(type="presence:update", channel=channel, data=data, ref="presence")

    async def ping(self, until: Callable[[Callable[[], bool]], Any]) -> None:
        """Wait until everything that was sent to this client before has arrived."""
        wanted = self._pongs + 1
        await self.send(type="ping")
        await until(lambda: self._pongs >= wanted or not self.connected)

    async def _ask(self, subscription: TrackedSubscription) -> None:
        if self._socket is None:
            subscription.state = "lost"  # with the next connection
        else:
            subscription.state = "asked"
            await self.send(**subscription.request())

    async def _send(self, sent: Sent) -> None:
        if self._socket is None:
            return
        ref = str(next(_numbers))
        self._by_ref[ref] = sent
        sent.asked = True
        identified = {} if sent.id is None else {"id": sent.id}
        data = {"n": sent.number, "k": sent.number % 2}
        await self.send(
            type="message", channel=sent.channel, event=event_of(sent.number), data=data, ref=ref, **identified
        )

    async def _read(self, socket: ClientConnection, node: ModelNode) -> None:
        try:
            async for text in socket:
                self._receive(json.loads(text), node)
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
        for subscription in list(self.subscriptions.values()):
            if subscription.state == "leaving":
                self._end(subscription)
            else:
                subscription.state, subscription.members = "lost", None
        self.wants_to_be_back = code != ENDED_BY_SERVER
        if code == ENDED_BY_SERVER:
            self._give_up()

    def _give_up(self) -> None:
        for subscription in list(self.subscriptions.values()):
            self._end(subscription)

    def _end(self, subscription: TrackedSubscription) -> None:
        subscription.state = "over"
        del self.subscriptions[subscription.channel]
        if subscription.begins is not None:
            self.over.append(subscription)

    def _receive(self, message: dict[str, Any], node: ModelNode) -> None:
        kind, subscription = message["type"], self.subscriptions.get(message.get("channel", ""))
        if message.get("channel") == "*":
            self._direct(message)
        elif kind == "message":
            assert subscription is not None, message
            subscription.message(message)
        elif kind == "ack":
            self._answered(message)
        elif kind.startswith("presence:"):
            assert subscription is not None, message
            subscription.presence(message)
        elif kind.startswith("room:"):
            assert subscription is not None, message
            subscription.rooms.append(kind)
            if kind == "room:closed":
                self._end(subscription)
        elif kind == "subscribed":
            assert subscription is not None, message
            self._subscribed(subscription, message)
        elif kind == "unsubscribed":
            assert subscription is not None, message
            self._end(subscription)
        elif kind == "pong":
            self._pongs += 1
        else:
            self._refused(message, subscription)

    def _subscribed(self, subscription: TrackedSubscription, message: dict[str, Any]) -> None:
        leaving = subscription.state == "leaving"  # the answer crossed with "unsubscribe"
        if leaving:
            subscription.state = "asked"
        subscription.subscribed(message)
        if leaving:
            subscription.state = "leaving"

    def _direct(self, message: dict[str, Any]) -> None:
        """A message to connections: in commit order, and on one connection once. After a gap some may be missing."""
        if message["type"] == "gap":
            return
        number = message["data"]["n"]
        assert number > self._last_notice, (number, self._last_notice)
        self._last_notice = number
        self.notices.append(number)

    def _answered(self, message: dict[str, Any]) -> None:
        if message.get("ref") == "presence":
            self.answers -= 1
            return
        sent = self._by_ref.pop(message["ref"])
        sent.asked = False
        if message["type"] == "ack" or message["code"] != "RT_001":
            sent.outcome = message

    def _refused(self, message: dict[str, Any], subscription: TrackedSubscription | None) -> None:
        assert message["type"] == "error", message
        if "ref" in message:
            self._answered(message)
        elif "there is no subscription" in message["message"]:
            pass  # "unsubscribe" crossed with the end of the subscription
        elif subscription is not None and message["code"] == "RT_001" and subscription.state != "leaving":
            subscription.state, subscription.members = "lost", None  # to be tried again
        elif subscription is not None:
            # full, closed or unknown when it asked; removed while it was there
            assert message["code"] in ("RT_001", "RT_003", "RT_004", "RT_008"), message
            self._end(subscription)
        else:
            assert message["code"] == "RT_001", message  # of the connection as a whole

    async def retry(self) -> None:
        """Ask again for what was refused because the database was away."""
        for subscription in list(self.subscriptions.values()):
            if subscription.state == "lost" and self.connected:
                await self._ask(subscription)


def event_of(number: int) -> str:
    """The event's name follows from the message's number."""
    return "even" if number % 2 == 0 else "odd"
