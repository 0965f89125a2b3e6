"""Where the oracle plays: a database, a feed, the live-query service, and clients that know only what they received."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
import psycopg
from bunbase import Doc
from bunbase.core.lists import take

from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent, apply_changes
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Subscription
from engine.live.service import LiveSettings
from engine.lsn import parse_lsn
from engine.postgres.connections.session_settings import connection_options
from server.protocol.server_messages import snapshot_head
from server.wire.encoder import EventFrames
from tests.support.nodes.stream_and_live import AllThatWait, StreamAndLive
from tests.support.oracle.queries import Query

__all__ = ["Arena", "Client", "arena", "delta_frames"]

State = tuple[str, int, list[tuple[str, bytes]]]
"""A list, behind the epoch and the position it was delivered with."""

_TIMEOUT = 60  # seconds
_HEAD = snapshot_head("collection", "oracle")

Fields = dict[str, msgspec.Raw]
_fields = msgspec.json.Decoder(Fields)


class _Document(TypedDict):
    id: str
    data: NotRequired[Fields]
    changed: NotRequired[Fields]


class _Change(TypedDict):
    type: str
    oldIndex: int
    newIndex: int
    doc: _Document


class _Snapshot(TypedDict):
    reset: NotRequired[bool]
    changes: list[_Change]


_snapshots = msgspec.json.Decoder(_Snapshot)


def delta_frames() -> EventFrames:
    """The frames of subscribers that negotiated deltas, to be shared by all of them."""
    return EventFrames(lambda head, tail: head + tail)


class Client:
    """A subscriber: its list is made of the changes it was given and nothing else.

    ``frames``: it negotiated deltas. Then it decodes its frame of each event, and its list is what the Python SDK makes of
    it, with values as they were written.
    """

    def __init__(self, query: Query, frames: EventFrames | None = None) -> None:
        self.query = query
        self.frames = frames
        self.deltas = 0  # documents that came as what is new in them
        self.list: list[tuple[str, bytes]] = []
        self.position = -1
        self.events = 0
        self.error: Exception | None = None
        self.subscription: Subscription | None = None
        self.states: deque[State] = deque(maxlen=4)  # the latest

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        """Take an event."""
        assert event.position >= self.position, "positions only grow"
        self.position = event.position
        self.events += 1
        if event.error is not None:
            self.error = event.error
            return
        if self.frames is None:
            if event.reset:
                self.list.clear()
            apply_changes(self.list, event.changes)
        else:
            self._take(self.frames.frame(_HEAD, event, delta=True).data)
        ids = [identifier for identifier, _ in self.list]
        assert len(set(ids)) == len(ids), "ids are unique"
        self.states.append((subscription.epoch, self.position, list(self.list)))

    def _take(self, frame: bytes) -> None:
        message = _snapshots.decode(frame)
        self.deltas += sum("changed" in change["doc"] for change in message["changes"])
        documents: list[Doc] = [] if message.get("reset") else [Doc(id, _fields.decode(doc)) for id, doc in self.list]
        take(documents, message["changes"])
        self.list = [(doc.id, _written(doc.data)) for doc in documents]

    def documents(self) -> list[Any]:
        """The list, comparable with the truth."""
        return [decoded(doc) for _, doc in self.list]


def _written(fields: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%b}" % b",".join([b"%b:%b" % (msgspec.json.encode(name), bytes(raw)) for name, raw in fields.items()])


def _as_written(client: Client) -> list[tuple[str, dict[str, bytes]]]:
    """The list of ``client`` to the letter: ``1.0`` is not ``1.00``."""
    return [(id, {name: bytes(raw) for name, raw in _fields.decode(doc).items()}) for id, doc in client.list]


def decoded(doc: bytes | str) -> Any:
    """A JSON document with numbers as exact as Postgres writes them."""
    return json.loads(doc, parse_float=Decimal, parse_int=Decimal)


class Arena:
    """One database with the service running over it.

    ``gap``: transactions are under way that have written to a table while it was not published. What they wrote is missing
    from the stream, so lists are right a moment after they end.
    """

    def __init__(self, dsn: str, slot: str, following: StreamAndLive, truth: psycopg.AsyncConnection[Any]) -> None:
        self.dsn = dsn
        self.slot = slot
        self.live = following.live
        self.stream = following.stream
        self.truth = truth
        self.checks = 0
        self.recovered = 0
        self.twins = 0
        self.deltas = 0
        self.frames = delta_frames()
        self.gap = False

    async def subscribe(self, query: Query, *, delta: bool = False) -> Client:
        """A new client with its first list."""
        client = Client(query, self.frames if delta else None)
        client.subscription = await self.live.subscribe(Principal(), query.collection, query.spec, client.deliver)
        client.subscription.begin()
        return client

    async def reconnect(self, client: Client, lost: int) -> None:
        """``client``'s connection broke before its last ``lost`` events arrived; it comes back with what it has."""
        gone = client.subscription
        assert gone is not None
        gone.pause()  # nothing arrives any more
        epoch, position, rows = client.states[-1 - lost % len(client.states)]
        client.position, client.list = position, list(rows)
        client.states.clear()
        client.states.append((epoch, position, rows))
        query, resume = client.query, Resume(position, epoch)
        client.subscription = await self.live.subscribe(
            Principal(), query.collection, query.spec, client.deliver, resume
        )
        gone.cancel()
        recovered, events = client.subscription.recovered, client.events
        client.subscription.begin()
        if recovered:
            self.recovered += 1
        else:
            assert client.events == events + 1, "one list, from the beginning"

    async def caught_up(self) -> None:
        """Wait until everything committed so far has reached the clients."""
        cursor = await self.truth.execute("select pg_current_wal_flush_lsn()::text")
        row = await cursor.fetchone()
        assert row is not None
        await self.live.caught_up(parse_lsn(row[0]))

    async def check(self, clients: list[Client]) -> None:
        """Every client's list equals its query run again."""
        await self.caught_up()
        for client in clients:
            async with asyncio.timeout(_TIMEOUT):
                while True:
                    assert client.error is None, client.error
                    cursor = await self.truth.execute(client.query.truth.encode())
                    expected = [decoded(row[0]) for row in await cursor.fetchall()]
                    found = client.documents()
                    if found == expected or not self.gap:
                        break
                    await self.caught_up()
            assert found == expected, explain(client, found, expected)
            self.checks += 1
            self.deltas, client.deltas = self.deltas + client.deltas, 0
        self._compare_twins(clients)

    def _compare_twins(self, clients: list[Client]) -> None:
        """Clients that share a window and are at the same position have the same list, with deltas or without."""
        shared: dict[tuple[str, int], Client] = {}
        for client in clients:
            assert client.subscription is not None
            twin = shared.setdefault((client.subscription.epoch, client.position), client)
            if (twin.frames is None) != (client.frames is None):
                assert _as_written(client) == _as_written(twin)
                self.twins += 1


