"""Group commit: what clients publish within a moment becomes one statement and one commit, for each client in the order of
its calls.

A message is acknowledged when its commit has returned and the stream has brought it back. So an ack carries the position,
and it promises what ``synchronous_commit`` of the server promises for a commit; where that is ``off``, the publisher flushes
nevertheless.

Each message gets an answer, whatever becomes of its transaction. If the connection is lost, whether the commit happened is
not known from it; a commit that has returned may be taken back by a crash, or the stream may not bring it (a publication
that was changed, a row that makes no sense). In all these cases the stream is awaited up to a position behind the
transaction; what it has not brought by then is looked for in the tables (:mod:`engine.channels.publish.resolver`), and
what is not there either is written again, under the same id.

Theory of operation
-------------------

A message (:class:`engine.channels.publish.batch.Waiting`) goes through these states::

    QUEUED → SENT → WRITTEN → ANSWERED
       ↑_______|________|

QUEUED
    It has a place in :class:`PublishQueue`, in the order of priorities and of its publisher's turns. Also one that has to be
    written again, or that stands aside while its table is locked (:mod:`engine.channels.publish.blockage`).
SENT
    It is part of the statement that is being executed. If the statement fails, the error's remedy decides
    (:mod:`engine.channels.publish.remedies`): write again as a whole or in halves, stand aside, refuse, or recover.
WRITTEN
    The commit has returned. The message waits for the stream to bring it (``delivered``), at most until its deadline
    (:mod:`engine.channels.publish.deadlines`); then the tables are asked (:mod:`engine.channels.publish.resolver`).
ANSWERED
    ``answer`` was called with the ack or the error, and the place is free. The final state.

The stream may bring a message before its commit has returned: ``brought`` keeps the ack until then.

Invariants: one statement at a time over one connection. Each message is answered once. A message is acknowledged only
if its commit has returned and its position is known, or if the tables have it. A message with an unknown outcome is written
again only after the stream has passed the end of the backend that may have written it.

Callers: the channel service runs ``jobs`` and calls ``publish``; the effects of a delivered transaction call ``delivered``
and ``refused``; a discontinuity calls ``uncertain``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import psycopg
import structlog
from psycopg.rows import DictRow
from tenacity import RetryCallState, wait_random_exponential

from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import (
    Ack,
    Answer,
    ChannelClosedError,
    Publication,
    UnavailableError,
    format_position,
)
from engine.channels.core.rooms import Rooms
from engine.channels.db.store import Store
from engine.channels.db.table_locks import TableLocks
from engine.channels.publish.batch import Waiting, wake_caller
from engine.channels.publish.blockage import Blockage
from engine.channels.publish.deadlines import Deadlines
from engine.channels.publish.publisher_session import AmbiguousError, PublishSession
from engine.channels.publish.queue import PublishQueue
from engine.channels.publish.refusals import Refusals
from engine.channels.publish.remedies import Remedy, remedy_for
from engine.channels.publish.resolver import Resolver
from engine.channels.publish.trouble import Trouble
from engine.lsn import Lsn
from engine.metrics.publishing import PublishMetrics
from engine.postgres.retry import Pause, error_of, until_done

__all__ = ["Publisher"]

_log = structlog.get_logger(__name__)

_RETRY: Final = 0.2
_RECONNECT: Final[Pause] = wait_random_exponential(multiplier=_RETRY, max=1)  # seconds
_MAX_CONFLICTS: Final = 5  # times in succession that a batch is written again as a whole after a conflict
_CROWD: Final = 8  # messages of one commit, after which the next one waits for others


class Publisher:
    """One connection, one batch at a time.

    Args:
        dsn: where to write.
        store: asked what became of messages; ``locks``: which tables are locked.
        reached: waits until the stream has passed a position.
        position_of: the commit position of a transaction (64-bit id), if it was delivered and is not released yet.
        linger: seconds to wait for others, under load; ``batch``: messages per commit; ``queue``: messages that may wait.
        timeout: seconds after which a message that has no other answer gets an error.
        metrics: as for :class:`PublishSession`.
    """

    def __init__(  # noqa: PLR0913
        self,
        dsn: str,
        node_id: str,
        store: Store,
        locks: TableLocks,
        reached: Callable[[Lsn], Awaitable[None]],
        position_of: Callable[[int], Lsn | None],
        *,
        linger: float,
        batch: int,
        queue: int,
        timeout: float,
        metrics: PublishMetrics | None = None,
    ) -> None:
        self._session = PublishSession(dsn, f"realtime publisher {node_id}", store, metrics)
        self._reached = reached
        self._linger = linger
        self._blockage = Blockage(locks, batch, _RETRY)
        self._trouble = Trouble()
        self._queue = PublishQueue(queue, batch)
        self._refusals = Refusals(self._queue, self._trouble, _RETRY)
        self._resolver = Resolver(self._queue, position_of)
        self._deadlines = Deadlines(self._queue, self._resolver, store, reached, timeout)
        self._remedies: Mapping[Remedy, Callable[[list[Waiting], BaseException], Awaitable[list[Waiting]]]] = {
            Remedy.RECOVER: self._look,
            Remedy.REPEAT: self._repeat,
            Remedy.RELEASE: self._release,
            Remedy.SET_ASIDE: self._stand_aside,
            Remedy.REFUSE_ROWS: self._refuse_rows,
            Remedy.HALVE: self._halve,
        }
        self.batches = 0

    def __len__(self) -> int:
        return len(self._queue)

    async def publish(self, publication: Publication, history: bool) -> Ack:
        """Store (or only send) a message. Waits while the queue is full; those of one client keep the order of the calls."""
        answered: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        await self._queue.enter(publication, history, partial(wake_caller, answered))
        return await answered

    def submit(self, messages: Sequence[tuple[Publication, Answer]], rooms: Rooms) -> int:
        """As ``publish``, without waiting for a place. Returns how many were taken, from the first on: the channel of the
        next one is not open, there is no place, or its id is known.
        """
        kept: dict[str, bool] = {}  # whether there is a history
        for taken, (message, answer) in enumerate(messages):
            channel = message.channel
            if (history := kept.get(channel)) is None:
                if not rooms.is_open(channel):
                    return taken
                history = kept[channel] = rooms.history(channel)
            if not self._queue.enter_at_once(message, history, answer):
                return taken
        return len(messages)

    def delivered(self, rows: Iterable[MessageRow]) -> None:
        """The stream brought messages: of those that are ours the publishers get the acks once the commit has returned."""
        for row in rows:
            waiting = self._queue.get(row)
            if waiting is not None:
                waiting.brought = Ack(waiting.id, format_position(row.lsn, row.seq))
                if waiting.written is not None or not waiting.sent:  # not sent: another session's message with this id
                    self._queue.resolve(waiting, waiting.brought)

    def refused(self, row: MessageRow) -> None:
        """The stream brought a message behind the end of its room: it was delivered to no subscriber."""
        waiting = self._queue.get(row)
        if waiting is not None:
            self._queue.fail(waiting, ChannelClosedError(f"channel {row.channel!r} is closed"))

    def uncertain(self) -> None:
        """Transactions may be missing in the stream: what waits for it may never come. The publisher has to try again."""
        for waiting in self._queue.open():
            self._queue.fail(
                waiting, UnavailableError("whether the message was stored is not known; send it again with its id")
            )

    # -- the tasks -------------------------------------------------------------------------------------------------

    def jobs(self) -> tuple[Coroutine[None, None, None], ...]:
        """What is to run while messages are taken: writing, late answers, and the look at who is in the way."""
        return self._run(), self._deadlines.watch(), self._deadlines.expire(), self._blockage.watch()

    async def _run(self) -> None:
        """Write batches, for ever. Messages gather while a commit is under way; the first one of an idle publisher is
        written at once. Only behind a large batch is it worth the time to wait for a larger one.
        """
        crowded = False
        try:
            while True:
                self._session.restore()
                await self._work()
                if tried := self._queue.send(self._blockage.take()):
                    await self._commit(tried)
                if not self._queue.wanted.is_set():
                    continue
                if crowded and not self._queue.has_batch:
                    await self._queue.fill(self._linger)
                batch = self._queue.take()
                crowded = len(batch) >= _CROWD
                await self._commit(self._blockage.pass_by(batch))
        finally:
            await self._session.hang_up()

    @property
    def problem(self) -> str | None:
        """What keeps messages from being stored, in words, if it has lasted for a moment."""
        return self._blockage.problem or self._trouble.problem

    async def _work(self) -> None:
        """Wait until there is something to write."""
        if not self._blockage:
            await self._queue.wanted.wait()
            return
        with contextlib.suppress(TimeoutError):  # then what stands aside is tried
            async with asyncio.timeout(self._blockage.wait):
                await self._queue.wanted.wait()

    async def close(self) -> None:
        """Fail all messages that still wait."""
        for waiting in self._queue:
            self._queue.fail(waiting, UnavailableError("the server is stopping; try again"))
        await self._session.hang_up()

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _commit(self, batch: list[Waiting]) -> None:
        """Write ``batch``; however often the connection is lost, each message is stored once.

        Of a batch that is rolled back the messages that are the reason are looked for by halves, so that each error is the
        answer to its own message, and the others are stored.
        """
        conflicts = 0
        while batch := [waiting for waiting in batch if self._queue.is_open(waiting)]:
            try:
                self.batches += 1
                missing = await self._session.write(batch)
            except (AmbiguousError, psycopg.Error, OSError) as error:
                remedy = remedy_for(
                    error, rolled_back=self._session.is_rolled_back(error), spent=self._spent(conflicts)
                )
                conflicts += remedy is Remedy.REPEAT
                batch = await self._remedies[remedy](batch, error)
            else:
                self._wrote(batch)
                return await self._account(batch, missing)

    def _spent(self, conflicts: int) -> frozenset[Remedy]:
        spent = {Remedy.REPEAT: conflicts >= _MAX_CONFLICTS, Remedy.RELEASE: self._session.leaves_out}
        return frozenset(remedy for remedy, is_spent in spent.items() if is_spent)

    # Each remedy returns what is still to be written.

    async def _look(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        _log.warning("publishes_repeated", messages=len(batch), error=str(error).strip())
        for waiting in batch:
            waiting.cut += 1
            waiting.alone += len(batch) == 1
        await self._recover()
        return []

    async def _repeat(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        return batch

    async def _release(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        self._session.leaves_out = True
        return batch

    async def _stand_aside(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        self._blockage.found([waiting for waiting in batch if waiting.history])
        return [waiting for waiting in batch if not waiting.history]

    async def _refuse_rows(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        for waiting in batch:
            if waiting.history:
                self._refusals.refuse(waiting, error)
        await self._session.hang_up()  # a session keeps the settings that it began with
        return batch

    async def _halve(self, batch: list[Waiting], error: BaseException) -> list[Waiting]:
        if len(batch) == 1:
            self._refusals.refuse(batch[0], error)
            return []
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        return batch[middle:]

    # -- answers ---------------------------------------------------------------------------------------------------

    def _wrote(self, batch: list[Waiting]) -> None:
        """The commit has returned."""
        if any(waiting.history for waiting in batch):
            self._blockage.over()
        self._trouble.over()
        now = asyncio.get_running_loop().time()
        for waiting in batch:
            waiting.written = now
            if waiting.brought is not None:
                self._queue.resolve(waiting, waiting.brought)

    async def _account(self, batch: list[Waiting], missing: list[DictRow]) -> None:
        """The commit is done: nothing that fails from here on may be answered as if it had been rolled back."""
        if not missing:
            return
        by_key = {waiting.key: waiting for waiting in batch}
        try:
            await self._resolver.explain(
                [(by_key[row["channel"], row["id"], row["scope"]], row) for row in missing], self._session.ask
            )
        except (psycopg.Error, OSError) as error:
            _log.warning("publishes_unanswered", messages=len(missing), error=str(error).strip())
            await self._recover()

    async def _recover(self) -> None:
        """The connection was lost. Connect again, see to it that the old backend has ended, wait until the stream has passed
        its end, and resolve everything that was sent: also earlier batches may be lost, if the server crashed.
        """
        old = await self._session.lose()

        async def attempt() -> None:
            try:
                await self._reached(await self._session.begin_anew(old))
                await self._resolver.resolve(self._queue.open(), self._session.ask)
            except (psycopg.Error, OSError):
                await self._session.hang_up()
                raise

        await until_done(attempt, on=(psycopg.Error, OSError), failed=self._note_failure, pause=_RECONNECT)

    def _note_failure(self, attempt: RetryCallState) -> None:
        self._trouble.failed(str(error_of(attempt)))
