"""One streaming session: make the slot ready, start, and pump messages into the buffer until the stream breaks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from engine.errors import FeedError
from engine.feed.buffer import EventBuffer
from engine.feed.changes import ChangeLog
from engine.feed.database import Database
from engine.feed.decoder import PUBLICATION, Decoder, NeedRelation
from engine.feed.nodes import register, remove_expired
from engine.feed.pgoutput import PgOutputDecoder
from engine.feed.positions import Positions
from engine.feed.problems import check_server
from engine.feed.relations import describe_table
from engine.feed.replication import Keepalive, ReplicationStream
from engine.feed.settings import FeedSettings
from engine.feed.slots import Slot, SlotBusy, create_slot, drop_slot, find_slot
from engine.feed.wal2json import Wal2JsonDecoder
from engine.lsn import parse_lsn
from engine.types import Discontinuity, Progress, Transaction

__all__ = ["Session", "SessionMemory"]

_DECODERS: Final[dict[str, type[PgOutputDecoder] | type[Wal2JsonDecoder]]] = {
    "pgoutput": PgOutputDecoder,
    "wal2json": Wal2JsonDecoder,
}
_SLICE: Final = 0.005  # seconds for which the event loop may be held
_CLOCK_EVERY: Final = 64  # messages between two looks at the clock
_PROGRESS_EVERY: Final = 0.1  # seconds between two Progress events, unless the server asks
_LOOK_WHILE_FULL: Final = 1.0  # seconds between two looks at the server while the buffer is full
_STATUS_GAP: Final = 0.02  # seconds between two status updates
_EVENT_OVERHEAD: Final = 512


class SessionMemory:
    """What outlives a session: the decoder with its relations, and what tells a broken connection from a lost history."""

    def __init__(self) -> None:
        self.decoder: Decoder | None = None
        self.walsender: int | None = None
        self.system: str | None = None
        self.lost: str | None = None
        self.publication: int | None = None
        self.streamed = False
        self.registered = False


class Session:
    """Lives from one connection attempt to the end of its stream. :meth:`run` always ends by raising."""

    def __init__(
        self,
        dsn: str,
        settings: FeedSettings,
        database: Database,
        buffer: EventBuffer,
        positions: Positions,
        memory: SessionMemory,
        say: Callable[[str | None], None],
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._database = database
        self._buffer = buffer
        self._positions = positions
        self._memory = memory
        self._say = say
        self._wake = asyncio.Event()
        self._seen = 0  # the server is past this position and sent nothing for us since
        self._reply_wanted = False
        self._next_progress = 0.0
        self._status_interval = settings.status_interval

    def confirmed(self) -> None:
        """The consumer confirmed something: tell the server soon."""
        self._wake.set()

    async def run(self) -> None:
        """Stream until something ends it, and raise that."""
        stream = await self._open()
        try:
            parts = [self._pump(stream, self._decoder), self._report(stream), self._watch_publication()]
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._close(stream)

    @property
    def _decoder(self) -> Decoder:
        assert self._memory.decoder is not None
        return self._memory.decoder

    async def _open(self) -> ReplicationStream:
        server = (await self._database.rows("feed_server", publication=PUBLICATION))[0]
        check_server(server)
        if self._memory.publication not in (None, server["publication"]):
            self._memory.lost = f"publication {PUBLICATION} was dropped and made again"
        self._memory.publication = server["publication"]
        await register(self._database, self._settings)
        self._memory.registered = True
        await remove_expired(self._database, self._settings)
        if timeout := server["wal_sender_timeout_ms"] / 1000:
            self._status_interval = min(self._settings.status_interval, timeout / 3)
        name = self._settings.slot_name
        stream = await ReplicationStream.connect(self._dsn, f"realtime feed {name}")
        try:
            await self._check_history(stream)
            await self._ready_slot(server)
            self._decoder.reset()
            await self._start(stream, name)
        except BaseException:
            await stream.close()
            raise
        self._memory.walsender = stream.pid
        self._memory.streamed = True
        self._say(None)
        return stream

    async def _start(self, stream: ReplicationStream, name: str) -> None:
        choices = self._decoder.options()
        for choice, options in enumerate(choices):
            try:
                await stream.start(name, self._positions.delivered, options)
            except psycopg.errors.InvalidParameterValue:
                if choice + 1 == len(choices):
                    raise
            else:
                self._decoder.use(choice)
                return

    async def _check_history(self, stream: ReplicationStream) -> None:
        """A server restored from elsewhere, or one whose WAL ends before what we have seen, has another history."""
        system, _, position, _ = (await stream.command("IDENTIFY_SYSTEM"))[0]
        if self._memory.system not in (None, system):
            self._memory.lost = "the database was replaced by another one"
        elif parse_lsn(position or "0/0") < self._positions.delivered:
            self._memory.lost = "the server has lost transactions that it had sent (restored or failed over)"
        self._memory.system = system

    async def _ready_slot(self, server: dict[str, Any]) -> None:
        """See to it that the slot exists, is ours and continues what was delivered; else make a new one."""
        name = self._settings.slot_name
        slot = await find_slot(self._database, name)
        if slot is not None:
            await self._check_slot(slot, server["database"])
        lost = self._memory.lost or self._why_lost(slot)
        wanted = self._settings.decoder
        if slot is None or lost is not None:
            plugin = wanted if wanted != "auto" else slot.plugin if slot else "pgoutput"
            await self._make_slot(slot, plugin, lost)
        else:
            plugin = slot.plugin
            if not self._memory.streamed:
                self._positions.start(slot.confirmed)
        if self._memory.decoder is None or self._memory.decoder.plugin != plugin:
            self._memory.decoder = _DECODERS[plugin](self._settings.transaction_memory, self._settings.spill_dir)

    async def _check_slot(self, slot: Slot, database: str) -> None:
        wanted = self._settings.decoder
        if slot.database != database:
            raise FeedError(f"slot {slot.name} belongs to database {slot.database}: choose another slot name")
        if slot.plugin not in _DECODERS or wanted not in ("auto", slot.plugin):
            raise FeedError(
                f"slot {slot.name} uses the plugin {slot.plugin}, not {'one of ours' if wanted == 'auto' else wanted}: "
                f"drop it (`realtime slots drop {slot.name}`), or choose another slot name or decoder"
            )
        if slot.active_pid is not None:
            if slot.active_pid == self._memory.walsender:  # ours: the server has not noticed that we are gone
                await self._database.rows("feed_terminate", pid=slot.active_pid)
            raise SlotBusy(f"slot {slot.name} is in use by {slot.user or f'process {slot.active_pid}'}")

    def _why_lost(self, slot: Slot | None) -> str | None:
        name = self._settings.slot_name
        if slot is None:
            return f"slot {name} was dropped" if self._memory.streamed else None
        if slot.lost is not None:
            return f"slot {name} was invalidated ({slot.lost})"
        if self._memory.streamed and slot.confirmed > self._positions.delivered:
            return f"slot {name} was moved or made again by somebody else"
        return None

    async def _make_slot(self, slot: Slot | None, plugin: str, lost: str | None) -> None:
        name = self._settings.slot_name
        if slot is not None:
            await drop_slot(await self._database.connection(), name)
        position = await create_slot(self._dsn, self._database, name, plugin, self._say)
        self._memory.lost = None
        if lost is None:
            self._positions.start(position)
        else:
            self._positions.start_over(position)
            self._buffer.put(Discontinuity(f"{lost}; a new slot was made"), _EVENT_OVERHEAD)

    async def _pump(self, stream: ReplicationStream, decoder: Decoder) -> None:
        while True:
            while self._buffer.full:
                await self._wait_for_room()
            drained = await self._read_slice(stream, decoder)
            wait = self._note_progress()
            if drained:
                await stream.readable(wait)
            else:
                await asyncio.sleep(0)

    async def _wait_for_room(self) -> None:
        """Leave the socket alone until the consumer has caught up: back-pressure. But not for ever.

        A walsender that is told to end while its socket is full cannot: it blocks sending its last words, and with it a
        shutdown, or the checkpoint that wants to invalidate its slot. So look, and hang up on it in time.
        """
        if await self._buffer.drained(_LOOK_WHILE_FULL):
            return
        slot = await find_slot(self._database, self._settings.slot_name)  # raises when the server shuts down
        if slot is None or slot.lost is not None or slot.endangered:
            raise SlotBusy(
                f"slot {self._settings.slot_name} keeps more WAL than the server allows: the consumer is too slow"
            )

    async def _read_slice(self, stream: ReplicationStream, decoder: Decoder) -> bool:
        """Read for one time slice at most; returns True if nothing more has arrived."""
        read, feed, clock = stream.read, decoder.feed, time.monotonic
        deadline = clock() + _SLICE
        while True:
            for _ in range(_CLOCK_EVERY):
                message = read()
                if type(message) is bytes:
                    try:
                        transaction = feed(message)
                    except NeedRelation as need:
                        transaction = await self._look_up(decoder, need, message)
                    if transaction is not None:
                        self._deliver(transaction)
                        if self._buffer.full:
                            return False
                elif message is None:
                    return True
                elif isinstance(message, Keepalive):
                    self._on_keepalive(message)
            if clock() > deadline:
                return False

    async def _look_up(self, decoder: Decoder, need: NeedRelation, message: bytes) -> Transaction | None:
        while True:
            decoder.provide(need, await describe_table(self._database, need.schema, need.table))
            try:
                return decoder.feed(message)
            except NeedRelation as another:
                need = another

    def _deliver(self, transaction: Transaction) -> None:
        if transaction.end <= self._positions.delivered:
            return  # delivered before a reconnect
        changes = transaction.changes
        if not changes:
            self._seen = max(self._seen, transaction.end)
            return
        size = changes.memory if isinstance(changes, ChangeLog) else 0
        self._positions.deliver(transaction.end, transaction.commit_time)
        self._buffer.put(transaction, size + _EVENT_OVERHEAD)

    def _on_keepalive(self, keepalive: Keepalive) -> None:
        self._seen = max(self._seen, keepalive.position)
        self._positions.received = max(self._positions.received, keepalive.position)
        if keepalive.reply:
            self._reply_wanted = True
            self._wake.set()

    def _note_progress(self) -> float | None:
        """Say how far the stream is, if that is news; returns in how many seconds to call again, if so."""
        if self._seen <= self._positions.delivered:
            return None
        wait = self._next_progress - time.monotonic()
        if wait > 0 and not self._reply_wanted:
            return wait
        self._reply_wanted = False
        self._next_progress = time.monotonic() + _PROGRESS_EVERY
        self._positions.deliver(self._seen)
        self._buffer.put(Progress(self._seen), _EVENT_OVERHEAD)
        return None

    async def _report(self, stream: ReplicationStream) -> None:
        """Status updates: when something was confirmed, when the server asks, and every so often."""
        while True:
            self._wake.clear()
            await stream.send_status(self._positions.received, self._positions.confirmed)
            await asyncio.sleep(_STATUS_GAP)
            try:
                async with asyncio.timeout(self._status_interval):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _watch_publication(self) -> None:
        """Without its publication, pgoutput sends nothing and (since PostgreSQL 18) does not complain."""
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            found = await self._database.rows("feed_publication", publication=PUBLICATION)
            if not found or found[0]["oid"] != self._memory.publication:
                self._memory.lost = f"publication {PUBLICATION} was dropped"
                raise FeedError(self._memory.lost)

    async def _close(self, stream: ReplicationStream) -> None:
        with contextlib.suppress(psycopg.Error, OSError):  # the connection may be what broke
            await stream.send_status(self._positions.received, self._positions.confirmed)
        await stream.close()
