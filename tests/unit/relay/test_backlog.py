"""The backlog: one log for all workers, from which each gets every event after its position, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from engine.relay.backlog import Backlog, Cursor

LIMIT = 100  # bytes

steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(1, 4)),  # in so many parts
        st.tuples(st.just("part"), st.just(0)),  # of the event under way
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("resume"), st.integers(0, 400)),
        st.tuples(st.just("take"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
    ),
    max_size=120,
)


@dataclass
class Worker:
    """A cursor, and what was sent to it since it had every event after ``position``."""

    cursor: Cursor
    position: int
    sent: list[bytes] = field(default_factory=list)


class Play:
    """A log, its workers, and each part that was added, with the end of its event."""

    def __init__(self, batch: int) -> None:
        self.log = Backlog(LIMIT, position=10, generation=1)
        self.workers: list[Worker] = []
        self.every: list[tuple[int, bytes]] = []
        self.batch = batch
        self.parts, self.end = 0, 10

    def event(self, parts: int) -> None:
        """Begin an event of so many parts, if none is under way."""
        if not self.parts:
            self.parts, self.end = parts, self.end + 10
        self.part(0)

    def part(self, _: int) -> None:
        """Add the next part of the event under way, if there is room."""
        if self.parts and not self.log.full:
            self.parts -= 1
            data = f"{self.end}:{self.parts}".encode().ljust(20)
            self.every.append((self.end, data))
            self.log.add(data, self.end, last=not self.parts)

    def join(self, _: int) -> None:
        """A new worker."""
        self.workers.append(Worker(*self.log.join()))

    def resume(self, position: int) -> None:
        """A worker that comes back."""
        if (found := self.log.resume(position)) is not None:
            assert found[1] <= position
            self.workers.append(Worker(*found))

    def take(self, number: int) -> None:
        """Send something to a worker."""
        if self.workers:
            worker = self.workers[number % len(self.workers)]
            worker.sent += self.log.take(worker.cursor, self.batch)

    def leave(self, number: int) -> None:
        """A worker goes."""
        if self.workers:
            self.log.leave(self.workers.pop(number % len(self.workers)).cursor)

    def wanted(self, worker: Worker) -> list[bytes]:
        """What was added after the worker's position."""
        return [data for end, data in self.every if end > worker.position]


@given(steps, st.integers(1, 60))
def test_each_worker_gets_every_part_after_its_position_in_order(history: list[tuple[str, int]], batch: int) -> None:
    play = Play(batch)
    for step, number in history:
        getattr(play, step)(number)
        for worker in play.workers:
            assert worker.sent == play.wanted(worker)[: len(worker.sent)]
    for worker in play.workers:
        while taken := play.log.take(worker.cursor, batch):
            worker.sent += taken
        assert worker.sent == play.wanted(worker)
        assert play.log.waits(worker.cursor)
    assert not play.log.full
    assert len(play.log) < LIMIT + 20


def test_a_worker_that_was_sent_nothing_fills_the_log_until_it_leaves() -> None:
    log = Backlog(LIMIT, position=0, generation=1)
    slow, _ = log.join()
    fast, _ = log.join()
    for position in range(1, 6):
        log.add(b"x" * 20, position)
    assert len(log.take(fast, 1000)) == 5
    assert log.full
    assert log.slowest is slow
    log.leave(slow)
    assert not log.full


def test_what_every_worker_has_is_kept_for_one_that_comes_back() -> None:
    log = Backlog(LIMIT, position=0, generation=1)
    cursor, _ = log.join()
    for position in range(1, 11):
        log.add(b"x" * 20, position)
        log.take(cursor, 1000)
    assert log.resume(2) is None  # four entries fit below the limit
    assert log.resume(5) is None
    found = log.resume(6)
    assert found is not None
    assert (len(log.take(found[0], 1000)), found[1]) == (4, 6)
    ahead = log.resume(99)  # a worker that has more than this relay has read yet
    assert ahead is not None
    assert ahead[1] == 10


def test_nothing_of_a_former_generation_is_resumed() -> None:
    log = Backlog(LIMIT, position=500, generation=1)
    log.add(b"before", 510)
    log.add(b"break", 100)
    log.begin_generation(2, 100)
    assert log.resume(99) is None
    log.add(b"after", 110)
    found = log.resume(100)
    assert found is not None
    assert log.take(found[0], 1000) == [b"after"]
    assert log.generation == 2


def test_a_worker_that_joins_within_a_large_transaction_begins_behind_it() -> None:
    log = Backlog(LIMIT, position=0, generation=1)
    log.add(b"1/3", 10, last=False)
    cursor, position = log.join()
    assert position == 10
    log.add(b"2/3", 10, last=False)
    log.add(b"3/3", 10)
    log.add(b"next", 20)
    assert log.take(cursor, 1000) == [b"next"]
