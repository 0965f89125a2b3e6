"""Group commit: what clients publish within a moment becomes one statement and one commit, in the order of the calls.

A message is acknowledged when the stream has brought it back, so an ack carries the position and says that it is
committed. If the connection is lost, whether the commit happened is not known from it; the stream knows: what it has
not brought by the time it has passed the end of that backend is published again, under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row

from engine.channels.arrays import text_array
from engine.channels.batch import Waiting, columns, note, refusal
from engine.channels.model import Ack, ChannelClosed, Position, Publication, Unavailable, format_position
from engine.channels.records import MessageRow
from engine.connecting import connect
from engine.lsn import Lsn, parse_lsn
from engine.sql import query

__all__ = ["Publisher"]

log = structlog.get_logger(__name__)

_LOST: Final = (psycopg.OperationalError, OSError)
_CONFLICT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_RETRY: Final = 0.2
_ABOUT_TO_COME: Final = 2.0  # seconds within which the stream should bring what is committed
_LOCK_TIMEOUT: Final = "100ms"  # below anybody's deadlock_timeout: of two that block each other it is we who give way
_PATIENCE: Final = 5.0  # seconds that a message waits for a transaction that claims the same id


class Publisher:
    """One connection, one batch at a time.

    Args:
        dsn: where to write.
        reached: waits until the stream has passed a position.
        position_of: the commit position of a transaction (64-bit id), if the ledger knows it.
        gather: seconds to wait for others; ``batch``: messages per commit; ``queue``: messages that may wait.
    """

    def __init__(
        self,
        dsn: str,
        node_id: str,
        reached: Callable[[Lsn], Awaitable[None]],
        position_of: Callable[[int], Lsn | None],
        *,
        gather: float,
        batch: int,
        queue: int,
    ) -> None:
        self._dsn = dsn
        self._name = f"realtime publisher {node_id}"
        self._reached = reached
        self._position_of = position_of
        self._gather = gather
        self._batch = batch
        self._free = queue
        self._queue: deque[asyncio.Future[None]] = deque()
        self._heap: list[tuple[int, int, Waiting]] = []
        self._number = 0
        self._wanted = asyncio.Event()
        self._full = asyncio.Event()
        self._pending: dict[tuple[str, str], Waiting] = {}
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._backend: dict[str, object] = {}
        self.batches = 0

    def __len__(self) -> int:
        return len(self._pending)

    async def publish(self, publication: Publication, history: bool) -> Ack:
        """Store (or only send) a message. Waits while the queue is full; messages keep the order of the calls."""
        identifier = publication.id or os.urandom(16).hex()
        same = self._pending.get((publication.channel, identifier))
        if same is None:
            await self._turn()
            same = self._pending.get((publication.channel, identifier))  # somebody may have been faster with it
            if same is not None:
                self._release()
        if same is not None:
            return await asyncio.shield(same.done)  # its first caller may give up
        waiting = Waiting(publication, identifier, history, asyncio.get_running_loop().create_future())
        self._enqueue(waiting)
        return await waiting.done

    async def _turn(self) -> None:
        """Take a place, if need be after waiting for one, in the order of the calls."""
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the place was given to us at this very moment
            raise

    def _enqueue(self, waiting: Waiting) -> None:
        self._pending[waiting.key] = waiting
        heapq.heappush(self._heap, (-waiting.publication.priority, self._number, waiting))
        self._number += 1
        self._wanted.set()
        if len(self._heap) >= self._batch:
            self._full.set()

    def delivered(self, row: MessageRow) -> None:
        """The stream brought a message: if it is one of ours, whoever published it is told."""
        waiting = self._pending.get((row.channel, row.id))
        if waiting is not None:
            self._resolve(waiting, Ack(waiting.id, format_position(row.lsn, row.seq)))

    def refused(self, row: MessageRow) -> None:
        """The stream brought a message behind the end of its room: nobody was shown it."""
        waiting = self._pending.get((row.channel, row.id))
        if waiting is not None:
            self._fail(waiting, ChannelClosed(f"channel {row.channel!r} is closed"))

    def uncertain(self) -> None:
        """Transactions may be missing in the stream: what waits for it may never come. The publisher has to try again."""
        for waiting in list(self._pending.values()):
            if waiting.ack is not None:
                self._fail(
                    waiting, Unavailable("whether the message was stored is not known; send it again with its id")
                )

    def _release(self) -> None:
        """A place is free: it goes to whoever waits first."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                return turn.set_result(None)
        self._free += 1

    def _resolve(self, waiting: Waiting, ack: Ack) -> None:
        self._settled(waiting)
        if not waiting.done.done():
            waiting.done.set_result(ack)

    def _fail(self, waiting: Waiting, error: Exception) -> None:
        self._settled(waiting)
        if not waiting.done.done():
            waiting.done.set_exception(error)

    def _settled(self, waiting: Waiting) -> None:
        if (
            self._pending.get(waiting.key) is waiting
        ):  # else it was settled before, and another may have come under its id
            del self._pending[waiting.key]
            self._release()

    # -- the task --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write batches for as long as there are any."""
        try:
            while True:
                await self._wanted.wait()
                if len(self._heap) < self._batch:
                    await self._linger()
                batch = [heapq.heappop(self._heap)[2] for _ in range(min(self._batch, len(self._heap)))]
                if not self._heap:
                    self._wanted.clear()
                self._full.clear()
                await self._commit(batch)
        finally:
            await self._hang_up()

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._gather):
                await self._full.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Tell everybody who still waits that nothing more will happen."""
        for waiting in list(self._pending.values()):
            self._fail(waiting, Unavailable("the server is stopping; try again"))
        await self._hang_up()

    async def _commit(self, batch: list[Waiting]) -> None:
        """Write ``batch``; however often the connection is lost, each message is stored once."""
        while batch:
            try:
                return await self._write(batch)
            except _CONFLICT:
                continue  # rolled back as a whole
            except psycopg.errors.LockNotAvailable as error:
                if "message_ids" not in (error.diag.context or ""):
                    continue  # somebody has locked a whole table: nothing else could be written either
                if len(batch) == 1:
                    return self._set_aside(batch[0])
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                batch = batch[middle:]
            except _LOST as error:
                log.warning("published messages are written again", messages=len(batch), error=str(error).strip())
                await self._settle_loss()
                batch = [waiting for waiting in batch if waiting.key in self._pending]
            except psycopg.Error as error:
                if len(batch) > 1:  # one of them is the reason: find it
                    middle = len(batch) // 2
                    await self._commit(batch[:middle])
                    batch = batch[middle:]
                    continue
                self._fail(batch[0], refusal(error))
                return

    def _set_aside(self, waiting: Waiting) -> None:
        """A transaction that has yet to end claims this id: the others do not wait for it."""
        loop = asyncio.get_running_loop()
        if waiting.patience is None:
            waiting.patience = loop.time() + _PATIENCE
        if loop.time() > waiting.patience:
            self._fail(waiting, Unavailable("another transaction is publishing a message with this id; try again"))
        else:
            waiting.ack = None
            loop.call_later(_RETRY, self._again, waiting)

    def _again(self, waiting: Waiting) -> None:
        if waiting.key in self._pending:
            self._enqueue(waiting)

    async def _write(self, batch: list[Waiting]) -> None:
        connection = await self._connected()
        for waiting in batch:
            waiting.ack = Ack(waiting.id, None)
        stored, passing = [w for w in batch if w.history], [w for w in batch if not w.history]
        self.batches += 1
        rows: list[DictRow] = []
        # One statement is a transaction by itself, without BEGIN and COMMIT to wait for.
        async with connection.transaction() if stored and passing else contextlib.nullcontext():
            if stored:
                cursor = await connection.execute(query("engine_publish").encode(), columns(stored))
                rows = await cursor.fetchall()
            if passing:
                await connection.execute(query("engine_emit").encode(), {"notes": text_array(map(note, passing))})
        if len(rows) < len(stored):
            written = {(row["channel"], row["id"]) for row in rows}
            await self._earlier(connection, [waiting for waiting in stored if waiting.key not in written])

    async def _earlier(self, connection: psycopg.AsyncConnection[DictRow], again: list[Waiting]) -> None:
        """Acknowledge messages that were stored before, with the position of that time."""
        parameters = {"channels": [w.publication.channel for w in again], "ids": [w.id for w in again]}
        cursor = await connection.execute(query("engine_earlier").encode(), parameters)
        found = {(row["channel"], row["id"]): row for row in await cursor.fetchall()}
        for waiting in again:
            row = found.get(waiting.key)
            earlier = Ack(waiting.id, None if row is None else self._place(row))
            if row is not None and row["seq"] is not None and earlier.position is None:
                # It was committed a moment ago: the stream is about to bring it, and with it the position.
                asyncio.get_running_loop().call_later(_ABOUT_TO_COME, self._resolve, waiting, earlier)
            else:
                self._resolve(waiting, earlier)

    def _place(self, row: DictRow) -> str | None:
        if row["seq"] is None:
            return None
        lsn = parse_lsn(row["position"]) if row["position"] else self._position_of(int(row["xid"]))
        return None if lsn is None else format_position(*Position(lsn, row["seq"]))

    async def _connected(self) -> psycopg.AsyncConnection[DictRow]:
        if self._connection is None:
            connection = await connect(
                self._dsn, self._name, {"lock_timeout": _LOCK_TIMEOUT}, autocommit=True, row_factory=dict_row
            )
            row = await (await connection.execute(query("engine_backend").encode())).fetchone()
            self._backend = dict(row or {})
            self._connection = connection
        return self._connection

    async def _settle_loss(self) -> None:
        """Connect again, see to it that the old backend has ended, and wait until the stream has passed its end."""
        old, self._backend = self._backend, {}
        await self._hang_up()
        while True:
            try:
                connection = await self._connected()
                while old:
                    row = await (await connection.execute(query("engine_backend_gone").encode(), old)).fetchone()
                    if row is None or row["gone"]:
                        break
                    await asyncio.sleep(0.02)
                row = await (await connection.execute(query("engine_flushed").encode())).fetchone()
                assert row is not None
                return await self._reached(parse_lsn(row["position"]))
            except _LOST:
                await self._hang_up()
                await asyncio.sleep(_RETRY)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
