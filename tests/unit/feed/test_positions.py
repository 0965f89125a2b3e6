"""The bookkeeping never lets the slot pass what was done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.feed.positions import Positions
from engine.transaction import Discontinuity, FeedEvent, Progress, Transaction

steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(1, 50)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("confirm"), st.integers(0, 2000)),
        st.tuples(st.just("lose"), st.integers(0, 500)),
        st.tuples(st.just("crash"), st.just(0)),
    ),
    max_size=100,
)


@given(steps)
def test_only_what_was_handed_out_since_the_last_break_is_confirmed(history: list[tuple[str, int]]) -> None:
    positions = Positions()
    queue: list[FeedEvent] = []
    positions.start(100)
    floor = ceiling = 100  # of this epoch: its start, and what the consumer has taken since
    unreported = 0
    for step, number in history:
        confirmed = positions.confirmed
        if step == "deliver":
            end = positions.delivered + number
            positions.deliver(end, commit_time=1)
            queue.append(Transaction(end - 1, end, 1, 1) if number % 2 else Progress(end))
        elif step == "take" and queue:
            event = queue.pop(0)
            positions.hand_out(event)
            if isinstance(event, Discontinuity):
                unreported -= event.missing
            elif not unreported:
                ceiling = max(ceiling, event.end if isinstance(event, Transaction) else event.position)
        elif step == "confirm":
            positions.confirm(number)
            assert positions.confirmed >= confirmed
        elif step == "lose":  # a new slot, perhaps of a server whose history is shorter
            positions.start_over(number)
            queue.append(Discontinuity("lost"))
            unreported += 1
            floor = ceiling = number
        elif step == "crash":
            queue.append(Discontinuity("crashed", missing=False))
        assert floor <= positions.confirmed <= ceiling <= positions.delivered
        assert positions.lag().bytes >= 0


def test_events_before_the_last_of_two_breaks_confirm_nothing_of_the_new_slot() -> None:
    positions = Positions()
    positions.start(100)
    positions.start_over(100)
    crashed, lost = Discontinuity("crashed", missing=False), Discontinuity("lost")
    positions.deliver(500)
    positions.start_over(200)
    positions.deliver(600)
    for event in (crashed, lost, Progress(500)):
        positions.hand_out(event)
        assert not positions.confirm(500), event
    positions.hand_out(lost)
    assert not positions.confirm(500)
    positions.hand_out(Progress(600))
    assert positions.confirm(600)


def test_the_lag_is_that_of_the_oldest_unconfirmed_commit() -> None:
    positions = Positions()
    positions.start(100)
    assert positions.lag() == (0, 0.0)
    positions.deliver(200, commit_time=1_000_000)
    positions.hand_out(Transaction(190, 200, 1, 1_000_000))
    assert positions.lag().bytes == 100
    assert positions.lag().seconds > 1_000_000
    positions.confirm(200)
    assert positions.lag() == (0, 0.0)
