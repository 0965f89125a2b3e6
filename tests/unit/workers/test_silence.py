"""When a process counts as hanging."""

from __future__ import annotations

from server.workers.record import WorkerRecord
from server.workers.silence import LOOK, SilenceWatch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def looks(watch: SilenceWatch, clock: Clock, records: list[WorkerRecord], *pauses: float) -> list[list[int]]:
    """Whom each look finds silent, after the pause before it."""
    found = []
    for pause in pauses:
        clock.now += pause
        found.append([record.number for record in watch.look(records)])
    return found


def test_a_process_that_serves_or_starts_and_sends_nothing_is_silent_and_one_that_was_asked_to_end_is_not() -> None:
    clock = Clock()
    watch = SilenceWatch(2 * LOOK, clock)
    relay, silent, alive = (WorkerRecord(number, pid=1, ready=True) for number in range(3))
    starting, ending = WorkerRecord(3, pid=1), WorkerRecord(4, pid=1, ready=True, overdue=5000.0)
    records = [relay, silent, alive, starting, ending, WorkerRecord(5)]
    assert looks(watch, clock, records, LOOK) == [[]]
    alive.silent = 0.0  # it has sent something
    assert looks(watch, clock, records, LOOK) == [[0, 1, 3]]


def test_the_time_for_which_a_machine_was_suspended_makes_no_process_silent() -> None:
    clock = Clock()
    watch = SilenceWatch(4 * LOOK, clock)
    assert looks(watch, clock, [WorkerRecord(1, pid=1, ready=True)], 3600.0, 1.0, 3600.0) == [[], [], []]
