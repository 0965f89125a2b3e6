"""The stream driver gives every event to every consumer, in order, and confirms what all of them are done with."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from engine.feed.decoders.change_log import ChangeLog
from engine.feed.table_interest import TableInterest
from engine.lsn import Lsn
from engine.postgres.snapshot import Snapshot
from engine.postgres.snapshot_reader import Reader
from engine.stream.driver import RecorderTakenError, StreamDriver
from engine.stream.gathering import Gathering
from engine.transaction import Change, Discontinuity, FeedEvent, Message, Progress, Relation, Transaction
from tests.support.values.changes import inserted

TIMEOUT = 40


class FakeFeed:
    """A change feed that gives out what the test puts in; ``taken``: how many events were asked for and given."""

    def __init__(self) -> None:
        self.events: deque[FeedEvent] = deque()
        self.received: Lsn = 90
        self.confirmed: Lsn = 80
        self.taken = 0
        self.leads_recording = True
        self.reports_recorded = False
        self.interest = TableInterest()

    async def __aiter__(self) -> AsyncIterator[FeedEvent]:
        while True:
            while not self.waiting:  # noqa: ASYNC110 - each round is one turn of the loop
                await asyncio.sleep(0)
            self.taken += 1
            yield self.events.popleft()

    @property
    def waiting(self) -> int:
        return len(self.events)

    def take(self, wanted: Callable[[Transaction], bool]) -> Transaction | None:
        first = self.events[0] if self.events else None
        if not isinstance(first, Transaction) or not wanted(first):
            return None
        self.taken += 1
        self.events.popleft()
        return first

    def confirm(self, position: Lsn) -> None:
        self.confirmed = position

    def saw(self, position: Lsn, timeline: int) -> None: ...

    def doubt(self) -> None: ...

    def on_reconnect(self, notify: Callable[[], None]) -> None: ...

    def commit_of(self, xid: int) -> Lsn | None:
        return None

    def request_recording(self) -> None: ...

    def request_progress(self) -> None: ...


class FakeConsumer:
    """Notes in ``log`` what it is given; does not finish a transaction while ``waits``.."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.confirmable: Lsn | None = None
        self.waits = False

    def process(self, *transactions: Transaction) -> Iterator[None]:
        positions = "+".join(str(transaction.position) for transaction in transactions)
        self.log.append(f"{self.name} begins {positions}")
        while self.waits:
            yield
        self.log.append(f"{self.name} ends {positions}")

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        self.log.append(f"{self.name} reads again from {position}")


class Play:
    """A driver with two consumers."""

    def __init__(self) -> None:
        self.feed = FakeFeed()
        self.driver = StreamDriver(self.feed, Reader("postgresql:///"), trim_interval=3600.0)
        self.log: list[str] = []
        self.one, self.two = FakeConsumer("one", self.log), FakeConsumer("two", self.log)
        for consumer in (self.one, self.two):
            assert self.driver.add_consumer(consumer) == self.feed.confirmed

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not condition():  # noqa: ASYNC110 - each round is one turn of the loop
                await asyncio.sleep(0)

    async def passed(self, position: Lsn) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self.driver.reached(position)


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    play = Play()
    play.driver.start()
    yield play
    await play.driver.stop()


def transaction(position: Lsn) -> Transaction:
    return Transaction(position, position + 5, xid=position, commit_time=0)


async def test_each_consumer_has_a_transaction_before_any_has_the_next(play: Play) -> None:
    for position in (100, 200):
        play.feed.events.append(transaction(position))
    await play.passed(205)
    expected = [f"{name} {act} {at}" for at in (100, 200) for name in ("one", "two") for act in ("begins", "ends")]
    assert play.log == expected
    assert play.driver.position == 200


def _given(change: Change | Message, _: bytes) -> Change | Message:
    return change


