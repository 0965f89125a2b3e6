"""Which transactions are traced, and what is noted of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from engine.metrics.deliveries import Deliveries, Delivery, Parent, threshold
from engine.tracing.context import TraceContext
from engine.tracing.messages import CarriedTrace
from engine.transaction import Transaction

PARENT = TraceContext(7, 8, 1)


@dataclass
class Row:
    channel: str = "c"
    connection_id: str | None = "me"
    trace: CarriedTrace | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    committed_at: int | None
    channel: str | None = "c"
    count: int = 1


@dataclass
class World:
    ratio: float = 0.0
    trusted: bool = True
    ended: list[Delivery] = field(default_factory=list)
    at: int = 1000

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(self.ended.append, self.ratio, trusted=self.trusted)

    def apply(
        self, *rows: Row, annotation: TraceContext | None = None, frames: tuple[str | None, ...] = ("c",), lsn: int = 5
    ) -> bool:
        """Whether the transaction is traced. Its frames are encoded at 20 to 30."""
        self.at += 1
        meta = None if annotation is None else json.dumps(annotation.fields).encode()
        transaction = Transaction(lsn, lsn + 1, 1, self.at, annotation=meta, published=rows)
        self.deliveries.begin(self.at, self.at + 10)
        for channel in frames:
            self.deliveries.encoded(self.at, channel, self.at + 20, self.at + 30)
        self.deliveries.applied(transaction, self.at + 40)
        return self.at in self.deliveries.open


def traced(channel: str = "c", context: TraceContext = PARENT, *, sampled: bool = True) -> Row:
    return Row(channel, trace=CarriedTrace(context.traceparent, "", sampled))


def test_a_message_is_traced_if_its_publish_was_recorded() -> None:
    world = World(ratio=1.0)
    assert world.apply(traced())
    assert not world.apply(traced(sampled=False))
    assert not world.apply(Row())  # whether it is recorded was decided where it was published
    assert not world.apply(Row(trace=CarriedTrace("malformed", "", True)))


@pytest.mark.parametrize("flags", [0, 1])
def test_a_trusted_annotation_decides_and_another_does_not(flags: int) -> None:
    context = PARENT._replace(flags=flags)
    for ratio in (0.0, 1.0):
        assert World(ratio).apply(annotation=context) == bool(flags)
        assert World(ratio, trusted=False).apply(annotation=context) == bool(ratio)


def test_a_commit_without_a_parent_is_traced_by_the_ratio_if_a_client_gets_something_of_it() -> None:
    assert World(ratio=1.0).apply()
    assert World(ratio=1.0).apply(Row(connection_id=None))
    assert not World(ratio=1.0).apply(frames=())
    assert not World(ratio=0.0).apply()
    some = World(ratio=0.25)
    assert 150 < sum(some.apply(lsn=lsn) for lsn in range(1000)) < 350


def test_a_node_whose_clients_get_nothing_of_a_message_or_a_commit_makes_no_span_of_it() -> None:
    world = World(ratio=1.0)
    world.apply(traced("a"), traced("b"), annotation=PARENT, frames=("b",))
    world.apply(traced("a"), frames=())
    world.apply(annotation=PARENT, frames=())
    world.deliveries.close()
    assert [[parent.channel for parent in delivery.parents] for delivery in world.ended] == [["b", None]]


def test_what_is_written_before_a_transaction_is_applied_belongs_to_it() -> None:
    world = World()
    world.deliveries.begin(7, 8)
    assert world.deliveries.awaits_writes
    world.deliveries.encoded(7, "c", 9, 10)
    world.deliveries.wrote([(Frame(7, "c", 2), 3), (Frame(6), 1)], 11)
    world.deliveries.applied(Transaction(5, 6, 1, 7, published=(traced("c"),)), 12)
    world.deliveries.begin(13, 14)
    world.deliveries.applied(Transaction(6, 7, 1, 13), 15)
    world.deliveries.close()
    [delivery] = world.ended
    times = delivery.of(delivery.parents[0])
    assert (times.encoding_at, times.first_write, times.last_write, times.messages) == (9, 11, 11, 6)
    assert not world.deliveries.awaits_writes


def test_two_nodes_decide_alike_and_find_the_same_trace() -> None:
    worlds = [World(ratio=0.5) for _ in range(2)]
    one, two = [[world.apply(lsn=lsn) for lsn in range(100)] for world in worlds]
    assert one == two
    for world in worlds:
        world.deliveries.close()
    ids = [[delivery.parents for delivery in world.ended] for world in worlds]
    assert ids[0] == ids[1] != []


def test_the_ratio_is_that_of_open_telemetry() -> None:
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    for ratio in (0.0, 0.3, 0.5, 1.0):
        assert threshold(ratio) == sampling.TraceIdRatioBased(ratio).bound


def test_each_message_has_the_times_of_its_channel_and_a_commit_those_of_all() -> None:
    world = World()
    assert world.apply(traced("a"), traced("b"), annotation=PARENT, frames=("a", "b", None))
    at, frames = world.at, [(Frame(world.at, "a", 2), 3), (Frame(world.at, None), 1), (Frame(None), 9), (Frame(1), 9)]
    world.deliveries.wrote(frames, at + 50)
    world.deliveries.wrote([(Frame(at, "a"), 1)], at + 60)
    world.deliveries.close()
    [delivery] = world.ended
    a, b, all = [delivery.of(parent) for parent in delivery.parents]
    assert (a.messages, b.messages, all.messages) == (7, 0, 8)
    assert (a.first_write - at, a.last_write - at, b.last_write) == (50, 60, 0)
    for times in (a, b, all):
        assert (times.encoding_at - at, times.encoded_at - at) == (20, 30)
    assert (delivery.received_at - at, delivery.applied_at - at) == (10, 40)


def test_messages_of_one_channel_and_one_commit_share_what_was_delivered_of_them() -> None:
    world = World()
    rows = [traced("a") for _ in range(100)]
    assert world.apply(*rows, Row("a"), traced("b"), annotation=PARENT, frames=("a", "b"))
    world.deliveries.wrote([(Frame(world.at, "a", 101), 10), (Frame(world.at, "b"), 3)], world.at + 50)
    world.deliveries.close()
    [delivery] = world.ended
    assert [delivery.of(parent).messages for parent in delivery.parents] == [10] * 100 + [3, 1013]


def test_a_delivery_ends_when_nothing_more_is_written_or_it_has_taken_long() -> None:
    world = World()
    world.apply(traced())
    at = world.at
    for _ in range(2):
        world.deliveries.sweep()
        world.deliveries.wrote([(Frame(at), 1)], at + 50)
    for _ in range(2):
        world.deliveries.sweep()
        assert world.ended == []
    world.deliveries.sweep()
    assert [delivery.of(delivery.parents[0]).messages for delivery in world.ended] == [2]
    world.apply(traced())
    for number in range(20):
        assert len(world.ended) == 1, number
        world.deliveries.wrote([(Frame(world.at), 1)], at + 50)
        world.deliveries.sweep()
    assert len(world.ended) == 2
    assert world.deliveries.open == {}


def test_what_is_open_is_bounded_and_the_oldest_ends_first() -> None:
    world = World()
    for _ in range(1500):
        assert world.apply(traced())
    assert len(world.deliveries.open) == 1024
    assert [delivery.committed_at for delivery in world.ended] == list(range(1001, 1001 + 1500 - 1024))


def test_a_parent_is_why() -> None:
    world = World(ratio=1.0)
    world.apply(traced("a"), frames=("a",))
    world.apply(annotation=PARENT)
    world.apply()
    world.deliveries.close()
    message, annotated, own = [delivery.parents[0] for delivery in world.ended]
    assert message == Parent(PARENT, 7, "a")
    assert annotated == Parent(PARENT, 7)
    assert own.context is None
