"""From nothing to a stream that has started: the server checked, the node registered, the slot ready and in continuity.

A slot that is lost is made again here, and only here is a ``Discontinuity`` put before what the new one sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import psycopg
import structlog

from engine.errors import FeedError
from engine.feed.buffer import EVENT_OVERHEAD, EventBuffer
from engine.feed.decoders.base import PUBLICATION, Decoder
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.decoders.wal2json import Wal2JsonDecoder
from engine.feed.diagnostics import check_encoding, check_server, sender_remedy
from engine.feed.leases import NodeLease
from engine.feed.obstacle import Obstacle
from engine.feed.positions import Positions
from engine.feed.replication_stream import ReplicationStream
from engine.feed.settings import FeedSettings
from engine.feed.slots import ANOTHER_NAME, FAILOVER_SINCE, Slot, SlotBusyError, create_slot, drop_own_slot, find_slot
from engine.lsn import Lsn, format_lsn, parse_lsn
from engine.postgres.reconnecting import Database
from engine.transaction import Discontinuity

__all__ = ["CRASHED", "FeedParts", "Processes", "SessionMemory", "Startup"]

CRASHED: Final = "the server may have crashed and lost transactions that were not on its disk but had been seen"
"""Why results are read again if the server's processes were started anew."""

_log = structlog.get_logger(__name__)

_DECODERS: Final[dict[str, type[PgOutputDecoder] | type[Wal2JsonDecoder]]] = {
    "pgoutput": PgOutputDecoder,
    "wal2json": Wal2JsonDecoder,
}


class Processes(NamedTuple):
    """Of the server: when the postmaster started, and its auxiliary processes (see the query ``feed_processes``)."""

    started: datetime
    pids: frozenset[int]

    def survived(self, before: Processes) -> bool:
        """Whether a process of ``before`` still runs, which proves that there was no crash in between."""
        return self.started == before.started and not self.pids.isdisjoint(before.pids)


class SessionMemory:
    """State that outlives a session: the decoder with its relations, and facts to detect a lost history by."""

    def __init__(self) -> None:
        self.decoder: Decoder | None = None
        self.walsender: int | None = None
        self.system: str | None = None
        self.timeline: int | None = None
        self.flushed: Lsn = 0  # to the server's disk, when the last session began
        self.obstacle = Obstacle()
        self.lost: str | None = None
        self.other_history = False  # with ``lost``: the history may lack transactions that were delivered
        self.parted: Lsn | None = None  # with ``other_history``: what committed before is in both, if that is known
        self.publication: int | None = None
        self.seen: Lsn = 0  # up to where snapshots may have shown commits
        self.reconnected: list[Callable[[], None]] = []  # called after each reconnect
        self.processes: Processes | None = None  # of the server, at the start of the last session
        self.streamed = False
        self.sessions = 0  # that have streamed
        self.made_slot = False


@dataclass(frozen=True, slots=True, eq=False)
class FeedParts:
    """The parts that all sessions of one feed share."""

    settings: FeedSettings
    database: Database
    lease: NodeLease
    buffer: EventBuffer
    positions: Positions
    memory: SessionMemory


