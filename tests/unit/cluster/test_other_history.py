"""Another history begins below what a node has taken: nothing is done twice, and nothing is lost without a word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.channels.core.effects import ConnectionDeleted, ControlReceived, Effect
from engine.postgres.snapshot import Snapshot
from server.analytics.counter import UsageCounter
from server.analytics.users import CountedUsers
from tests.support.nodes.core_node import CoreNode, control, delete, insert, message, update
from tests.support.values.changes import transaction_of
from tests.unit.channels.test_channel_core import room
from tests.unit.cluster.test_brought_again import Database, Play, recovery_of

NONE: dict[str, Any] = dict.fromkeys(("capacity", "updated_at", "created_by", "closed_at"))
STEPS = st.sampled_from(["ann", "bob", "ann leaves", "bob leaves", "open", "change", "call"])
LOG = st.lists(st.lists(STEPS, max_size=2, unique=True), max_size=5)


@dataclass
class Story:
    """A node has taken ``taken`` of ``common`` and ``lost`` transactions. Then the stream has ``common`` and ``new`` ones,
    from behind ``again`` on; after ``asked`` the node learns where they part (``known``: or only that they do), and after
    ``loaded`` the tables are read. Then comes a hole, from ``back`` on.
    """

    common: list[list[str]]
    lost: list[list[str]]
    new: list[list[str]]
    taken: int
    again: int
    asked: int | None
    known: bool
    announced: bool
    loaded: int
    back: int

    def run(self) -> Shown:
        parted = len(self.common)
        before, after = Database(self.common + self.lost), Database(self.common + self.new, parted)
        shown = Shown(Play(before), after)
        for number in range(1, self.taken + 1):
            shown.play.take(number)
        core = shown.play.node.core
        shown.play.changes_to(after)
        core.interrupted(other_history=self.announced)
        for number in range(self.again, self.loaded + 1):
            if number > self.again:
                shown.play.take(number)
            if number == self.asked:
                core.parted(parted * 256 if self.known else 0, max(core.position if number else 0, self.again * 256))
        shown.load(self.loaded)
        core.interrupted(other_history=False)
        for number in range(self.back + 1, len(after.log) + 1):
            shown.play.take(number)
        shown.load(len(after.log))
        return shown


class Shown:
    """What clients have got."""

    def __init__(self, play: Play, database: Database) -> None:
        self.play = play
        self.reread: set[int] = set()  # places of the events that a reading of the tables has brought
        self._database = database

    def load(self, number: int) -> None:
        room = self.play.subscribers[0]
        begin = len(room.bodies)
        self.play.node.core.reach(number * 256 + 255)
        self.play.node.load(self._database.snapshot(number), self._database.tables[number])
        self.reread |= set(range(begin, len(room.bodies)))

    @property
    def calls(self) -> list[int]:
        return [json.loads(bytes(e.message.payload)) for e in self.play.effects if isinstance(e, ControlReceived)]

    @property
    def room(self) -> list[dict[str, Any]]:
        return self.play.subscribers[0].bodies


@st.composite
def stories(draw: st.DrawFn) -> Story:
    common, lost, new = draw(LOG), draw(LOG), draw(LOG)
    taken = draw(st.integers(0, len(common) + len(lost)))
    again = draw(st.integers(0, min(taken, len(common))))
    loaded = draw(st.integers(len(common), len(common) + len(new)))  # all that both have was there before
    announced = draw(st.booleans())
    asked = draw(st.integers(again, loaded) | (st.none() if announced else st.nothing()))
    back = draw(st.integers(again, loaded))
    known = bool(common) and draw(st.booleans())  # position 0 means that it is not known, and PostgreSQL has no LSN 0
    return Story(common, lost, new, taken, again, asked, known, announced, loaded, back)


@given(stories())
@example(Story([["change"], ["change"]], [], [], 2, 0, None, False, True, 2, 2))
@example(Story([["call"]], [["call"]], [["call"]], 2, 0, 0, True, True, 2, 2))
def test_nothing_comes_twice_and_nothing_is_lost_without_a_word(story: Story) -> None:
    shown = story.run()
    assert len(set(shown.calls)) == len(shown.calls), "each is sent once"
    former = [n for n in shown.calls if n <= story.taken]
    assert shown.calls == former + sorted(set(shown.calls) - set(former)), "in their order"
    parted = len(story.common)
    numbers = {n if n <= parted else n + 1_000: n for n in range(1, parted + len(story.new) + 1)}
    called = [n for n, at in numbers.items() if "call" in (story.common + story.new)[at - 1]]
    silent = set(called) - set(shown.calls)
    assert not silent or shown.play.node.core.again.lost
    if story.announced and story.known and story.asked == story.again:
        assert not silent, "where they part was known in time"
        assert not shown.play.node.core.again.lost


@given(stories())
@example(Story([["open"], ["change"], ["change"]], [], [], 3, 0, None, False, True, 3, 3))
@example(Story([["ann"], ["ann leaves"]], [], [], 2, 0, None, False, True, 2, 2))
def test_no_state_is_shown_again_and_the_last_one_is_that_of_the_tables(story: Story) -> None:
    shown = story.run()
    there, metadata, states = dict[str, Any](), None, list[object]()
    for place, body in enumerate(shown.room):
        if body["type"] == "room:closed":
            return  # it was of the history that was lost
        if body["type"].startswith("room:"):
            metadata = body["room"]["metadata"]
            if place not in shown.reread:
                assert metadata not in states
            states.append(metadata)
        else:
            id = body["user"]["id"]
            assert (id in there) is (body["type"] != "presence:join"), body
            there[id] = body["user"]["state"]
            if body["type"] == "presence:leave":
                del there[id]
    presence, rooms, *_ = shown.play.database.tables[-1]
    assert there == {row["user_id"]: json.loads(row["state"] or "") for row in presence}
    assert metadata == (json.loads(rooms[0]["metadata"] or "") if rooms else metadata)


def broadcast(node: CoreNode, number: int) -> bool:
    """Whether a message to connections is delivered that commits as transaction ``number``."""
    return bool(node.process(number, control("broadcast", event="called")))


def test_what_another_history_brings_up_to_where_the_stream_stood_is_not_done_before_its_tables_were_read() -> None:
    node = CoreNode([[], [], [], [], []])
    assert broadcast(node, 5)
    node.core.interrupted(other_history=True)
    assert [broadcast(node, number) for number in (4, 5, 6)] == [False, False, True]
    node.core.interrupted(other_history=False)
    assert [broadcast(node, number) for number in (4, 6, 7)] == [False, False, True]
    assert not node.core.again.lost, "not before it is known"
    node.load(Snapshot(1008, 1008, frozenset(), position=1_900))
    assert node.core.again.lost
    assert broadcast(node, 8)


def test_another_epoch_is_another_history_that_was_not_announced() -> None:
    node = CoreNode([[], [], [], [], []])
    assert broadcast(node, 5)
    node.core.interrupted(other_history=False)
    assert not broadcast(node, 4)
    recovery_of(node)._start_over(256, 256)
    assert node.core.again.lost
    assert broadcast(node, 5)


def test_what_only_the_tables_have_shown_is_not_done_when_another_history_brings_it() -> None:
    """A slot was lost, and an older copy of it has what it lacked."""
    node = CoreNode([[], [room()], [], [], []])
    subscriber = node.subscriber("c", presence={})
    log = [room(**NONE, metadata=f'{{"n":{number}}}') for number in range(5)]
    node.process(1, update("channels", room(), log[1]))
    node.core.interrupted(other_history=False)
    node.load(Snapshot(1004, 1004, frozenset(), position=900), [[], [log[3]], [], [], []])
    node.process(4, message(4))
    seen = list(subscriber.bodies)
    node.core.interrupted(other_history=True)
    for number in (1, 2, 3):
        node.process(number, update("channels", log[number - 1], log[number]), control("broadcast", event="called"))
    assert subscriber.bodies == seen
    node.core.parted(4 * 256, 0)
    assert node.core.again.lost, "the second and the third came to no one"


@pytest.mark.parametrize("other_history", [False, True])
def test_a_removal_of_a_user_is_known_by_its_id(other_history: bool) -> None:
    node = CoreNode([[], [], [], [], []])
    there, kicks = room(), []
    for id in ("one", "two"):
        node.core.interrupted(other_history=other_history)
        effects = node.process(3, update("channels", there, there), control("kick", channel="c", user_id="ann", id=id))
        kicks += [e.message for e in effects if isinstance(e, ControlReceived) and node.core.kicks.take(e.message)]
    assert [kick.id for kick in kicks] == ["one", "two"]


@pytest.mark.parametrize("known", [False, True])
def test_what_was_passed_over_and_no_snapshot_shows_is_carried_out_once_the_tables_were_read(known: bool) -> None:
    """With a standby that it waits for, a commit can be in the stream long before others see it."""
    node, effects = CoreNode([[], [], [], [], []]), list[Effect]()
    node.process(5, insert("connections", id="A", node_id="n"))
    node.core.interrupted(other_history=True)
    log = [transaction_of(number, delete("connections", id=f"{number}", node_id="n")) for number in (3, 4, 6)]
    for number in (3, 4, 6):
        effects += node.process(number, delete("connections", id=f"{number}", node_id="n"))
    assert effects == [ConnectionDeleted("6")]
    if known:
        node.core.parted(2 * 256, 2 * 256)
    for _ in range(2):
        node.load(Snapshot(1004, 1004, frozenset(), position=2_000), None, log[1:])
    assert node.core.passed_over == [ConnectionDeleted("4")]


@pytest.mark.parametrize("known", [False, True])
def test_messages_of_both_histories_are_counted_once_and_those_of_the_new_one_too(known: bool) -> None:
    node, usage = CoreNode([[], [], [], [], []]), UsageCounter(lambda: 0.0, CountedUsers())
    node.core.count, node.core.count_from = usage.messages, usage.count_from
    usage.begin(None)
    for number in (1, 2, 3, 4, 5):
        node.process(number, message(number))
    node.core.interrupted(other_history=True)
    for number in (2, 3):
        node.process(number, message(number))
    if known:
        node.core.parted(3 * 256, 3 * 256)
    node.load(Snapshot(1003, 1003, frozenset(), position=800))
    for number in (4, 6):
        node.process(number, message(number))
    assert node.core.messages == 7
    assert sum(row["published"] for row in usage.take(1e12, 10)) == 7