def explain(client: Client, found: list[Any], expected: list[Any]) -> str:
    """What a failure prints."""
    assert client.subscription is not None
    lines = [
        f"{client.query.spec} on {client.query.collection} ({client.subscription.strategy}) at {client.position:X}",
        f"truth: {client.query.truth}",
    ]
    lines += [f"  has   {document}"[:300] for document in found if document not in expected]
    lines += [f"  lacks {document}"[:300] for document in expected if document not in found]
    if len(lines) == 2:
        lines += ["  order or number differs", f"  has   {found}"[:2000], f"  wants {expected}"[:2000]]
    return "\n".join(lines)


class _JsonText(psycopg.adapt.Loader):
    """jsonb as its text: Python's numbers would round it."""

    def load(self, data: Any) -> bytes:
        return bytes(data)


@asynccontextmanager
async def arena(dsn: str, decoder: str, slot: str) -> AsyncIterator[Arena]:
    """Start the service over ``dsn``; everything is gone afterwards."""
    settings = FeedSettings(slot_name=slot, decoder=decoder, ephemeral=True)  # type: ignore[arg-type]
    async with Feed(dsn, settings) as feed:
        tuning = LiveSettings(reread_interval=0.0, idle_ttl=0.0, spare_rows=2, stream_generated=decoder == "pgoutput")
        following = StreamAndLive(dsn, feed, tuning, gathering=AllThatWait(late=0, many=1))
        await following.start()
        truth = await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=connection_options())
        truth.adapters.register_loader("jsonb", _JsonText)
        try:
            yield Arena(dsn, slot, following, truth)
        finally:
            await truth.close()
            await following.stop()
