"""Records where transactions with messages committed, and releases messages that are recorded.

Theory of operation. An unrecorded transaction is *pending*, then *recorded*, then released:

- pending -> recorded: ``record`` writes a row of ``realtime.commits`` for each pending transaction and channel, with copies
  for other channels, and then confirms the stream. The slot is not confirmed past a pending transaction: after a crash the
  stream brings it again. A failed write is repeated; where a function of the database refuses a copy, the next attempt is
  *careful* and skips the copies that are refused.
- recorded -> released: ``trim`` takes a snapshot now and then, and releases the messages that it shows.

Of the nodes that follow one slot (workers of a machine, nodes behind NATS) one leads, which the feed shows, and records at
once. The others record what was pending :data:`FOLLOW_INTERVAL` before, which the leader has recorded if it is well, so the
statement changes nothing. If it is not, what it left is recorded all the same, whether or not another one leads by then.

Nodes behind NATS record nothing, while their stream goes on: the leading relay does, and its stream brings how far it is
(``Progress.recorded``), which makes entries recorded here. What is pending when the stream is interrupted may be known to
this process alone, since a relay that begins another stream may never have had it: that is recorded here, at once.

A transaction is recorded only in the epoch it came from: after a failover the store's connections may lead to the new
primary before the stream has noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import psycopg
import structlog
from tenacity import RetryCallState

from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import UnavailableError
from engine.channels.core.unrecorded import Entry, UnrecordedMessages
from engine.channels.db.store import Store
from engine.channels.history.epochs import OTHER_HISTORY, Epochs
from engine.channels.publish.trouble import Trouble
from engine.lsn import Lsn, format_lsn
from engine.postgres.errors import function_refuses
from engine.postgres.retry import SOON, error_of, until_done
from engine.postgres.statements.arrays import text_array
from engine.stream.driver import StreamDriver

__all__ = ["FOLLOW_INTERVAL", "CommitRecorder"]

_log = structlog.get_logger(__name__)

FOLLOW_INTERVAL: Final = 1.0
"""Seconds that the recorder which leads has for a transaction before the others record it, too."""

_MAX_TRANSACTIONS = 2_000  # transactions per statement
_COPY = (
    "targets",
    "sources",
    "source_xids",
    "events",
    "payloads",
    "senders",
    "connections",
    "ids",
    "audiences",
    "priorities",
)


class CommitRecorder:
    """Two loops over the unrecorded messages; :meth:`wake` after each transaction with messages.

    ``interval``: seconds between two statements; ``trim``: between two releases.
    """

    def __init__(
        self,
        store: Store,
        unrecorded: UnrecordedMessages,
        epochs: Epochs,
        stream: StreamDriver,
        interval: float,
        trim: float,
    ) -> None:
        self._store = store
        self._epochs = epochs
        self._unrecorded = unrecorded
        self._stream = stream
        self._confirm = stream.claim_recording("the channel service", self._take_report)
        self._interval = interval
        self._trim_interval = trim
        self._callbacks: list[Callable[[], None]] = []
        # Pending when the stream was interrupted, if another process had recorded until then.
        self._left: set[Entry] = set()
        self._wanted = asyncio.Event()
        self._requested = asyncio.Event()  # recorded() waits: no interval before the next
        self._changed = asyncio.Condition()
        self._reported: Lsn = 0
        self._careful = False  # a trigger refuses a copy: it is skipped
        self._trouble = Trouble("positions of messages cannot be recorded")

    def wake(self) -> None:
        """A transaction is pending."""
        self._wanted.set()

    @property
    def problem(self) -> str | None:
        """What keeps positions from being recorded, in words; None: nothing that lasts."""
        return self._trouble.problem

    def on_recorded(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time that this process has recorded something."""
        self._callbacks.append(callback)

    @property
    def recorded_before(self) -> Lsn:
        """Of all messages of transactions before this position that the stream has brought it is recorded where; 0: not
        known.
        """
        return min([self._stream.passed, *(entry.lsn for entry in self._unrecorded.pending)])

    def record_now(self) -> None:
        """Record what is pending without an interval."""
        self._requested.set()
        self._wanted.set()

    async def recorded(self, before: Lsn = 0) -> None:
        """Wait until everything that is pending now has been recorded; also what this process does not know of transactions
        ``before`` that position, where another one records.
        """
        waiting, interruptions = self._unrecorded.pending, self._stream.interruptions
        if not self._stream.reports_recorded:
            before = 0
        if waiting or self._reported < before:
            self._stream.request_recording()
        await self._recorded(waiting)
        while self._reported < before and interruptions == self._stream.interruptions:
            await self._stream.changed()

    async def finish(self) -> None:
        """Wait until what this process has to record is recorded; for what another one records nothing waits."""
        await self._recorded(list(self._left) if self._stream.reports_recorded else self._unrecorded.pending)

    async def _recorded(self, waiting: Sequence[Entry]) -> None:
        while any(map(self._unrecorded.is_pending, waiting)):
            if not self._stream.reports_recorded:
                self.record_now()
            async with self._changed:
                if any(map(self._unrecorded.is_pending, waiting)):
                    await self._changed.wait()

    def _take_report(self, position: Lsn) -> None:
        """Another process has recorded everything that committed before ``position``."""
        self._reported = position
        entries = [entry for entry in self._unrecorded.pending if entry.lsn < position and entry not in self._left]
        if entries:
            self._unrecorded.record(entries)
            self._confirm()
            self.wake()

    def interrupted(self) -> None:
        """Transactions may be missing in the stream. Call it before the first one of what follows."""
        if self._stream.reports_recorded:
            self._left.update(self._unrecorded.pending)
            self._reported = 0
            self.wake()

    async def record(self) -> None:
        """Record pending transactions, at most once per interval."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._stream.reports_recorded:
                self._requested.clear()
                await self._record_first(len(self._left))
                await self._notify()
                continue
            leads, known = self._stream.leads_recording, len(self._unrecorded.pending)
            if known and not leads and await self._pass_or_requested(FOLLOW_INTERVAL):
                known = len(self._unrecorded.pending)
            await self._record_first(known)
            await self._notify()  # also if the epoch changed, and what recorded() waited for is dropped
            if self._unrecorded.pending:
                self._wanted.set()
            if known and leads:
                await self._pass_or_requested(self._interval)

    async def _record_first(self, count: int) -> None:
        """Record the first ``count`` entries, as far as they are still pending."""
        while count > 0:
            recorded = await until_done(
                partial(self._record_next, count),
                on=(psycopg.Error, UnavailableError),
                failed=self._note,
                pause=self._pause,
            )
            count = count - recorded if recorded else 0

    async def _pass_or_requested(self, seconds: float) -> bool:
        """Let so many seconds pass. True, and at once: :meth:`recorded` waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        requested = self._requested.is_set()
        self._requested.clear()
        return requested

    async def _record_next(self, most: int) -> int:
        """Record the first ``most`` entries, or fewer. Returns how many they are."""
        entries = self._unrecorded.pending
        if self._stream.reports_recorded:
            self._left.intersection_update(entries)
            entries = [entry for entry in entries if entry in self._left]
        entries = entries[: min(most, _MAX_TRANSACTIONS)]
        if entries:
            await self.write(entries, careful=self._careful)
            self._careful = False
            self._trouble.over()
            self._unrecorded.record(entries)
            self._left.difference_update(entries)
            self._confirm()
            for callback in self._callbacks:
                callback()
        return len(entries)

    def _note(self, attempt: RetryCallState) -> None:
        error = error_of(attempt)
        _log.warning("commits_not_recorded", error=str(error).strip())
        self._trouble.failed(str(error))

    def _pause(self, attempt: RetryCallState) -> float:
        """Seconds until the next attempt: none if a function refused, for then the refused copies are skipped."""
        careful, self._careful = self._careful, function_refuses(error_of(attempt))
        return SOON(attempt) if careful or not self._careful else 0.0

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def write(self, entries: list[Entry], *, careful: bool) -> None:
        """Record ``entries`` and make their copies; ``careful``: except those that are refused. Raises ``psycopg.Error`` and
        ``UnavailableError``.
        """
        if refused := [row for entry in entries for row in _rows(entry, entry.refused)]:
            parameters = _columns(refused, ("channels", "xids", "positions", "first", "last"))
            del parameters["positions"]
            # Only PostgreSQL knows when it will see them.
            while not (await self._ask("engine_remove_refused", **parameters))["seen"]:  # noqa: ASYNC110
                await asyncio.sleep(self._interval)
        commits = [row for entry in entries for row in _rows(entry, entry.messages)]
        parameters = _columns(commits, ("channels", "xids", "positions", "first", "last"))
        if any(entry.copies for entry in entries):
            copies = await self._ask("engine_record_and_route", **parameters, **_copies(entries), careful=careful)
            if copies["refused"]:
                _log.error("routed_copies_refused", copies=copies["refused"])  # PostgreSQL's log has the reasons
        elif commits:
            await self._ask("engine_record_commits", **parameters)

    async def _ask(self, name: str, **parameters: object) -> dict[str, Any]:
        """Run a query that does nothing in another history. Raises ``UnavailableError`` there."""
        [row] = await self._store.keep(name, epoch=self._epochs.current, **parameters)
        if not row["ours"]:
            raise UnavailableError(OTHER_HISTORY)
        return row

    async def trim(self) -> None:
        """Release messages that are recorded and that a snapshot shows."""
        while True:
            await asyncio.sleep(self._trim_interval)
            if not len(self._unrecorded):
                continue
            try:
                await self.release_shown()
            except UnavailableError as error:
                _log.warning("unrecorded_messages_not_trimmed", error=str(error))

    async def release_shown(self) -> None:
        """Release messages that are recorded and that a snapshot shows now. Raises ``UnavailableError``."""
        ticket = self._unrecorded.begin_read()
        snapshot = None
        try:
            snapshot = await self._store.snapshot()
        finally:
            self._unrecorded.end_read(ticket, snapshot)


def _rows(entry: Entry, messages: list[MessageRow]) -> list[tuple[str, str, str, str, str]]:
    """One row per channel: its name, the transaction, where it committed, the first and the last message's time."""
    if not entry.full_xid:
        return []
    times: dict[str, list[str]] = {}
    for message in messages:
        times.setdefault(message.channel, []).append(message.inserted_at)
    # PostgreSQL's text in one time zone sorts as the times do.
    return [(channel, str(entry.full_xid), format_lsn(entry.lsn), min(at), max(at)) for channel, at in times.items()]


def _copies(entries: list[Entry]) -> dict[str, str]:
    """Messages for other channels; without a transaction's id if it is not recorded."""
    return _columns(
        [
            (
                target,
                row.channel,
                str(entry.full_xid) if entry.full_xid and row.stored else None,
                row.event,
                row.payload.decode(),
                row.sender,
                row.connection_id,
                row.id,
                None if row.audience is None else row.audience.decode(),
                str(row.priority),
            )
            for entry in entries
            for row, target in entry.copies
        ],
        _COPY,
    )


def _columns(rows: Sequence[tuple[str | None, ...]], names: Sequence[str]) -> dict[str, str]:
    return {name: text_array(row[place] for row in rows) for place, name in enumerate(names)}