def rows(position: int, *changes: Change | Message) -> Transaction:
    """A transaction as a feed brings it."""
    log = ChangeLog(1 << 20)
    for change in changes or (inserted(Relation(1, "public", "note", "d", ()), ()),):
        log.append(partial(_given, change), b"")
    return replace(transaction(position), changes=log, received_at=time.time_ns() // 1000)


async def test_transactions_that_have_waited_are_gathered(play: Play) -> None:
    await play.driver.stop()
    play.driver = StreamDriver(
        play.feed, Reader("postgresql:///"), 3600.0, gathering=Gathering(late=0, many=2, at_once=3)
    )
    play.driver.add_consumer(play.one)
    note = Message("realtime.meta", b"{}", transactional=True)
    sessions, messages = (Relation(2, "realtime", name, "d", ()) for name in ("sessions", "messages"))
    many = [inserted(Relation(1, "public", "note", "d", ()), ())] * 17
    play.feed.events.extend(
        [
            *(rows(position) for position in (100, 200, 300, 400, 500)),
            rows(600, note),  # nothing else has its annotation
            *(rows(position) for position in (650, 660)),
            rows(670, inserted(sessions, ())),
            rows(680, inserted(messages, ())),
            *(rows(position) for position in (700, 800)),
            rows(900, *many),
            *(rows(position) for position in (1_000, 1_100)),
            Progress(1_200),
            transaction(1_300),  # it is not known how long it has waited
            *(rows(position) for position in (1_400, 1_500)),
        ]
    )
    play.driver.start()
    await play.passed(1_505)
    begun = [each.split()[-1] for each in play.log if "begins" in each]
    alone = ["900", "1000+1100", "1300", "1400", "1500"]
    assert begun == ["100+200+300", "400+500", "600", "650+660", "670", "680", "700+800", *alone]
    assert [each.position for each in play.driver.tail][:4] == [100, 200, 300, 400]
    assert (play.driver.position, play.feed.waiting) == (1_500, 0)


@pytest.mark.parametrize(("busy", "turns"), [(0.003, range(10, 41)), (0.0, range(21))])
async def test_other_tasks_run_between_transactions_that_are_gathered_if_it_is_time(
    play: Play, busy: float, turns: range
) -> None:
    await play.driver.stop()
    play.driver = StreamDriver(
        play.feed, Reader("postgresql:///"), 3600.0, gathering=Gathering(late=0, many=2, at_once=40)
    )
    ran = 0

    async def run() -> None:
        nonlocal ran
        while True:
            await asyncio.sleep(0)
            ran += 1

    def process(*transactions: Transaction) -> Iterator[None]:
        nonlocal ran
        before = ran
        for _ in transactions:
            time.sleep(busy)
            yield
        assert ran - before in turns, "of 40 yields"
        play.log.append(f"gathered {len(transactions)}")

    play.one.process = process  # type: ignore[method-assign]
    play.driver.add_consumer(play.one)
    play.feed.events.extend(rows(position) for position in range(100, 500, 10))
    other = asyncio.create_task(run())
    play.driver.start()
    await play.passed(495)
    other.cancel()
    assert play.log == ["gathered 40"]


async def test_transactions_are_applied_one_by_one_as_long_as_few_have_waited(play: Play) -> None:
    play.feed.events.extend(rows(position) for position in range(100, 100 + 16 * 10, 10))  # 15 wait for the first
    await play.passed(255)
    just_now = time.time_ns() // 1000 + 60_000_000  # not waited for long enough, however slow the machine is
    play.feed.events.extend(replace(rows(position), received_at=just_now) for position in range(500, 500 + 40 * 10, 10))
    await play.passed(895)
    assert not [each for each in play.log if "+" in each]
    late = [
        replace(rows(position), received_at=rows(position).received_at - 60_000_000) for position in range(1_000, 1_020)
    ]
    play.feed.events.extend(late)
    await play.passed(1_024)
    [together] = [each for each in play.log if "one begins" in each and "+" in each]
    assert together.startswith("one begins 1000+1001+1002+")


async def test_a_transaction_counts_only_when_the_last_consumer_has_applied_it(play: Play) -> None:
    play.two.waits = True
    play.feed.events.append(transaction(100))
    play.feed.events.append(transaction(200))
    await play.until(lambda: "two begins 100" in play.log)
    play.driver.confirm()
    assert play.driver.apply_lock.locked()
    assert (play.driver.position, play.driver.passed, len(play.driver.tail)) == (90, 0, 0)
    assert play.feed.confirmed == 0, "no transaction is complete"
    assert play.feed.taken == 1, "a consumer at work holds back the feed"
    play.two.waits = False
    await play.passed(205)
    assert [each.position for each in play.driver.tail] == [100, 200]
    assert not play.driver.apply_lock.locked()


async def test_the_slot_is_confirmed_up_to_what_every_consumer_allows(play: Play) -> None:
    play.feed.events.append(transaction(100))
    await play.passed(105)
    tail = play.driver.tail
    tail.end_read(tail.begin_read(), Snapshot(101, 101, frozenset()))
    for one, two, confirmed in ((None, None, 105), (40, None, 40), (40, 30, 30), (None, 70, 70), (500, 600, 105)):
        play.one.confirmable, play.two.confirmable = one, two
        play.driver.confirm()
        assert play.feed.confirmed == confirmed


async def test_waiting_for_a_position_ends_at_a_discontinuity_with_missing_transactions(play: Play) -> None:
    play.feed.events.append(transaction(100))
    await play.passed(105)
    waiting = asyncio.create_task(play.driver.reached(1000))
    play.feed.events.append(Discontinuity("a crash", missing=False))
    play.feed.events.append(Progress(150))
    await play.passed(150)
    assert not waiting.done()
    assert play.log[-2:] == ["one reads again from 100", "two reads again from 100"]
    play.feed.confirmed = 60
    play.feed.events.append(Discontinuity("a new slot", other_history=True))
    async with asyncio.timeout(TIMEOUT):
        await waiting
    assert play.log[-2:] == ["one reads again from 60", "two reads again from 60"]
    assert play.driver.passed == 60
    assert len(play.driver.tail) == 0
    assert play.driver.position == 100, "positions that clients know never go back"


async def test_a_consumer_that_fails_ends_the_driver_and_whatever_waits_for_it(play: Play) -> None:
    failures: list[BaseException] = []
    play.driver.on_failure(failures.append)

    def broken(*transactions: Transaction) -> Iterator[None]:
        raise ValueError("broken")

    play.two.process = broken  # type: ignore[method-assign]
    waiting = asyncio.create_task(play.driver.reached(105))
    play.feed.events.append(transaction(100))
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(waiting, TIMEOUT)
    assert play.driver.failure is failures[0]
    assert play.feed.confirmed == 80, "the transaction comes again after a restart"


async def test_the_commits_of_a_slot_are_recorded_by_one_consumer(play: Play) -> None:
    reported: list[Lsn] = []
    confirm = play.driver.claim_recording("the first", reported.append)
    with pytest.raises(RecorderTakenError, match="the first records them"):
        play.driver.claim_recording("the second", reported.append)
    play.feed.events.append(transaction(100))
    await play.passed(105)
    tail = play.driver.tail
    tail.end_read(tail.begin_read(), Snapshot(101, 101, frozenset()))
    confirm()
    assert play.feed.confirmed == 105
    play.feed.events.append(Progress(150))
    play.feed.events.append(Progress(150, recorded=103))
    play.feed.events.append(Progress(160))
    await play.passed(160)
    assert reported == [103]


async def test_late_transaction_goes_to_the_tail_and_to_those_who_want_it(play: Play) -> None:
    late: list[Lsn] = []
    play.driver.add_consumer(play.one, lambda transaction: late.append(transaction.position))
    play.feed.events.append(transaction(200))
    before = transaction(100)
    before.late = True
    play.feed.events.append(before)
    play.feed.events.append(Progress(300))
    await play.passed(300)
    assert late == [100]
    assert [each.position for each in play.driver.tail] == [100, 200]
    assert not [line for line in play.log if line.endswith(" 100")]
    assert play.driver.position == 200


async def test_a_consumer_can_have_other_tasks_run_before_the_next_transaction(play: Play) -> None:
    seen: list[list[str]] = []

    def process(*transactions: Transaction) -> Iterator[bool]:
        asyncio.get_running_loop().call_soon(lambda: seen.append(list(play.log)))
        play.log.append(f"one {transactions[0].position}")
        yield transactions[0].position == 100

    play.one.process = process  # type: ignore[method-assign,assignment]
    play.feed.events.extend(transaction(position) for position in (100, 200, 300))
    await play.passed(305)
    assert seen[0] == ["one 100"]
