"""Clients move from full nodes to others until all have about their part, and then stay."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from server.balance.core.rule import Balance, NodeLoad, excess
from tests.support.examples import examples

STEP = 2.0  # seconds between two passes of a node
LIMIT = 1.2
counts = st.lists(st.integers(0, 400), min_size=2, max_size=6)


class World:
    """Nodes, a load balancer, and a clock."""

    def __init__(self, counts: list[int], share: float, place: str, seed: int = 0) -> None:
        self.counts, self.place = list(counts), place
        self.nodes = [Balance(share) for _ in counts]
        self.now = 0.0
        self.moves: list[tuple[float, int, int]] = []
        self.random = random.Random(seed)

    def step(self) -> None:
        """One pass of every node, all with the same figures; then the clients move."""
        loads = [NodeLoad(node=str(number), connections=count) for number, count in enumerate(self.counts)]
        asked = [
            node.decide(self.now, loads[number], [each for each in loads if each is not loads[number]])
            for number, node in enumerate(self.nodes)
        ]
        for number, count in enumerate(asked):
            if count:
                self.moves.append((self.now, number, count))
            self.counts[number] -= count
            for _ in range(count):
                self.counts[self._next(number)] += 1
        self.now += STEP

    def _next(self, former: int) -> int:
        if self.place == "same":
            return former
        if self.place == "any":
            return self.random.randrange(len(self.counts))
        return min(range(len(self.counts)), key=self.counts.__getitem__)

    def run(self, minutes: float) -> None:
        end = self.now + 60 * minutes
        while self.now < end:
            self.step()


@settings(max_examples=examples(30), deadline=None)
@given(counts=counts, seed=st.integers(0, 9))
def test_every_node_ends_with_about_its_part_and_then_nothing_moves(counts: list[int], seed: int) -> None:
    for place in ("least", "any"):
        world = World(counts, 0.5, place, seed)
        world.run(8)
        part = sum(counts) / len(counts)
        assert sum(world.counts) == sum(counts)
        assert max(world.counts) <= max(LIMIT * part, part + 10), (place, world.counts)
        before, quiet = list(world.counts), len(world.moves)
        world.run(3)
        assert (world.counts, len(world.moves)) == (before, quiet), "no client goes back and forth"


@settings(max_examples=examples(30), deadline=None)
@given(counts=counts)
def test_with_the_fewest_first_no_node_is_filled_above_its_part(counts: list[int]) -> None:
    world = World(counts, 1.0, "least")
    part = sum(counts) / len(counts)
    for _ in range(60):
        before = list(world.counts)
        world.step()
        assert all(now <= max(was, part + 1) for was, now in zip(before, world.counts, strict=True))


@settings(max_examples=examples(30), deadline=None)
@given(counts=counts, share=st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_no_node_asks_more_than_its_share_in_a_minute(counts: list[int], share: float) -> None:
    world = World(counts, share, "same")  # the counts stay
    world.run(4)
    for number, count in enumerate(counts):
        own = [(at, asked) for at, node, asked in world.moves if node == number]
        for at, _ in own:
            assert sum(asked for when, asked in own if at <= when < at + 60) <= share * count


def test_clients_that_come_back_to_the_same_node_are_asked_less_and_less() -> None:
    world = World([1000, 0], 0.1, "same")
    world.run(60)
    first = len(world.moves)
    world.run(60)
    assert 3 <= first <= 10
    assert len(world.moves) - first <= 2


def test_while_a_node_does_not_accept_clients_none_is_asked() -> None:
    me, other = NodeLoad(node="a", connections=1000), NodeLoad(node="b", connections=0)
    assert excess(me, [other]) == 500
    assert excess(me, []) == 0
    assert excess(me, [other, NodeLoad(node="c", connections=0, ready=False)]) == 0
    assert excess(NodeLoad(node="a", connections=1000, ready=False), [other]) == 0
    assert Balance(0.0).decide(0.0, me, [other]) == 0


def test_a_part_is_of_the_capacity_where_it_is_known() -> None:
    me, other = NodeLoad(node="a", connections=100, capacity=100.0), NodeLoad(node="b", connections=0, capacity=300.0)
    assert excess(me, [other]) == 75
    assert excess(other, [me]) == 0
    assert excess(me, [NodeLoad(node="b", connections=0)]) == 50
    assert excess(NodeLoad(node="a", connections=12), [NodeLoad(node="b", connections=8)]) == 0
    assert excess(NodeLoad(node="a", connections=1150), [NodeLoad(node="b", connections=850)]) == 0
