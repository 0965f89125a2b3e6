"""After a hole the stream begins below what a node has taken: what comes again does nothing again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.channels.core.effects import ControlReceived, Effect, MessagesRefused
from engine.channels.core.settings import ChannelSettings
from engine.channels.history.recovery import Recovery
from engine.postgres.snapshot import Snapshot
from engine.transaction import Change, Message
from tests.support.nodes.core_node import CoreNode, Subscriber, control, delete, insert, message, update
from tests.support.values.changes import transaction_of
from tests.unit.channels.test_channel_core import TIME, present, room

Row = dict[str, str | None]
Changes = list[Change | Message]

STEPS = st.sampled_from(["ann", "bob", "ann leaves", "bob leaves", "open", "change", "close", "call", "publish"])


class Database:
    """Its transactions, numbered from 1, and what the tables have after each. Behind ``parted`` they are those of another
    history.
    """

    def __init__(self, transactions: list[list[str]], parted: int = 1_000) -> None:
        self._presence: dict[str, Row] = {}
        self._room: Row | None = None
        self.log: list[Changes] = []
        self.tables: list[list[list[Row]]] = [[[], [], [], [], []]]
        for number, steps in enumerate(transactions, 1):
            n = number if number <= parted else number + 1_000
            self.log.append([each for step in steps for each in self._change(step, n)])
            rooms: list[Row] = [] if self._room is None else [self._room]
            self.tables.append([list(self._presence.values()), rooms, [], [], []])

    def _change(self, step: str, number: int) -> Changes:
        user = step.split()[0]
        if step == "publish":
            return [message(number, channel="quiet")]
        if step == "call":
            return [control("broadcast", event="called", payload=number)]
        if step in ("open", "change", "close"):
            return self._change_room(step, number)
        old = self._presence.pop(user, None)
        if step.endswith("leaves"):
            return [] if old is None else [delete("presence", **old)]
        new = self._presence[user] = present(user, state=f'{{"n":{number}}}', updated_at=str(number))
        return [insert("presence", **new) if old is None else update("presence", old, new)]

    def _change_room(self, step: str, number: int) -> Changes:
        new = room(capacity=None, updated_at=None, created_by=None, metadata=f'{{"n":{number}}}', closed_at=None)
        old, self._room = self._room, {**new, "closed_at": TIME if step == "close" else None}
        return [insert("channels", **self._room) if old is None else update("channels", old, self._room)]

    def snapshot(self, number: int) -> Snapshot:
        """Of the tables after transaction ``number``."""
        return Snapshot(1001 + number, 1001 + number, frozenset(), position=number * 256 + 100)


class Play:
    """A node, and all that it does. Its one subscriber in the room comes back after the room's end."""

    def __init__(self, database: Database) -> None:
        self.node = CoreNode([[], [], [], [], []])
        self.effects: list[Effect] = []
        self.subscribers: list[Subscriber] = []
        self.database = database
        self._highest = 0
        self._enter()
        self.subscribers.append(self.node.subscriber("quiet", presence={}))

    def _enter(self) -> None:
        if not self.node.core.hub.of("c"):
            self.subscribers.append(self.node.subscriber("c", presence={}))

    def changes_to(self, database: Database) -> None:
        """What is taken from here on is of another history."""
        self.database = database

    def take(self, number: int) -> None:
        effects = self.node.process(number, *self.database.log[number - 1])
        self.effects += [each for each in effects if isinstance(each, ControlReceived)]
        if number > self._highest:
            self._highest = number
            self._enter()

    @property
    def seen(self) -> object:
        """What clients have got, and what was done to connections."""
        payloads = [bytes(each.message.payload) for each in self.effects if isinstance(each, ControlReceived)]
        return [subscriber.bodies for subscriber in self.subscribers], payloads


def recovery_of(node: CoreNode) -> Recovery:
    """One that is not under way, and that reads nothing."""
    parts = (None, None, None, type("Epochs", (), {"current": "another"})(), ChannelSettings(node_id="n"), None)
    recovery = Recovery(node.core, *cast("tuple[Any, Any, Any, Any, Any, Any]", parts))
    recovery._synced.set()
    return recovery


class Newcomer:
    """It subscribes at a moment that no recovery is under way, and asks for nothing of the past."""

    def __init__(self, node: CoreNode) -> None:
        self._node = node
        self.begins = node.core.position // 256
        self.quiet, self.room = node.subscriber("quiet", begun=False), node.subscriber("c", presence={}, begun=False)
        self._there = {user["id"]: json.loads(orjson.dumps(user)) for user in node.core.presence.users("c")}
        for each in (self.quiet, self.room):
            asyncio.run(recovery_of(node).begin(each.subscription, None, 0))
            each.subscription.begin()

    @property
    def shown(self) -> dict[str, Any] | None:
        """The list that it has been led to; None: the room was closed."""
        there = dict(self._there)
        for body in self.room.bodies:
            if body["type"] == "room:closed":
                return None
            if body["type"].startswith("presence:"):
                user = body["user"]
                joins, leaves = body["type"] == "presence:join", body["type"] == "presence:leave"
                assert (user["id"] in there) is not joins, body
                there[user["id"]] = user
                if leaves:
                    del there[user["id"]]
        return there


