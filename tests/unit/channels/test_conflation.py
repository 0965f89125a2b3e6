"""Of the messages with one value a subscriber gets the latest, at most one in an interval. The clock is the tests'."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.delivery.conflator import MAX_BYTES, MAX_LANES, Conflator
from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.filters.filter import read_json
from engine.channels.core.filters.mutes import Mutes
from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import Conflate, Member
from engine.channels.core.state_machine import ChannelCore
from tests.support.nodes.core_node import CoreNode, Subscriber, delete, insert, message

BY_ID = Conflate("id", 100)


class ConflatingNode(CoreNode):
    """A node whose clock the test moves, and its timers by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0  # milliseconds
        self.timers: dict[str, int] = {}
        self.core = ChannelCore(0, timers=self)
        self.number = 0

    def clock(self) -> int:
        return self.now * 1_000_000

    def set(self, channel: str, due: int) -> None:
        self.timers[channel] = due // 1_000_000

    def cancel(self, channel: str) -> None:
        del self.timers[channel]

    def publish(self, *values: Any, at: int | None = None, **row: str) -> None:
        """One transaction; each message has ``id`` and its own number ``n``. ``at`` in milliseconds."""
        if at is not None:
            self.until(at)
        changes = []
        for value in values:
            self.number += 1
            data = value if isinstance(value, dict) else {"id": value, "n": self.number}
            changes.append(message(self.number, data=data, **row))
        self.process(self.number, *changes)

    def until(self, at: int) -> None:
        """The clock goes on to ``at`` milliseconds; timers end at their times."""
        while (due := min(self.timers.values(), default=None)) is not None and due <= at:
            channel = next(name for name, each in self.timers.items() if each == due)
            self.now = max(self.now, due)
            del self.timers[channel]
            self.core.hub.conflation.release(channel)
        self.now = max(self.now, at)

    def conflating(self, member: Member | str = "ann", conflate: Conflate = BY_ID, **options: Any) -> Subscriber:
        return self.subscriber(member=member, conflate=conflate, **options)


def numbers(subscriber: Subscriber) -> list[int]:
    return [data["n"] for data in subscriber.data]


def test_the_first_passes_at_once_and_then_the_latest_of_each_interval() -> None:
    node = ConflatingNode()
    ann, plain = node.conflating(), node.subscriber(member="bob")
    node.publish("a", at=0)
    assert numbers(ann) == [1]
    for at in (10, 20, 99):
        node.publish("a", at=at)
    assert (numbers(ann), node.timers) == ([1], {"c": 100})
    node.until(100)
    assert (numbers(ann), node.timers) == ([1, 4], {})
    node.publish("a", at=150)
    node.until(199)
    assert numbers(ann) == [1, 4]
    node.until(200)
    assert numbers(ann) == [1, 4, 5]
    node.publish("a", at=300)  # nothing in the last 100 ms
    assert numbers(ann) == [1, 4, 5, 6]
    assert numbers(plain) == [1, 2, 3, 4, 5, 6]


def test_values_are_apart_and_positions_grow() -> None:
    node = ConflatingNode()
    ann = node.conflating()
    node.publish("a", "b", at=0)
    node.publish("a", at=10)
    node.publish("new", at=20)  # behind what is held, so that no position goes back
    node.publish("a", at=30)
    assert numbers(ann) == [1, 2]
    node.until(100)
    assert numbers(ann) == [1, 2, 4, 5]
    keys = [event.key for event in ann.events if event.key is not None]
    assert keys == sorted(keys)


@pytest.mark.parametrize("data", [{"n": 0}, {"id": None}, {"id": {"x": 1}}, {"id": [1]}, "text", None], ids=str)
def test_a_message_without_the_value_is_never_conflated(data: Any) -> None:
    node = ConflatingNode()
    ann = node.conflating()
    for _ in range(3):
        node.process(node.number + 1, message(node.number + 1, data=data or {"id": None}))
        node.number += 1
    assert len(ann.events) == 3


def test_equal_values_are_one_and_a_number_is_not_its_text() -> None:
    node = ConflatingNode()
    ann = node.conflating(conflate=Conflate("user.id", 100))
    for id in (1, 1.0, "1", True):
        node.number += 1
        node.process(node.number, message(node.number, data={"user": {"id": id}, "n": node.number}))
    node.until(100)
    assert numbers(ann) == [1, 2, 3, 4]
    assert [event.key[1] for event in ann.events if event.key] == [1, 2, 3, 4]
    node.publish({"user": {"id": 1}, "n": 5}, {"user": {"id": 1.00}, "n": 6}, at=1000)
    node.until(2000)
    assert numbers(ann)[4:] == [5, 6]
    node.publish({"user": {"id": 1}, "n": 7}, {"user": {"id": 1.0}, "n": 8}, {"user": {"id": 1}, "n": 9}, at=3000)
    node.until(4000)
    assert numbers(ann)[6:] == [7, 9]