class Startup:
    """One attempt to open the stream. ``report`` is called with the reason of each wait.

    ``status_interval``: longest time between two status updates in seconds, final once the stream is open.
    """

    def __init__(self, parts: FeedParts, report: Callable[[str], None]) -> None:
        self._settings = parts.settings
        self._database = parts.database
        self._lease = parts.lease
        self._buffer = parts.buffer
        self._positions = parts.positions
        self._memory = parts.memory
        self._report_state = report
        self.status_interval = parts.settings.status_interval

    async def open(self) -> tuple[ReplicationStream, Decoder]:
        """Returns a stream that has started, and its decoder. Raises ``FeedError``, ``psycopg.Error`` or ``OSError``."""
        server = (await self._database.rows("feed_server", publication=PUBLICATION))[0]
        check_server(server)
        if server["encoding"] == "SQL_ASCII" and not self._lease.registered:
            # values that are not UTF-8 end the live queries that read them, and the slot is made again
            _log.warning("database_encoding_unchecked", encoding=server["encoding"])
        if self._memory.publication not in (None, server["publication"]):
            self._memory.lost = f"publication {PUBLICATION} was dropped and made again"
        self._memory.publication = server["publication"]
        await self._lease.register()
        await self._lease.remove_expired()
        if timeout := server["wal_sender_timeout_ms"] / 1000:
            self.status_interval = min(self._settings.status_interval, timeout / 3)
        stream = await self._connect()
        try:
            await self._check_history(stream, int(server["timeline"], 16))
            if self._memory.streamed:
                for callback in self._memory.reconnected:
                    callback()
            decoder = await self._ready_slot(stream, server)
            decoder.reset()
            await self._check_survival()
            decoder.expect_ddl_messages(server["announces_ddl"])
            await self._start(stream, decoder)
        except BaseException:
            await stream.close()
            raise
        self._memory.walsender = stream.pid
        self._memory.streamed = True
        self._lease.hold()
        return stream, decoder

    async def _connect(self) -> ReplicationStream:
        try:
            return await ReplicationStream.connect(self._database.dsn, f"realtime feed {self._settings.slot_name}")
        except psycopg.OperationalError as error:
            facts = (await self._database.rows("feed_sender_facts"))[0]  # raises if the server is down
            if (remedy := sender_remedy(facts)) is None:
                raise
            raise FeedError(f"{str(error).strip()}: {remedy}") from error

    async def _start(self, stream: ReplicationStream, decoder: Decoder) -> None:
        choices = decoder.options()
        for choice, options in enumerate(choices):
            try:
                await stream.start(self._settings.slot_name, self._positions.delivered, options)
            except psycopg.errors.InvalidParameterValue:
                if choice + 1 == len(choices):
                    raise
            else:
                decoder.use(choice)
                return

    async def _check_history(self, stream: ReplicationStream, timeline: int) -> None:
        """Detect another history: another system identifier, another timeline, or WAL that ends before ``delivered``.

        A server on another timeline was a standby or a backup, and lacks the transactions that it had not replayed when it
        was promoted. WAL, or a slot of the same name, beyond ``delivered`` does not disprove that. Where the timelines
        parted does for the stream, but not for snapshots, nor for the deliveries of other nodes;
        ``realtime.adopt_cluster()`` compares timelines too.
        """
        system, line, position = await stream.identify()
        assert line is not None
        flushed = parse_lsn(position or "0/0")
        if int(line) != timeline:
            await self._database.close()
            raise SlotBusyError(f"connections reach two servers, on timelines {timeline} and {line}")
        ended = await self._note_timelines(stream, timeline)
        why, parted = None, None
        if self._memory.system not in (None, system):
            why = "the database was replaced by another one"
        elif self._memory.timeline not in (None, timeline):
            why = "the server is on another timeline (a standby was promoted, or a backup restored)"
            parted = None if self._memory.lost else ended.get(self._memory.timeline or 0)
        elif flushed < self._positions.delivered:
            why = "the server has lost transactions that it had sent (restored or failed over)"
        if why is not None:
            self._memory.lost, self._memory.other_history, self._memory.parted = why, True, parted
        self._memory.system, self._memory.timeline, self._memory.flushed = system, timeline, flushed
        self._memory.obstacle.clear_at = flushed

    async def _note_timelines(self, stream: ReplicationStream, timeline: int) -> dict[int, Lsn]:
        """Learn where the timelines before the server's have ended, and keep it for ``realtime.adopt_cluster()``."""
        ended = await stream.ended_timelines(timeline)
        if ended:
            kept = {f"{line:08X}": format_lsn(position) for line, position in ended.items()}
            await self._database.rows("feed_note_timelines", ended=orjson.dumps(kept).decode())
        return ended

    async def _check_survival(self) -> None:
        """Detect a crash in which commits that were not on disk (``synchronous_commit = off``) were lost.

        The stream carries no transaction before it is on disk, but snapshots show it at once. After a crash PostgreSQL
        assigns the ids of lost transactions again, so an earlier snapshot would seem to show transactions it lacks.
        Positions that the stream has passed are safe. Beyond them, a server process that has survived proves that there was
        no crash.
        """
        row = (await self._database.rows("feed_processes"))[0]
        before, now = self._memory.processes, Processes(row["started"], frozenset(row["pids"]))
        self._memory.processes = now
        if not self._memory.streamed or (before is not None and now.survived(before)):
            return
        safe = self._positions.received
        if self._settings.shared or self._memory.seen > safe:
            self._buffer.put(Discontinuity(CRASHED, missing=False, safe=safe), EVENT_OVERHEAD)
            self._memory.seen = 0

    async def _ready_slot(self, stream: ReplicationStream, server: dict[str, Any]) -> Decoder:
        """Ensure that the slot exists, is this node's and continues at ``delivered``; else make a new one."""
        name = self._settings.slot_name
        slot = await find_slot(self._database, name)
        if slot is not None and slot.active_pid is not None and slot.active_pid == self._memory.walsender:
            # The previous session's walsender: the server has not noticed that its connection is closed.
            await self._database.rows("feed_terminate", pid=slot.active_pid)
            slot = await find_slot(self._database, name)
        if slot is not None:
            self._check_slot(slot, server["database"])
        failover = self._settings.failover and server["version"] >= FAILOVER_SINCE
        lost = self._memory.lost or self._why_lost(slot)
        wanted = self._settings.decoder
        plugin = slot.plugin if slot else "pgoutput" if wanted == "auto" else wanted
        check_encoding(plugin, server["encoding"])
        if slot is not None and lost is not None and self._continues(slot):
            self._start_over(self._common, f"{lost}; its copy of the slot goes on")
        elif slot is None or lost is not None:
            await self._make_slot(stream, slot, plugin, lost, failover=failover)
        elif not self._memory.streamed:
            self._positions.start(slot.confirmed)
        if slot is not None and lost is None and failover and not slot.failover:
            await stream.make_failover_slot(name)
        decoder = self._memory.decoder
        if decoder is None or decoder.plugin != plugin:
            decoder = _DECODERS[plugin](self._settings.transaction_memory, self._settings.spill_dir)
            self._memory.decoder = decoder
        return decoder

    def _check_slot(self, slot: Slot, database: str) -> None:
        wanted = self._settings.decoder
        if slot.database != database:
            raise FeedError(f"slot {slot.name} belongs to database {slot.database}: {ANOTHER_NAME}")
        if slot.plugin not in _DECODERS or wanted not in ("auto", slot.plugin):
            raise FeedError(
                f"slot {slot.name} uses the plugin {slot.plugin}, not {'one of ours' if wanted == 'auto' else wanted}: "
                f"drop it (`realtime slots drop {slot.name}`), or {ANOTHER_NAME}, or another decoder"
            )
        if slot.active_pid is not None:
            raise SlotBusyError(f"slot {slot.name} is in use by {slot.user or f'process {slot.active_pid}'}")

    def _why_lost(self, slot: Slot | None) -> str | None:
        name = self._settings.slot_name
        if slot is None:
            return f"slot {name} was dropped" if self._memory.streamed else None
        if slot.lost is not None:
            return f"slot {name} was invalidated ({slot.lost})"
        if self._memory.streamed and slot.confirmed > self._positions.delivered:
            return f"slot {name} was moved or made again by another program"
        return None

    @property
    def _common(self) -> Lsn:
        """Everything up to there was delivered, and is in the server's history; 0: not known."""
        return min(self._positions.delivered, self._memory.parted or 0)

    def _continues(self, slot: Slot) -> bool:
        """Whether a ``slot`` on a server with another history brings everything behind what both have (a failover slot)."""
        return slot.lost is None and slot.confirmed <= self._common

    async def _make_slot(
        self, stream: ReplicationStream, slot: Slot | None, plugin: str, lost: str | None, *, failover: bool
    ) -> None:
        name = self._settings.slot_name
        if slot is not None:
            await drop_own_slot(self._database, name)
        position = await create_slot(stream, self._database, name, plugin, self._report_state, failover=failover)
        self._memory.made_slot = self._memory.made_slot or slot is None
        if lost is None:
            self._positions.start(position)
            self._forget_loss()
        else:
            self._start_over(position, f"{lost}; a new slot was made")

    def _start_over(self, position: Lsn, reason: str) -> None:
        self._positions.start_over(position)
        self._buffer.put(Discontinuity(reason, other_history=self._memory.other_history), EVENT_OVERHEAD)
        self._forget_loss()

    def _forget_loss(self) -> None:
        self._memory.lost, self._memory.other_history, self._memory.parted = None, False, None
        self._memory.seen = 0
        self._memory.obstacle.passed()
