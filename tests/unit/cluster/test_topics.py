"""A node that takes some topics knows with each sign of life whether it has all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cluster.messages import Index, Sent, pack, sent_of
from engine.cluster.topics import ANY, COMMON, PulseHistory, TopicChains, TopicHoleError, TopicIndex

TOPICS = (COMMON, 1, 2, 3)
MINE = (COMMON, 1)
Kind = int | frozenset[int] | None
"""Of a message: an event of a topic, a common one that touches these topics, or a sign of life."""


def sent(
    previous: int, position: int, prior: int, index: Index | None = None, others: dict[int, int] | None = None
) -> Sent:
    return Sent(1, 1, previous, position, True, True, 0, False, b"", prior, index, others)


def own(kind: Kind) -> int | None:
    return COMMON if isinstance(kind, frozenset) else kind


def published(kinds: Sequence[Kind], start: int = 100) -> list[tuple[int | None, Sent]]:
    """What a relay publishes."""
    index, at = TopicIndex(start), start
    found: list[tuple[int | None, Sent]] = []
    for kind in kinds:
        topic = own(kind)
        if topic is None:
            found.append((topic, sent(at, at, at, index.now)))
            index.begin(at)
        else:
            others = index.others(topic, kind if isinstance(kind, frozenset) else frozenset())
            found.append((topic, sent(at, at + 10, index.prior(topic), others=others)))
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
        elif topic in MINE and self.chains.takes(topic, message, MINE.__contains__):
            self.took.append(message.position)


kinds = st.lists(st.sampled_from([*TOPICS, None]) | st.frozensets(st.sampled_from(TOPICS[1:])), max_size=40)


@given(kinds, st.data())
def test_node_that_is_sent_everything_takes_its_topics_once_also_over_several_sessions(
    kinds: list[Kind], data: st.DataObject
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
    kinds: list[Kind], lost: set[int]
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


@given(kinds, st.sets(st.integers(0, 39)))
def test_nothing_about_a_topic_is_taken_behind_a_lost_event_about_it(kinds: list[Kind], lost: set[int]) -> None:
    """Whichever of its two topics brings one or the other."""
    node, about_mine = Node(), [kind == 1 or (isinstance(kind, frozenset) and 1 in kind) for kind in kinds]
    missing = False
    for number, (topic, message) in enumerate(published(kinds)):
        if number in lost:
            missing = missing or about_mine[number]
            continue
        try:
            node.feed(topic, message)
        except TopicHoleError:
            return
        assert not (missing and about_mine[number])


def test_common_event_names_what_it_touches_and_no_other_topic_than_had_events() -> None:
    index = TopicIndex(100)
    for topic, position in ((1, 110), (2, 120), (COMMON, 130)):
        index.note(topic, position)
    assert index.others(2, frozenset()) == {COMMON: 130}
    assert index.others(COMMON, frozenset()) is None
    assert index.others(COMMON, frozenset((2, 3))) == {ANY: 100, 2: 120}
    assert index.others(COMMON, None) == {ANY: 100, 1: 110, 2: 120}
    index.begin(130)
    assert index.others(1, frozenset()) == {COMMON: 130}
    assert index.others(COMMON, None) == {ANY: 130}


def test_versions_with_and_without_other_topics_read_each_other() -> None:
    message = sent(100, 110, 100, others={COMMON: 100})
    fields = msgspec.msgpack.decode(pack(message))
    assert sent_of(msgspec.msgpack.encode(fields[:-1])) == sent(100, 110, 100)
    assert sent_of(msgspec.msgpack.encode([*fields, "of a later version"])) == message
    assert len(pack(sent(1 << 40, (1 << 40) + 1, 1 << 40, others={COMMON: 1 << 40}))) < 70


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
