"""The worker's change feed: the events of a slot that the relay of this machine reads.

It does for a worker what :class:`engine.feed.feed.Feed` does for a node with a slot of its own, with the same states and the
same promises: events in commit order, each transaction once, what may be missing announced by a ``Discontinuity`` before the
next event. The worker has a row of its own in ``realtime.nodes`` and no slot.

Theory of operation
-------------------
A session connects to the relay, introduces the worker and takes what the relay sends (:mod:`engine.relay.worker_stream`).
Confirmations are gathered for some milliseconds. While the buffer is full nothing is read, which holds the relay back. The
supervisor starts another relay where one ends. See :mod:`engine.relay.followed` for the rest.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from engine.feed.feed import FeedSettings
from engine.lsn import Lsn
from engine.relay.followed import FollowedFeed, RelayFailedError
from engine.relay.messages import (
    Appointed,
    Doubt,
    FromWorker,
    OtherServer,
    Reconnected,
    RecordingWanted,
    Splitter,
    Status,
    ToWorker,
    Welcome,
    encode,
    to_worker,
)

__all__ = ["SILENCE", "RelayFailedError", "RelayFeed"]

SILENCE: Final = 12.0
"""Seconds; the relay sends something every ``RelaySettings.beat`` seconds, give or take a look."""

_GATHER: Final = 0.02  # seconds for which confirmations are gathered
_READ: Final = 256 << 10  # bytes


class RelayFeed(FollowedFeed):
    """See :class:`engine.relay.followed.FollowedFeed`.

    Args:
        dsn: of the database, for the lease of this worker.
        settings: the slot's name, which is the relay's, and the name of this worker (``node_id``).
        path: the relay's socket.
        version: of the package.
        silence: seconds without a message after which the relay counts as stuck.
    """

    def __init__(self, dsn: str, settings: FeedSettings, path: Path, version: str, *, silence: float = SILENCE) -> None:
        super().__init__(dsn, settings, silence)
        self._path = path
        self._version = version
        self._status = Status("starting", None, 0)  # the relay's
        self._writer: asyncio.StreamWriter | None = None
        self._gathering: asyncio.TimerHandle | None = None

    def confirm(self, position: Lsn) -> None:
        """See :meth:`engine.feed.feed.Feed.confirm`. The relay confirms the slot when all workers have."""
        if self._positions.confirm(position) and self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER, self._send_confirmed)

    def doubt(self) -> None:
        """Another connection to the server was found dead: the relay checks its own soon."""
        self._send(Doubt())

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        self._send(RecordingWanted())

    @property
    def _timeline(self) -> int:
        return self._status.timeline

    def _report_server(self, timeline: int) -> None:
        self._send(OtherServer(timeline))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if self._gathering is not None:
            self._gathering.cancel()

    async def _session(self) -> None:
        """One connection to the relay. Returns when a stream that it has brought has ended."""
        await self.lease.register()
        self.lease.hold()
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_READ)
        self._writer = writer
        splitter = Splitter()
        self._send(self._stream.hello(self._version))
        try:
            while data := await reader.read(_READ):
                self._received_at = time.monotonic()
                for message in splitter.feed(data):
                    self._take(to_worker(message))
                while self._buffer.full:
                    await self._buffer.drained(_GATHER * 50)
                    self._received_at = time.monotonic()
        finally:
            self._send_confirmed()
            welcomed, self._welcomed, self._writer = self._welcomed, False, None
            self.leads_recording = False
            writer.transport.abort()
        if not welcomed:
            raise ConnectionResetError("the relay has closed the connection")

    def _take(self, message: ToWorker) -> None:
        if isinstance(message, Status):
            self._status = message
            self._show(message.status, message.reason)
        elif isinstance(message, Reconnected):
            self._reconnected()
        elif isinstance(message, Appointed):
            self.leads_recording = True
        elif isinstance(message, Welcome):
            self._stream.welcome(message)
            self._welcomed, self.reports_recorded = True, message.reports_recorded
            self.sessions += 1
            if self.sessions > 1:
                self._reconnected()
            self._send_confirmed()
            self._show(self._status.status, self._status.reason)
        else:
            self._stream.take(message)

    def _send(self, message: FromWorker) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _send_confirmed(self) -> None:
        self._gathering = None
        if self._welcomed:
            self._send(self._stream.confirmed)
