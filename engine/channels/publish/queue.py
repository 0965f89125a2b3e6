"""The messages that clients have submitted and that have no answer yet: places, order, answers. No I/O.

A message is *open* from being sent to the database until it is answered or put back to be written again. Each message that
was let in is answered once, and its place is given to the one that waits first.

A batch takes messages of the highest priority first, and among these of their publishers in turn, by bytes: a message of a
publisher that has nothing else waiting does not wait behind the megabytes of another one. This is start-time fair queueing
(Goyal, Vin and Cheng, 1996). Messages of one publisher keep the order of the calls, and all do while none has to wait.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Final

from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import Ack, Answer, Publication, id_scope
from engine.channels.publish.batch import Key, Waiting

__all__ = ["PublishQueue"]


_SUSPECT: Final = 2  # connections that ended while a message was being written
_IDS: Final = 256
_BATCH_SIZE: Final = 256 * 1024  # bytes of data in a batch, or one message: the next batch waits for its commit
_KNOWN: Final = 64  # publishers, before those are looked for whose turns are over


class PublishQueue:
    """``places``: messages without answer at most; then publishing waits. ``batch``: messages taken at once at most."""

    def __init__(self, places: int, batch: int) -> None:
        self._free = places
        self._batch = batch
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._heap: list[tuple[int, int, int, Waiting]] = []
        self._size = 0  # bytes of data in the heap
        self._taken = 0  # of the latest message that was taken
        self._turns: dict[str | None, int] = {}  # of the next message of each publisher that had one lately
        self._number = 0
        self._ids: list[str] = []
        self._pending: dict[Key, Waiting] = {}
        # asyncio.get_running_loop() asks the system for the process's id, each time.
        self._loop: asyncio.AbstractEventLoop | None = None
        self.wanted = asyncio.Event()
        """There is something to be written."""
        self._filling: asyncio.Future[None] | None = None  # until there is as much as a batch takes

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._pending.values()))

    def get(self, row: MessageRow) -> Waiting | None:
        """The message that has no answer yet and is stored as ``row``."""
        return self._pending.get((row.channel, row.id, id_scope(row.sender, row.connection_id)))

    # -- in --------------------------------------------------------------------------------------------------------

    async def enter(self, publication: Publication, history: bool, answer: Answer) -> None:
        """Take a message, if need be after waiting for a place; messages keep the order of the calls.

        Where a message with the same id has no answer yet, its answer is also that of this one.
        """
        key = self._key_of(publication)
        if self._same(key, answer):
            return
        await self._wait_for_room()
        if self._same(key, answer):  # another caller was faster with it
            self._release()
        else:
            self._add(publication, key, history, answer)

    def enter_at_once(self, publication: Publication, history: bool, answer: Answer) -> bool:
        """Take a message without waiting. False: it has to wait for a place, or a message with its id has no answer yet."""
        key = self._key_of(publication)
        if self._free <= 0 or key in self._pending:
            return False
        self._free -= 1
        self._add(publication, key, history, answer)
        return True

    def _same(self, key: Key, answer: Answer) -> bool:
        """Whether a message with that id is there, whose answer will be that of another one, too."""
        if (same := self._pending.get(key)) is None:
            return False
        same.answer = partial(_both, same.answer, answer)
        return True

    def _add(self, publication: Publication, key: Key, history: bool, answer: Answer) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        turn = self._turn_of(publication)
        waiting = Waiting(publication, key[1], key, history, answer, self._number, turn=turn, since=now)
        self._number += 1
        self._pending[key] = waiting
        self._push(waiting)

    def _turn_of(self, publication: Publication) -> int:
        """When a new message is taken, in bytes that have been taken before: its publisher's messages follow each other."""
        publisher, turns = publication.member.counted_as, self._turns
        if not self._heap:
            turns.clear()
        elif len(turns) > max(_KNOWN, 2 * len(self._heap)):
            self._turns = turns = {each: turn for each, turn in turns.items() if turn > self._taken}
        turn = max(self._taken, turns.get(publisher, 0))
        turns[publisher] = turn + len(publication.data)
        return turn

    async def _wait_for_room(self) -> None:
        """Take a place, if need be after waiting for one, in the order of the calls."""
        if self._free > 0:
            self._free -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._release()  # the place was given to us at this very moment
            raise

    def put(self, waiting: Waiting) -> None:
        """Have a message written (again), in its place among those that are not written."""
        if self._pending.get(waiting.key) is not waiting:
            return
        waiting.sent, waiting.written, waiting.brought = False, None, None
        self._push(waiting)

    def _push(self, waiting: Waiting) -> None:
        publication, heap = waiting.publication, self._heap
        heapq.heappush(heap, (-publication.priority, waiting.turn, waiting.number, waiting))
        self._size += len(publication.data)
        if len(heap) == 1:
            self.wanted.set()
        if self._filling is not None and self.has_batch:
            self._filled()

    # -- out -------------------------------------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether there is as much as a batch takes."""
        return len(self._heap) >= self._batch or self._size >= _BATCH_SIZE

    def take(self) -> list[Waiting]:
        """What is to be written now: it is sent from now on. A message whose writing may be what ends connections comes
        alone, so that the others are stored.
        """
        heap = self._heap
        heap.sort()  # which leaves it a heap, and costs little, as most of it is in order
        batch: list[Waiting] = []
        size = 0
        for *_, waiting in heap[: self._batch]:
            size += len(waiting.publication.data)
            if batch and size > _BATCH_SIZE:
                break
            batch.append(waiting)
        suspect = next((at for at, waiting in enumerate(batch) if waiting.cut >= _SUSPECT), None)
        if suspect is not None:
            del batch[max(1, suspect) :]
        del heap[: len(batch)]
        for waiting in batch:
            self._size -= len(waiting.publication.data)
            self._taken = max(self._taken, waiting.turn)
        if not heap:
            self.wanted.clear()
        return self.send(batch)

    def send(self, batch: list[Waiting]) -> list[Waiting]:
        """Those of ``batch`` that have no answer yet; they are sent from now on."""
        batch = [waiting for waiting in batch if self._pending.get(waiting.key) is waiting]
        for waiting in batch:
            waiting.sent = True
        return batch

    def is_open(self, waiting: Waiting) -> bool:
        """Whether it has been sent and has no answer yet."""
        return waiting.sent and self._pending.get(waiting.key) is waiting

    def open(self) -> list[Waiting]:
        """What has been sent and has no answer yet, in the order of the calls."""
        return sorted((w for w in self._pending.values() if w.sent), key=lambda waiting: waiting.number)

    async def fill(self, seconds: float) -> None:
        """Wait until there is as much as a batch takes, for so many seconds at most. One caller at a time."""
        loop = asyncio.get_running_loop()
        self._filling = loop.create_future()
        timer = loop.call_later(seconds, self._filled)
        try:
            await self._filling
        finally:
            timer.cancel()
            self._filling = None

    def _filled(self) -> None:
        if self._filling is not None and not self._filling.done():
            self._filling.set_result(None)

    # -- answers ---------------------------------------------------------------------------------------------------

    def resolve(self, waiting: Waiting, ack: Ack) -> None:
        """Acknowledge a message, unless it has its answer."""
        if self._remove(waiting):
            waiting.answer(ack)
            if (trace := waiting.publication.trace) is not None:
                trace.end(None)

    def fail(self, waiting: Waiting, error: Exception) -> None:
        """Refuse a message, unless it has its answer."""
        if self._remove(waiting):
            waiting.answer(error)
            if (trace := waiting.publication.trace) is not None:
                trace.end(error)

    def _remove(self, waiting: Waiting) -> bool:
        """False: it was answered before, and another may have come under its id."""
        if self._pending.get(waiting.key) is not waiting:
            return False
        del self._pending[waiting.key]
        self._release()
        return True

    def _key_of(self, publication: Publication) -> Key:
        member = publication.member
        return publication.channel, publication.id or self._next_id(), id_scope(member.user_id, member.connection_id)

    def _next_id(self) -> str:
        """128 random bits. Many at a time: to ask the system for them costs more than all else about an id."""
        if not self._ids:
            digits = os.urandom(16 * _IDS).hex()
            self._ids = [digits[at : at + 32] for at in range(0, len(digits), 32)]
        return self._ids.pop()

    def _release(self) -> None:
        """A place is free: it goes to the caller that waits first."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter.set_result(None)
        self._free += 1


def _both(first: Answer, second: Answer, answer: Ack | Exception) -> None:
    first(answer)
    second(answer)