@dataclass
class Hole:
    """Found after ``taken`` transactions; the stream begins behind ``again``, and all is read behind ``loaded``."""

    taken: int
    again: int
    loaded: int


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[str]], list[Hole]]:
    log = draw(st.lists(st.lists(STEPS, max_size=3), min_size=1, max_size=8))
    holes, last = [], 0
    for _ in range(draw(st.integers(1, 3))):
        taken = draw(st.integers(last, len(log)))
        again = draw(st.integers(0, taken))
        loaded = draw(st.integers(again, len(log)))
        holes.append(Hole(taken, again, loaded))
        last = max(again, loaded)
    return log, holes


@given(histories())
@example(([["call"]], [Hole(1, 0, 1)]))
@example(([["ann"], ["ann"], ["ann leaves"]], [Hole(3, 0, 3)]))
@example(([["ann"], ["ann"]], [Hole(2, 0, 0)]))
@example(([["close"], ["open"]], [Hole(2, 0, 2)]))
@example(([["call"], ["call"]], [Hole(2, 0, 1), Hole(1, 0, 1)]))
def test_clients_get_what_they_would_have_got_without_the_hole(case: tuple[list[list[str]], list[Hole]]) -> None:
    log, holes = case
    database = Database(log)
    whole, broken = Play(database), Play(database)
    for number in range(1, len(log) + 1):
        whole.take(number)
    reached = highest = 0
    for hole in holes:
        for number in range(reached + 1, hole.taken + 1):
            broken.take(number)
        highest = max(highest, hole.taken)
        broken.node.core.interrupted(other_history=False)
        for number in range(hole.again + 1, hole.loaded + 1):
            broken.take(number)
        highest = max(highest, hole.loaded)
        broken.node.load(database.snapshot(highest), database.tables[highest])
        reached = hole.loaded
    for number in range(reached + 1, len(log) + 1):
        broken.take(number)
    assert broken.seen == whole.seen
    assert broken.node.core.messages == whole.node.core.messages, "each is counted once"
    assert set(broken.node.core.presence.rows()) == set(whole.node.core.presence.rows())


@given(histories(), st.data())
def test_who_subscribes_between_holes_gets_what_follows_once(
    case: tuple[list[list[str]], list[Hole]], data: st.DataObject
) -> None:
    log, holes = case
    database = Database(log)
    broken, newcomers = Play(database), list[Newcomer]()

    def perhaps_one_comes() -> None:
        if data.draw(st.booleans()):
            newcomers.append(Newcomer(broken.node))

    reached = highest = 0
    for hole in [*holes, Hole(len(log), len(log), len(log))]:
        for number in range(reached + 1, hole.taken + 1):
            broken.take(number)
            perhaps_one_comes()
        highest = max(highest, hole.taken, hole.loaded)
        broken.node.core.interrupted(other_history=False)
        for number in range(hole.again + 1, hole.loaded + 1):
            broken.take(number)
        broken.node.load(database.snapshot(highest), database.tables[highest])
        reached = hole.loaded
        perhaps_one_comes()
    users = {user["id"]: json.loads(orjson.dumps(user)) for user in broken.node.core.presence.users("c")}
    for newcomer in newcomers:
        published = [n for n, steps in enumerate(log, 1) for step in steps if step == "publish"]
        assert newcomer.quiet.data == [number for number in published if number > newcomer.begins]
        assert newcomer.shown in (None, users)


def test_messages_behind_the_last_proof_of_a_stream_are_counted_when_they_come_again() -> None:
    """Which of them came before is not known: some were lost."""
    node, counted = CoreNode([[], [], [], [], []]), list[int]()
    node.core.count = lambda decoded: counted.append(decoded.lsn // 256)
    for number in (1, 2, 4):
        node.process(number, message(number))
    node.core.interrupted(other_history=False, whole=3 * 256)
    for number in (2, 3, 4, 5):
        node.process(number, message(number))
    assert counted == [1, 2, 4, 3, 4, 5]
    node.core.interrupted(other_history=True)
    node.core.parted(256, 256)
    node.process(2, message(2))
    assert counted[-1] == 2


@pytest.mark.parametrize("later", [False, True], ids=["closed last", "opened again"])
def test_a_message_from_before_its_room_was_closed_is_not_refused_and_one_from_behind_is_again(later: bool) -> None:
    node = CoreNode([[], [room()], [], [], []])
    closed = room(closed_at=TIME)
    log: list[Changes] = [
        [message(1, xid="1001")],
        [update("channels", room(), closed)],
        [message(3, xid="1003")],
        [update("channels", closed, room())] if later else [],
    ]
    for again in (False, True):
        refused = []
        for number, changes in enumerate(log, 1):
            effects = node.process(number, *changes)
            refused += [row.id for each in effects if isinstance(each, MessagesRefused) for row in each.rows]
        assert "1" not in refused
        assert again or refused == ["3"]
        entries = {entry.xid: (len(entry.messages), len(entry.refused)) for entry in node.core.unrecorded}
        assert entries == {1001: (1, 0), 1003: (0, 1)}
        node.core.interrupted(other_history=False)


def test_what_a_snapshot_does_not_show_and_the_stream_brought_twice_is_taken_once() -> None:
    node = CoreNode([[], [], [], [], []])
    subscriber = node.subscriber(presence={})
    there = present("ann")
    log = [transaction_of(7, insert("presence", **there)), transaction_of(8, delete("presence", **there))]
    node.load(Snapshot(1007, 1007, frozenset(), position=2_000), None, [*log, log[0]])
    assert (node.core.presence.count("c"), subscriber.types) == (0, [])
