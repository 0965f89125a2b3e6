"""The core of channels with subscribers, fed with rows of the schema ``realtime`` as the stream would bring them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.effects import Effect
from engine.channels.core.messages.decode import MESSAGE_COLUMNS
from engine.channels.core.messages.model import (
    ChannelEvent,
    ChannelOptions,
    EventBatch,
    Member,
    OlderMessages,
    Position,
)
from engine.channels.core.state_machine import ChannelCore
from engine.errors import RealtimeError
from engine.lsn import format_lsn
from engine.postgres.snapshot import Snapshot
from engine.transaction import Change, Message, Relation, RelationColumn, Value
from tests.support.steps import finished
from tests.support.values.changes import deleted, inserted, transaction_of, truncated, updated

__all__ = ["CoreNode", "Subscriber", "control", "delete", "ephemeral", "insert", "message", "truncate", "update"]

_COLUMNS = {
    "messages": MESSAGE_COLUMNS,
    "presence": ("channel", "connection_id", "user_id", "metadata", "state", "joined_at", "left_at", "updated_at"),
    "connections": ("id", "node_id"),
    "channels": ("name", "metadata", "capacity", "history", "closed_at", "created_at", "updated_at", "created_by"),
    "channel_defaults": ("pattern", "history", "dynamic"),
    "routes": ("id", "from_channel", "to_channel", "match", "enabled"),
    "preferences": ("user_id", "channel", "event", "muted"),
    "rules": ("channel", "rules"),
    "settings": ("name", "value"),
}
_RELATIONS = {
    table: Relation(number, "realtime", table, "f", tuple(RelationColumn(name, 25, -1, True) for name in names))
    for number, (table, names) in enumerate(_COLUMNS.items(), 100)
}
_EMPTY: list[list[dict[str, Any]]] = [[], [], [], [], []]

Row = Mapping[str, str | None]


def _values(table: str, row: Row) -> tuple[Value, ...]:
    unknown = row.keys() - set(_COLUMNS[table])
    assert not unknown, unknown
    return tuple(None if (value := row.get(name)) is None else value.encode() for name in _COLUMNS[table])


def insert(table: str, **row: str | None) -> Change:
    return inserted(_RELATIONS[table], _values(table, row))


def update(table: str, old: Row, new: Row) -> Change:
    return updated(_RELATIONS[table], _values(table, new), _values(table, old))


def delete(table: str, **row: str | None) -> Change:
    return deleted(_RELATIONS[table], _values(table, row))


def truncate(table: str) -> Change:
    return truncated(_RELATIONS[table])


def message(number: int, channel: str = "c", data: object = None, **row: str | None) -> Change:
    """A stored message; the core takes its number for its place in the transaction."""
    defaults = {"event": "e", "id": str(number), "priority": "0", "inserted_at": "2026-01-25 09:00:00+00", "xid": "0"}
    payload = json.dumps(number if data is None else data)
    return insert("messages", **{**defaults, "seq": str(number), "channel": channel, "payload": payload, **row})


def ephemeral(channel: str = "c", data: object = None, **fields: object) -> Message:
    """A message without history."""
    content = json.dumps({"channel": channel, "event": "e", "payload": data, **fields})
    return Message("realtime.message", content.encode(), True)


def control(command: str, **fields: object) -> Message:
    return Message("realtime.command", json.dumps({"command": command, **fields}).encode(), True)


class Subscriber:
    """A subscription and the events it has got; ``on_event`` may do anything."""

    def __init__(self, node: CoreNode, channel: str, member: Member, options: ChannelOptions, batches: bool) -> None:
        self.lost: RealtimeError | None = None  # what the subscription receives when it is judged again
        self.events: list[ChannelEvent] = []
        self.batches: list[int] = []
        self._node = node
        self._whole = batches
        self.on_event: Callable[[], object] = lambda: None
        self.subscription = Subscription(channel, options, member, self, self)

    @property
    def position(self) -> str:
        return format_lsn(self._node.core.position)

    def presence(self, channel: str) -> bytes:
        return self._node.core.presence.json(channel)

    async def older(self, subscription: Subscription, before: Position | None, limit: int) -> OlderMessages:
        return OlderMessages([], None)

    def release(self, subscription: Subscription) -> None:
        self._node.release(subscription)

    def access(self) -> RealtimeError | None:
        return self.lost

    def deliver(self, event: ChannelEvent) -> None:
        self.events.append(event)
        self.on_event()

    def deliver_batch(self, batch: EventBatch) -> None:
        if not self._whole:
            for event in batch.events:
                self.deliver(event)
            return
        self.batches.append(len(batch.events))
        self.events.extend(batch.events)
        self.on_event()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(event.json) for event in self.events]

    @property
    def data(self) -> list[Any]:
        """What the messages among the events carry."""
        return [body["data"] for body in self.bodies if body["type"] == "message"]

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]


class CoreNode:
    """A core, its subscribers, and the transactions that a test makes up, numbered from 1."""

    def __init__(self, tables: list[list[dict[str, Any]]] | None = None) -> None:
        self.core = ChannelCore(0)
        self.released: list[Subscription] = []
        if tables is not None:
            self.core.load(Snapshot(1_000, 1_000, frozenset()), tables, [])

    def subscriber(
        self,
        channel: str = "c",
        member: Member | str = "ann",
        *,
        begun: bool = True,
        batches: bool = False,
        **options: Any,
    ) -> Subscriber:
        """A subscription; ``member``: a user's name, whose connection is called the same in capitals."""
        if isinstance(member, str):
            member = Member(member.upper(), member)
        subscriber = Subscriber(self, channel, member, ChannelOptions(**options), batches)
        self.core.hub.add(subscriber.subscription)
        if begun:
            subscriber.subscription.begin()
        return subscriber

    def release(self, subscription: Subscription) -> None:
        self.released.append(subscription)
        self.core.hub.remove(subscription)

    def process(self, number: int, *changes: Change | Message) -> list[Effect]:
        return finished(self.core.process(transaction_of(number, *changes)))

    def load(
        self, snapshot: Snapshot, tables: list[list[dict[str, Any]]] | None = None, unseen: Iterable[Any] = ()
    ) -> None:
        self.core.load(snapshot, tables or _EMPTY, unseen)
