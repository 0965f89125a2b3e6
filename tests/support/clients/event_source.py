"""A client of an event stream that may be cut off at any byte, and checks each id against what it has received."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

from starlette.types import Message

from engine.channels.core.messages.model import Position, parse_position
from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest
from server.client.admission import Admission
from server.client.shared import SharedServices
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.session.session import Greeting, Session
from server.transports.sse.event_ids import read_id
from server.transports.sse.request import read_request
from server.transports.sse.sse_connection import SseConnection
from tests.support.fakes.history import EPOCH, FakeHistory
from tests.support.fakes.server import FakeLiveQueries


class NoSessionStore:
    def released(self, connection: Any) -> None:
        pass

    def ended(self, connection: Any) -> None:
        pass


class EventSourceClient:
    """An ``EventSource`` that checks what it receives. ``codes``: with which its streams were closed; ``ids``: what it was
    given.
    """

    connection: SseConnection

    def __init__(self, archive: FakeHistory, channels: list[str], history: int, limits: ConnectionLimits) -> None:
        self.archive = archive
        self.channels = channels
        self.pairs = [("channel", channel) for channel in channels] + [("history", str(history))] * (history > 0)
        self.limits = limits
        self.last_id = ""
        self.received: dict[str, set[tuple[int, int]]] = defaultdict(set)
        self.places: dict[str, Position] = {}
        self.starts: dict[str, Position] = {}
        self.codes: list[int] = []
        self.ids: list[str] = []
        self.given: dict[str, set[tuple[int, int]]] = {}
        self._in_stream: dict[str, tuple[int, int]] = {}
        self._services = SharedServices(FakeLiveQueries(), archive)

    async def listen(self, cut: int | None, pace: int) -> bool:
        """One connection, which breaks after ``cut`` bytes, or when nothing more comes; taking some takes ``pace`` turns of
        the loop. Returns whether it was open to the end.
        """
        session = Session("c", SessionLimits(message_rate=10**6), Greeting(epoch=EPOCH, secret="s"))
        admission = Admission(session, HandshakeRequest(), "sse", self._services, self.limits, Principal())
        connection = self.connection = SseConnection("s", admission, NoSessionStore(), EPOCH)
        connection.authenticate()
        broken = asyncio.Event()
        taken = bytearray()
        quiet = 0

        async def send(message: Message) -> None:
            nonlocal quiet
            quiet = 0
            taken.extend(message.get("body", b""))
            if cut is not None and len(taken) >= cut:
                broken.set()
            for _ in range(pace):
                await asyncio.sleep(0)

        async def receive() -> Message:
            await broken.wait()
            return {"type": "http.disconnect"}

        asked = read_request(self.pairs, self.last_id)
        task = asyncio.create_task(connection.run({}, receive, send, asked))
        while not task.done() and quiet < 60 + 20 * pace:
            quiet += 1
            await asyncio.sleep(0)
        closed = connection.closing
        self.given = defaultdict(set)
        for hold in self.archive.holds:
            self.given[hold.channel] |= hold.given
        broken.set()
        await task
        await self._services.background.drain(1)
        opened = self._read(bytes(taken[:cut]))
        if closed and cut is None:  # it was not cut off before the close arrived
            assert all(read_id(self.last_id).of(channel) for channel in opened), f"{self.last_id} is without {opened}"
        return not closed and cut is None

    def _read(self, text: bytes) -> set[str]:
        """Receive what is in the stream. Returns the channels that were opened."""
        self._in_stream = {}
        opened: set[str] = set()
        *blocks, _ = text.decode().split("\n\n")
        for block in blocks:
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            if "data" in fields:
                message = json.loads(fields["data"])
                self._receive(message)
                if message["type"] == "subscribed":
                    opened.add(message["channel"])
            if "id" in fields:
                self.last_id = fields["id"]
                self.ids.append(self.last_id)
                self._check(fields["id"])
        return opened

    def _receive(self, message: dict[str, Any]) -> None:
        channel = message.get("channel", "")
        if message["type"] == "close":
            self.codes.append(message["code"])
        elif message["type"] == "subscribed" and not message.get("recovered"):
            self.places.pop(channel, None)
            self.starts[channel] = parse_position(message["position"])  # and what of the past it is given
        elif message["type"] == "message":
            lsn, seq = parse_position(message["position"])
            assert (lsn, seq) > self._in_stream.get(channel, (0, 0)), "out of order"
            self._in_stream[channel] = (lsn, seq)
            self.received[channel].add((lsn, seq))

    def _check(self, id: str) -> None:
        """Everything up to the place of each channel has been received, and it does not go back."""
        for channel in self.channels:
            place = read_id(id).of(channel)
            if place is None:
                assert channel not in self.places, f"{id} forgets {channel}"
                continue
            assert place.epoch == EPOCH
            position = parse_position(place.position)
            assert position >= self.places.get(channel, position), f"{id} goes back in {channel}"
            self.places[channel] = position
            assert self.missing(channel, position) == set(), f"{id} skips in {channel}"

    def missing(self, channel: str, end: Position) -> set[tuple[int, int]]:
        """What the client should have received of ``channel`` up to ``end``, and did not."""
        start = self.starts.get(channel)
        committed = {each.key for each in self.archive.of(channel, ever=True) if each.key is not None}
        owed = {key for key in committed if start is not None and start < key <= end}
        owed |= {key for key in self.given.get(channel, ()) if key <= end}
        return owed - self.received[channel]
