"""Reads of the past are shared by all who ask for the same, and shared out among users."""

from __future__ import annotations

import asyncio

import pytest

from engine.channels.core.messages.decode import DecodedTransaction, MessageRow
from engine.channels.core.messages.model import Position
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.history.reader import HistoryPage
from engine.channels.history.shared_pasts import SharedPage, SharedPasts
from engine.postgres.snapshot import Snapshot

FAILS = 1_000
_SNAPSHOT = Snapshot.parse("10:10:", 1)


class Pasts:
    """Reads that end when the test lets them: ``reads`` are those under way, by what was asked for, in their order."""

    def __init__(self) -> None:
        self.unrecorded = UnrecordedMessages()
        self.pasts = SharedPasts(self.unrecorded, 4)
        self.reads: dict[int, asyncio.Event] = {}
        self.answered: list[tuple[str | None, int]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, user: str | None, *positions: int) -> None:
        self.tasks += [asyncio.create_task(self._ask(user, position)) for position in positions]
        await self.come_to_rest()

    async def finish(self, position: int) -> None:
        self.reads.pop(position).set()
        await self.come_to_rest()

    async def leave(self, first: int) -> None:
        """Those who asked, but for the ``first``, want nothing any more."""
        for task in self.tasks[first:]:
            task.cancel()
        await self.come_to_rest()

    @staticmethod
    async def come_to_rest() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _ask(self, user: str | None, position: int) -> None:
        async def read() -> HistoryPage:
            done = self.reads[position] = asyncio.Event()
            await done.wait()
            if position == FAILS:
                raise ValueError("cannot be read")
            return HistoryPage(_SNAPSHOT, [])

        async with self.pasts.read("c", (Position(position),), read, user):
            self.answered.append((user, position))


async def test_a_user_with_many_reads_does_not_hold_up_others() -> None:
    here = Pasts()
    await here.ask("eve", *range(100))
    await here.ask("ann", 200)
    await here.ask("bob", 201)
    assert list(here.reads) == [0, 1, 200, 201]
    await here.finish(200)
    assert here.answered == [("ann", 200)]
    await here.ask("ann", 202)
    assert list(here.reads) == [0, 1, 201, 202]


async def test_who_asks_for_what_another_one_waits_for_gets_it_in_its_own_turn() -> None:
    here = Pasts()
    await here.ask("eve", *range(100))
    await here.ask("ann", 99)
    assert list(here.reads) == [0, 1, 99]
    await here.finish(99)
    assert sorted(here.answered, key=str) == [("ann", 99), ("eve", 99)]
    for position in range(99):
        await here.finish(position)
    assert len(here.answered) == 101


async def test_clients_of_one_machine_are_not_limited() -> None:
    here = Pasts()
    await here.ask(None, *range(4))
    assert list(here.reads) == [0, 1, 2, 3]


async def test_a_read_that_fails_fails_for_all_who_share_it() -> None:
    here = Pasts()
    await here.ask("ann", FAILS)
    await here.ask("bob", FAILS)
    await here.finish(FAILS)
    for task in here.tasks:
        with pytest.raises(ValueError, match="cannot be read"):
            await task
    assert not here.pasts._running


async def test_a_read_that_waits_ends_with_the_last_who_wants_it() -> None:
    here = Pasts()
    await here.ask("ann", 1, 2)
    await here.ask("eve", 3, 4)
    before = len(here.tasks)
    await here.ask("ann", 5)
    await here.ask("bob", 5)
    await here.leave(before)
    assert set(here.pasts._running) == {("c", (Position(each),)) for each in (1, 2, 3, 4)}
    for position in (1, 2, 3, 4):
        await here.finish(position)
    await here.ask("ann", 5)
    await here.finish(5)
    assert here.answered[-1] == ("ann", 5)


async def test_a_read_that_has_begun_is_not_cut_off_and_serves_who_asks_meanwhile() -> None:
    here = Pasts()
    await here.ask("eve", 5)
    await here.leave(0)
    assert list(here.reads) == [5]
    await here.ask("ann", 5)
    await here.finish(5)
    assert here.answered == [("ann", 5)]
    await here.ask("eve", FAILS, 6)
    await here.leave(2)
    await here.finish(FAILS)
    await here.finish(6)
    assert not here.pasts._running
    assert not here.unrecorded._reads._running


def message(lsn: int, seq: int, inserted_at: str = "2026-11-30 01:00:00+00") -> MessageRow:
    return MessageRow(lsn, seq, "c", "sent", b"1", None, None, str(seq), None, 0, inserted_at)


def test_a_message_that_is_recorded_elsewhere_than_the_stream_brings_it_keeps_that_position() -> None:
    unrecorded = UnrecordedMessages()
    copied = message(130, 2, "2026-11-29 01:00:00+00")  # another one, from another cluster, with the same number
    for xid, row in enumerate((message(100, 2), message(110, 1), message(120, 3), copied)):
        unrecorded.append(DecodedTransaction(row.lsn, row.lsn + 8, 0, xid, [row], full_xid=xid + 1))
    page = SharedPage("c", HistoryPage(_SNAPSHOT, [message(115, 1), message(115, 2)]))
    assert [event.key for event in page.up_to(140, unrecorded)] == [(115, 1), (115, 2), (120, 3), (130, 2)]