def test_a_key_that_keeps_coming_is_not_starved_by_others() -> None:
    node = ConflatingNode()
    ann = node.conflating()
    node.publish("a", at=0)
    for at in range(1, 2000):
        node.publish(*(["a", "b"] if at % 30 == 0 else ["a", "c"] if at % 47 == 0 else ["a"]), at=at)
    times = [data["n"] for data in ann.data if data["id"] == "a"]
    assert len(times) >= 2000 // 200


def test_what_the_filter_refuses_takes_no_place() -> None:
    node = ConflatingNode()
    ann = node.conflating(where=(("n", "<", 4),))
    odd = node.conflating("bob", where=(("n", "<", 4),), events=("e",))
    for _ in range(6):
        node.publish("a", at=0)
    node.until(100)
    assert numbers(ann) == numbers(odd) == [1, 3]


def test_a_message_for_some_takes_no_place_of_one_for_all() -> None:
    node = ConflatingNode()
    ann, bob = node.conflating("ann"), node.conflating("bob")
    node.publish("a", at=0)
    node.publish("a", at=1)
    node.publish("a", at=2, audience='{"users":["bob"]}')
    node.until(100)
    assert (numbers(ann), numbers(bob)) == ([1, 2], [1, 2, 3])


def test_mutes_come_first_also_when_they_come_later() -> None:
    node = ConflatingNode()
    ann, bob = node.conflating("ann"), node.conflating("bob")
    ann.subscription.mutes = mutes = Mutes()
    node.publish("a", at=0)
    mutes.apply(None, {"channel": None, "event": "noise", "muted": "t"})
    node.publish("b", at=0)  # from here on ann is apart
    node.publish("a", at=200)
    node.publish("a", at=210)
    node.publish("a", at=220, event="noise")
    node.until(400)
    assert (numbers(ann), numbers(bob)) == ([1, 2, 3, 4], [1, 2, 3, 5])
    mutes.apply({"channel": None, "event": "noise", "muted": "t"}, None)
    node.publish("a", at=1000)
    node.publish("a", at=1010, event="noise")
    node.until(2000)
    assert (numbers(ann)[4:], numbers(bob)[4:]) == ([6, 7], [6, 7])


def test_a_subscriber_that_comes_gets_nothing_from_before() -> None:
    node = ConflatingNode()
    node.conflating("ann")
    node.publish("a", "a", at=0)
    bob = node.conflating("bob")
    node.publish("b", at=50)
    node.until(100)
    assert numbers(bob) == [3]


def test_behind_as_long_as_messages_are_held() -> None:
    node = ConflatingNode()
    ann, plain = node.conflating("ann"), node.subscriber(member="bob")
    node.publish("a", "a", at=0)
    assert (ann.subscription.behind, plain.subscription.behind) == (True, False)
    node.until(100)
    assert not ann.subscription.behind


def test_timers_and_held_messages_end_with_the_last_subscriber() -> None:
    node = ConflatingNode()
    ann, bob = node.conflating("ann"), node.conflating("bob", conflate=Conflate("id", 500))
    plain = node.subscriber(member="dan")
    node.publish("a", "a", at=0)
    assert node.timers == {"c": 100}
    node.until(100)
    assert node.timers == {"c": 500}
    bob.subscription.cancel()
    assert node.timers == {}
    node.publish("a", at=110)
    ann.subscription.cancel()
    assert node.timers == {}
    assert node.core.hub.conflation.of("c") is None
    node.publish("a", "a", at=120)
    assert numbers(plain) == [1, 2, 3, 4, 5]
    assert numbers(ann) == [1, 2]


def test_a_room_that_closes_gives_what_is_held_before_its_end() -> None:
    node = ConflatingNode()
    room = {"name": "c", "metadata": "{}", "history": "t"}
    node.process(900, insert("channels", **room))
    ann = node.conflating()
    node.number = 900
    node.publish("a", "a", at=0)
    node.process(903, delete("channels", **room))
    assert (ann.types[:2], ann.types[-1], numbers(ann)) == (["message", "message"], "room:closed", [901, 902])
    assert node.timers == {}


