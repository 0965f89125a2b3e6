"""A node that takes some topics knows with each sign of life whether it has all of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cluster.messages import Index, Sent
from engine.cluster.topics import COMMON, PulseHistory, TopicChains, TopicHoleError, TopicIndex

TOPICS = (COMMON, 1, 2, 3)
MINE = (COMMON, 1)


def sent(previous: int, position: int, prior: int, index: Index | None = None) -> Sent:
    return Sent(1, 1, previous, position, True, True, 0, False, b"", prior, index)


def published(kinds: list[int | None], start: int = 100) -> list[tuple[int | None, Sent]]:
    """What a relay publishes: an event of each topic, None: a sign of life."""
    index, at = TopicIndex(start), start
    found: list[tuple[int | None, Sent]] = []
    for topic in kinds:
        if topic is None:
            found.append((topic, sent(at, at, at, index.now)))
            index.begin(at)
        else:
            found.append((topic, sent(at, at + 10, index.prior(topic))))
            at += 10
            index.note(topic, at)
    return found


class Node:
    """Takes the topics of ``MINE``; ``took``: the positions of their events, in order."""

    def __init__(self) -> None:
        self.chains = TopicChains(100)
        self.took: list[int] = []

    def feed(self, topic: int | None, message: Sent) -> None:
        if topic is None:
            self.chains.check(message, MINE.__contains__)
        elif topic in MINE and self.chains.takes(topic, message):
            self.took.append(message.position)


kinds = st.lists(st.sampled_from([*TOPICS, None]), max_size=40)


@given(kinds, st.data())
def test_node_that_is_sent_everything_takes_its_topics_once_also_over_several_sessions(
    kinds: list[int | None], data: st.DataObject
) -> None:
    messages, node = published(kinds), Node()
    at = 0
    for _ in range(3):
        until = data.draw(st.integers(at, len(messages)))
        for each in messages[at:until]:
            node.feed(*each)
        at = next((n for n, (_, each) in enumerate(messages) if each.position > node.chains.proven), len(messages))
    for each in messages[at:]:
        node.feed(*each)
    assert node.took == [each.position for topic, each in messages if topic in MINE]


@given(kinds, st.sets(st.integers(0, 39)))
def test_hole_is_noticed_by_the_next_event_of_its_topic_and_by_the_next_sign_of_life(
    kinds: list[int | None], lost: set[int]
) -> None:
    messages, node = published(kinds), Node()
    due: list[int] = []
    missing: set[int | None] = set()
    for number, (topic, message) in enumerate(messages):
        if number in lost:
            if topic in MINE:
                missing.add(topic)
            continue
        try:
            node.feed(topic, message)
        except TopicHoleError:
            assert missing or any(messages[n][0] is None for n in lost if n < number)
            return
        due = [each.position for kind, each in messages[: number + 1] if kind in MINE]
        if topic is None:
            assert node.took == due
        elif topic in MINE:
            assert topic not in missing
    assert all(one < two for one, two in pairwise(node.took))


def test_event_that_had_been_missing_is_not_taken_behind_later_ones() -> None:
    node = Node()
    first, second, third = published([1, 1, COMMON])
    node.feed(*first)
    node.feed(*third)
    with pytest.raises(TopicHoleError, match="had been missing"):
        node.feed(*second)


@pytest.mark.parametrize("topic", [None, 1])
def test_message_of_an_earlier_version_is_no_proof(topic: int | None) -> None:
    with pytest.raises(TopicHoleError):
        Node().feed(topic, sent(100, 110, -1))


def test_index_of_the_last_signs_of_life_is_for_nodes_that_have_not_taken_them() -> None:
    index = TopicIndex(100)
    for topic in (1, 2, 1):
        index.note(topic, index.since + 10)
        index.begin(index.since + 10)
    index.note(3, 140)
    assert index.now == (130, {3: 140})
    assert index.lately == (100, {1: 130, 2: 120, 3: 140})
    assert index.copy().now == index.now


def test_history_knows_where_what_follows_a_position_begins() -> None:
    history = PulseHistory(100, 7)
    assert history.before(99) is None
    assert history.before(150) == (100, 7)
    history.add(200, 9, 100)
    history.add(300, 12, 250)
    assert history.last == 12
    assert [history.before(position) for position in (150, 250, 300)] == [None, (200, 9), (300, 12)]
