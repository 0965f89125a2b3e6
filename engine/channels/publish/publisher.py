"""Group commit: what clients publish within a moment becomes one statement and one commit, in the order of the calls.

A message is acknowledged when its commit has returned and the stream has brought it back. So an ack carries the position,
and it promises what ``synchronous_commit`` of the server promises for a commit; where that is ``off``, the publisher flushes
nevertheless.

Each message gets an answer, whatever becomes of its transaction. If the connection is lost, whether the commit happened is
not known from it; a commit that has returned may be taken back by a crash, or the stream may not bring it (a publication
that was changed, a row that makes no sense). In all these cases the stream is awaited up to a position behind the
transaction; what it has not brought by then is looked for in the tables (:meth:`Publisher._settle`), and what is not there
either is written again, under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row

from engine.channels.core.decode import MessageRow
from engine.channels.core.model import Ack, ChannelClosedError, Position, Publication, UnavailableError, format_position
from engine.channels.db.store import Store
from engine.channels.publish.batch import Waiting, columns, note, refusal
from engine.channels.publish.blockage import Blockage
from engine.channels.publish.queue import PublishQueue
from engine.channels.publish.trouble import Trouble
from engine.errors import InvalidQueryError
from engine.feed.decoders.base import HEARTBEAT_PREFIX
from engine.lsn import Lsn, parse_lsn
from engine.postgres.arrays import plain_array, text_array
from engine.postgres.connecting import CONNECT_TIMEOUT, Connection, connect
from engine.postgres.errors import is_clients, is_raised, rolled_back
from engine.postgres.named_queries import query

__all__ = ["Publisher"]

Ask = Callable[..., Awaitable[list[DictRow]]]

log = structlog.get_logger(__name__)

_CONFLICT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_RETRY: Final = 0.2
_OVERDUE: Final = 1.0  # seconds after its commit: from then on a message that the stream has not brought is looked for
_SLACK: Final = 60  # seconds: a message may be that much older than this process thinks
_MOST_ALONE: Final = 3  # connections that may end over one message
_MOST_LOST: Final = 3  # times that a committed message may vanish before its publisher is told
_LOCK_TIMEOUT: Final = "100ms"  # below anybody's deadlock_timeout: of two that block each other it is we who give way
_MOST_CONFLICTS: Final = 5  # times in succession that a batch is written again as a whole after a conflict
_LEFT_OUT: Final = "RTX01"  # see the query engine_publish
_BEING_WRITTEN: Final = 2.0  # seconds beyond its timeout in which a message that was sent may still get its outcome
_PATIENCE: Final = 5.0  # seconds that a message waits for a transaction that claims the same id


class Publisher:
    """One connection, one batch at a time.

    Args:
        dsn: where to write.
        store: asked what became of messages.
        reached: waits until the stream has passed a position.
        position_of: the commit position of a transaction (64-bit id), if the ledger knows it.
        gather: seconds to wait for others; ``batch``: messages per commit; ``queue``: messages that may wait.
        timeout: seconds after which a message that has no other answer gets an error.
    """

    def __init__(  # noqa: PLR0913
        self,
        dsn: str,
        node_id: str,
        store: Store,
        reached: Callable[[Lsn], Awaitable[None]],
        position_of: Callable[[int], Lsn | None],
        *,
        gather: float,
        batch: int,
        queue: int,
        timeout: float,
    ) -> None:
        self._dsn = dsn
        self._name = f"realtime publisher {node_id}"
        self._store = store
        self._reached = reached
        self._position_of = position_of
        self._gather = gather
        self._timeout = timeout
        self._blockage = Blockage(store, batch, _RETRY)
        self._trouble = Trouble()
        self._queue = PublishQueue(queue, batch)
        self._connection: Connection[DictRow] | None = None
        self._backend: dict[str, object] = {}
        self._leaves_out = False  # a trigger does: each batch is a transaction that can release ids
        self.batches = 0

    def __len__(self) -> int:
        return len(self._queue)

    async def publish(self, publication: Publication, history: bool) -> Ack:
        """Store (or only send) a message. Waits while the queue is full; messages keep the order of the calls."""
        waiting, is_new = await self._queue.enter(publication, history)
        return await (waiting.done if is_new else asyncio.shield(waiting.done))  # its first caller may give up

    def delivered(self, row: MessageRow) -> None:
        """The stream brought a message: if it is one of ours, its publisher is told once its commit has returned."""
        waiting = self._queue.get(row.channel, row.id)
        if waiting is not None:
            waiting.brought = Ack(waiting.id, format_position(row.lsn, row.seq))
            if waiting.written is not None or not waiting.sent:  # not sent: another session's message with this id
                self._queue.resolve(waiting, waiting.brought)

    def refused(self, row: MessageRow) -> None:
        """The stream brought a message behind the end of its room: nobody was shown it."""
        waiting = self._queue.get(row.channel, row.id)
        if waiting is not None:
            self._queue.fail(waiting, ChannelClosedError(f"channel {row.channel!r} is closed"))

    def uncertain(self) -> None:
        """Transactions may be missing in the stream: what waits for it may never come. The publisher has to try again."""
        for waiting in self._queue.open():
            self._queue.fail(
                waiting, UnavailableError("whether the message was stored is not known; send it again with its id")
            )

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write batches for as long as there are any."""
        try:
            while True:
                await self._work()
                if tried := self._queue.send(self._blockage.take()):
                    await self._commit(tried)
                if not self._queue.wanted.is_set():
                    continue
                if not self._queue.has_batch:
                    await self._linger()
                await self._commit(self._blockage.pass_by(self._queue.take()))
        finally:
            await self._hang_up()

    async def watch(self) -> None:
        """Look for messages that were committed and that the stream does not bring."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_OVERDUE)
            overdue = [w for w in self._queue.open() if w.written is not None and w.written <= clock() - _OVERDUE]
            if not overdue:
                continue
            try:
                await self._reached(await self._store.committed())
                await self._settle(overdue, self._store.rows)
            except (UnavailableError, psycopg.Error) as error:
                log.warning("publishes_unsettled", messages=len(overdue), error=str(error).strip())

    async def expire(self) -> None:
        """Answer what has waited too long; see ``timeout``."""
        while True:
            await asyncio.sleep(min(1.0, self._timeout / 4))
            now = asyncio.get_running_loop().time()
            late = [
                waiting
                for waiting in self._queue
                # What becomes of one that has been sent may be known in a moment.
                if waiting.since < now - self._timeout - (_BEING_WRITTEN if waiting.sent else 0.0)
            ]
            if late:
                log.warning("publishes_given_up", messages=len(late), after=self._timeout)
            for waiting in late:
                outcome = (
                    "whether the message was stored is not known; send it again with its id"
                    if waiting.sent
                    else "the database takes no messages now; try again later"
                )
                self._queue.fail(waiting, UnavailableError(outcome))

    @property
    def problem(self) -> str | None:
        """What keeps messages from being stored, in words, if it has lasted for a moment."""
        return self._blockage.problem or self._trouble.problem

    async def watch_blockage(self) -> None:
        """Find out who is in the way."""
        await self._blockage.watch()

    async def _work(self) -> None:
        """Wait until there is something to write."""
        if not self._blockage:
            await self._queue.wanted.wait()
            return
        with contextlib.suppress(TimeoutError):  # then what stands aside is tried
            async with asyncio.timeout(self._blockage.wait):
                await self._queue.wanted.wait()

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._gather):
                await self._queue.full.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Tell everybody who still waits that nothing more will happen."""
        for waiting in self._queue:
            self._queue.fail(waiting, UnavailableError("the server is stopping; try again"))
        await self._hang_up()

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _commit(self, batch: list[Waiting]) -> None:  # noqa: C901 - each error has an answer of its own
        """Write ``batch``; however often the connection is lost, each message is stored once.

        Of a batch that is rolled back the messages that are the reason are looked for by halves, so that each error is the
        answer to its own message, and the others are stored.
        """
        conflicts = 0
        while batch := [waiting for waiting in batch if self._queue.is_open(waiting)]:
            try:
                missing = await self._write(batch)
            except _AmbiguousError:
                batch = await self._commit_half(batch)
            except (psycopg.Error, OSError) as error:
                if not isinstance(error, psycopg.Error) or not self._is_rolled_back(error):
                    log.warning("published messages are written again", messages=len(batch), error=str(error).strip())
                    for waiting in batch:
                        waiting.cut += 1
                        waiting.alone += len(batch) == 1
                    return await self._recover()
                if isinstance(error, _CONFLICT) and conflicts < _MOST_CONFLICTS:
                    conflicts += 1
                    continue
                if error.sqlstate == _LEFT_OUT and not self._leaves_out:
                    self._leaves_out = True
                    continue
                if _is_table_locked(error):
                    self._blockage.found([waiting for waiting in batch if waiting.history])
                    batch = [waiting for waiting in batch if not waiting.history]
                    continue
                if isinstance(error, psycopg.errors.ReadOnlySqlTransaction) and not is_raised(error):
                    for waiting in batch:
                        if waiting.history:
                            self._refuse(waiting, error)
                    await self._hang_up()  # a session keeps what the database said as it began
                    continue
                if len(batch) == 1:
                    return self._refuse(batch[0], error)
                batch = await self._commit_half(batch)
            else:
                self._wrote(batch)
                return await self._account(batch, missing)

    async def _commit_half(self, batch: list[Waiting]) -> list[Waiting]:
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        return batch[middle:]

    def _is_rolled_back(self, error: psycopg.Error) -> bool:
        # An error of the driver about a value that it cannot send comes before anything is sent.
        return rolled_back(error, self._connection) or isinstance(error, psycopg.DataError)

    def _refuse(self, waiting: Waiting, error: psycopg.Error) -> None:
        """The database does not take this message."""
        if isinstance(error, psycopg.errors.LockNotAvailable) and not is_raised(error):
            return self._set_aside(waiting)
        if not is_clients(error):
            log.warning("publish_refused", channel=waiting.publication.channel, id=waiting.id, error=str(error).strip())
            self._trouble.failed(str(error))
        self._queue.fail(waiting, refusal(error))

    async def _account(self, batch: list[Waiting], missing: list[DictRow]) -> None:
        """The commit is done: nothing that fails from here on may be answered as if it had been rolled back."""
        if not missing:
            return
        by_key = {waiting.key: waiting for waiting in batch}
        try:
            await self._explain([(by_key[row["channel"], row["id"]], row) for row in missing])
        except (psycopg.Error, OSError) as error:
            log.warning("publishes_unsettled", messages=len(missing), error=str(error).strip())
            await self._recover()

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

    def _set_aside(self, waiting: Waiting) -> None:
        """A transaction that has yet to end claims this id: the others do not wait for it."""
        loop = asyncio.get_running_loop()
        if waiting.patience is None:
            waiting.patience = loop.time() + _PATIENCE
        if loop.time() > waiting.patience:
            self._queue.fail(
                waiting, UnavailableError("another transaction is publishing a message with this id; try again")
            )
        elif waiting.brought is not None:
            self._queue.resolve(waiting, waiting.brought)
        else:
            waiting.sent = False
            loop.call_later(_RETRY, self._queue.put, waiting)

    async def _write(self, batch: list[Waiting]) -> list[DictRow]:
        """One transaction. Returns what of it is not stored under its channel and id."""
        connection = await self._connected()
        stored, passing = [w for w in batch if w.history], [w for w in batch if not w.history]
        self.batches += 1
        missing: list[DictRow] = []
        # One statement is a transaction by itself, without BEGIN and COMMIT to wait for.
        several = self._leaves_out or bool(stored and passing)
        async with connection.transaction() if several else contextlib.nullcontext():
            if stored:
                missing = await self._ask("engine_publish", **columns(stored), whole=not self._leaves_out)
                await self._release(missing)
            if passing:
                await self._ask("engine_emit", notes=text_array(map(note, passing)))
        return missing

    async def _release(self, missing: list[DictRow]) -> None:
        """Release the ids of messages that a trigger left out, in the transaction that claimed them. Raises
        ``_AmbiguousError`` if others were stored under another channel or id: each is then written by itself.
        """
        fresh = [row for row in missing if row["fresh"]]
        if not fresh or fresh[0]["elsewhere"] >= len(fresh):
            return
        if fresh[0]["elsewhere"]:
            raise _AmbiguousError
        await self._ask(
            "engine_release_ids",
            channels=text_array(row["channel"] for row in fresh),
            ids=text_array(row["id"] for row in fresh),
        )

    async def _explain(self, missing: list[tuple[Waiting, DictRow]]) -> None:
        """Answer for messages that are not stored under their ids: they were before, or a trigger had other ideas."""
        left_out = [waiting for waiting, row in missing if row["fresh"] and not row["elsewhere"]]
        for waiting in left_out:
            self._queue.fail(
                waiting, InvalidQueryError("the message is not stored: a trigger on realtime.messages left it out")
            )
        for waiting, row in missing:
            if row["fresh"] and row["elsewhere"]:
                self._queue.resolve(waiting, Ack(waiting.id, None))  # a trigger gave it another channel or id
        again = [waiting for waiting, row in missing if not row["fresh"]]
        found = await self._outcomes(again, self._ask)
        for waiting in again:
            stored, ack = found.get(waiting.key, (False, Ack(waiting.id, None)))
            # Stored, and its position is not known: the stream is about to bring it.
            if not stored or ack.position is not None:
                self._queue.resolve(waiting, ack)

    # -- what became of a message ----------------------------------------------------------------------------------

    async def _settle(self, sent: list[Waiting], ask: Ask) -> None:
        """Answer for ``sent``, or have it written again. The stream has passed every transaction that may have stored it."""
        for waiting in sent:
            if waiting.brought is not None:
                self._queue.resolve(waiting, waiting.brought)
        found = await self._outcomes([waiting for waiting in sent if self._queue.is_open(waiting)], ask)
        for waiting in sent:
            if not self._queue.is_open(waiting):
                continue
            if waiting.key in found:
                self._queue.resolve(waiting, found[waiting.key][1])
                continue
            if waiting.written is not None:
                waiting.lost += 1
                log.warning("message_lost_after_commit", channel=waiting.publication.channel, id=waiting.id)
            if waiting.alone >= _MOST_ALONE:
                self._queue.fail(
                    waiting, UnavailableError("the connection to the database ended each time the message was written")
                )
            elif waiting.lost < _MOST_LOST:
                self._queue.put(waiting)
            else:
                self._queue.fail(
                    waiting, UnavailableError("the message was written, but the server's stream does not bring it")
                )

    async def _outcomes(self, waiting: list[Waiting], ask: Ask) -> dict[tuple[str, str], tuple[bool, Ack]]:
        """What the tables know of messages, by channel and id: whether it is still stored, and its ack."""
        if not waiting:
            return {}
        now = asyncio.get_running_loop().time()
        rows = await ask(
            "engine_outcome", **_keys(waiting), ages=plain_array(int(now - w.since) + _SLACK for w in waiting)
        )
        return {(row["channel"], row["id"]): (row["seq"] is not None, Ack(row["id"], self._place(row))) for row in rows}

    def _place(self, row: DictRow) -> str | None:
        if row["seq"] is None:
            return None
        lsn = parse_lsn(row["position"]) if row["position"] else self._position_of(int(row["xid"]))
        return None if lsn is None else format_position(*Position(lsn, row["seq"]))

    async def _recover(self) -> None:
        """The connection was lost. Connect again, see to it that the old backend has ended, wait until the stream has passed
        its end, and settle everything that was sent: also earlier batches may be lost, if the server crashed.
        """
        old, self._backend = self._backend, {}
        await self._hang_up()
        while True:
            try:
                await self._connected()
                while old and not (await self._ask("engine_backend_gone", **old))[0]["gone"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                position = (await self._ask("engine_flush", prefix=HEARTBEAT_PREFIX))[0]["position"]
                await self._reached(parse_lsn(position))
                return await self._settle(self._queue.open(), self._ask)
            except (psycopg.Error, OSError) as error:
                self._trouble.failed(str(error))
                await self._hang_up()
                await asyncio.sleep(_RETRY)

    # -- the connection --------------------------------------------------------------------------------------------

    async def _ask(self, name: str, **parameters: object) -> list[DictRow]:
        """Run a named query on the publisher's own connection."""
        cursor = await (await self._connected()).execute(query(name).encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def _connected(self) -> psycopg.AsyncConnection[DictRow]:
        if self._connection is None:
            connection = await connect(
                self._dsn,
                self._name,
                {"lock_timeout": _LOCK_TIMEOUT},
                patience=CONNECT_TIMEOUT,
                autocommit=True,
                row_factory=dict_row,
            )
            await connection.execute(query("engine_at_least_local").encode(), {"transaction": False})
            row = await (await connection.execute(query("engine_backend").encode())).fetchone()
            self._backend = dict(row or {})
            connection.patience = None  # a commit may wait for a synchronous standby
            self._store.watch(connection)
            self._connection = connection
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _AmbiguousError(Exception):
    """Of several messages a trigger left out some and gave others another channel or id: which is which is not known."""


def _is_table_locked(error: psycopg.Error) -> bool:
    """Whether a whole table is locked, and not an id that another transaction claims, nor a row that a trigger wants."""
    return (
        isinstance(error, psycopg.errors.LockNotAvailable)
        and not is_raised(error)
        and "message_ids" not in (error.diag.context or "")
    )


def _keys(waiting: list[Waiting]) -> dict[str, object]:
    return {
        "channels": text_array(w.publication.channel for w in waiting),
        "ids": text_array(w.id for w in waiting),
    }