def test_what_is_held_is_delivered_before_subscribers_wait_for_a_read() -> None:
    node = ConflatingNode()
    ann = node.conflating()
    node.publish("a", "a", at=0)
    node.core.hub.conflation.flush()
    assert (numbers(ann), node.timers) == ([1, 2], {})


def test_a_subscriber_that_fails_does_not_stop_others() -> None:
    node = ConflatingNode()
    ann, bob = node.conflating("ann"), node.conflating("bob")

    def fail() -> None:
        raise RuntimeError("its connection")

    ann.on_event = fail
    node.publish("a", "a", at=0)
    node.until(100)
    assert numbers(bob) == [1, 2]
    assert node.released == [ann.subscription]


def event(number: int, size: int = 1) -> MessageEvent:
    row = MessageRow(number, 1, "c", "e", b"x" * size, None, None, str(number), None, 0, "2026-01-25 09:00:00+00", None)
    return MessageEvent(row)


def test_too_many_values_or_bytes_pass_early() -> None:
    conflator = Conflator(1_000)
    assert len(conflator.take(event(1), b"0", 0)) == 1
    held = 0
    for number in range(2, MAX_LANES + 5):
        held += 1
        if passing := conflator.take(event(number), b"%d" % (number - 2), 0):
            break
    assert (held, len(passing), len(conflator)) == (MAX_LANES + 1, MAX_LANES + 1, 0)
    assert not conflator.take(event(5_000), b"%d" % MAX_LANES, 100)
    passing = conflator.take(event(5_001, MAX_BYTES), None, 100)
    assert ([each.key[0] for each in passing], len(conflator)) == ([5_000, 5_001], 0)


def test_a_large_message_is_read_and_judged_once_for_all_that_conflate_and_ahead_of_its_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, reads, steps = ConflatingNode(), 0, list[int]()

    def counted(text: bytes) -> object:
        nonlocal reads
        reads += 1
        return read_json(text)

    monkeypatch.setattr("engine.channels.core.delivery.events.read_json", counted)
    for number in range(20):
        where = (["text", "like", f"%{number}"],) if number % 2 else None
        subscriber = node.conflating(f"user {number}", Conflate("id", number + 1), where=where)
        subscriber.on_event = lambda: steps.append(reads)
    node.publish({"id": "a", "text": "x" * 10_000 + "1"}, at=0)
    assert (steps, reads) == ([1] * 11, 1)


def test_of_a_long_value_a_digest_is_kept() -> None:
    node = ConflatingNode()
    ann = node.conflating(conflate=Conflate("id", 60_000))
    long = ["x" * 100_000, "x" * 100_000 + "y"]
    for number, id in enumerate([*long, *long, *long], 1):
        node.publish({"id": id, "n": number})
    assert numbers(ann) == [1, 2]
    kept = ann.subscription._conflator
    assert kept is not None
    assert {len(lane) for lane in kept._passed} == {65}
    node.until(60_000)
    assert numbers(ann) == [1, 2, 5, 6]


published = st.lists(
    st.tuples(st.integers(0, 60), st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=3)), max_size=60
)


@given(published, st.integers(1, 120))
def test_the_sequence_is_part_of_the_published_one_with_the_last_of_each_value_and_intervals(
    history: list[tuple[int, list[str | None]]], ms: int
) -> None:
    node = ConflatingNode()
    ann = node.conflating(conflate=Conflate("id", ms))
    received: list[tuple[int, int, str | None]] = []
    ann.on_event = lambda: received.append((node.now, ann.data[-1]["n"], ann.data[-1]["id"]))
    sent: dict[int, tuple[int, str | None]] = {}
    at = 0
    for wait, ids in history:
        at += wait
        node.until(at)
        idle = not node.timers
        last = {id: time for time, _, id in received}
        node.publish(*ids)
        sent |= {node.number - len(ids) + index + 1: (node.now, id) for index, id in enumerate(ids)}
        if idle and (ids[0] is None or last.get(ids[0], -ms) + ms <= node.now):
            assert node.number - len(ids) + 1 in [number for _, number, _ in received], "the first passes at once"
    node.until(at + ms)
    order = [number for _, number, _ in received]
    assert order == sorted(set(order))
    assert set(order) <= sent.keys()
    assert node.timers == {}
    for id in {id for _, id in sent.values()}:
        mine = [number for number, (_, each) in sent.items() if each == id]
        if id is None:
            assert set(mine) <= set(order)
        assert mine[-1] in order
        times = [time for time, _, each in received if each == id]
        if id is not None:
            assert all(second - first >= ms for first, second in pairwise(times))
    assert all(time - sent[number][0] <= ms for time, number, _ in received), "no later than an interval"
