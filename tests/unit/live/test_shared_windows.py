"""Queries under policies whose conditions have come to the same: they show one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from engine.identity.visibility import Visibility
from engine.live.core import result_set
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.snapshot import Snapshot
from engine.postgres.statements.statement import RoleReading
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.rule import Rule, Shown
from engine.query.ir.model import Compare
from engine.query.planner import reread_instead
from tests.support.values.changes import deleted, inserted
from tests.support.values.message_stream import MESSAGES
from tests.unit.live.test_dispatcher import ALL_SHOWN, RELATION, Live, key, new

MEMBERS = 99
SEEN = replace(MESSAGES, readable=frozenset(column.attnum for column in MESSAGES.columns), base=MESSAGES)


class Team(Live):
    """Each user sees the rooms that it is a member of, as read together with the rows: ``facts``."""

    def __init__(self, spare_rows: int = 10) -> None:
        super().__init__(spare_rows=spare_rows)
        self.events: dict[LiveQuery, list[WindowEvent]] = {}

    def join(
        self, user: str, room: str, rows: Sequence[int] = (), snapshot: Snapshot = ALL_SHOWN, **spec: object
    ) -> LiveQuery:
        everything = compile_incremental(parse_query({"orderBy": ["id"], **spec}, MESSAGES), SEEN)
        assert isinstance(everything, IncrementalPlan)
        otherwise = replace(reread_instead(everything, "policies"), dependencies=frozenset({MESSAGES.oid, MEMBERS}))
        rule = Rule(
            RoleReading("people", "request.jwt.claims", user),
            lambda facts: Shown(Compare("room_id", "==", (facts,), "text")),
            frozenset({MEMBERS}),
            calls=False,
            otherwise=otherwise,
        )
        plan = replace(everything, rule=rule, visibility=Visibility("people", user.encode()))
        query = LiveQuery(plan.visibility, plan.key, "messages", {"room": room})
        query.plan = plan
        self.lists[query], self.events[query] = [], []
        assert self.read(query, room, rows, snapshot)
        subscription = Subscription(query, self._deliver, self.dispatcher, lambda _: None)
        query.subscriptions[subscription] = None
        subscription.begin()
        return query

    def read(self, query: LiveQuery, room: str, rows: Sequence[int], snapshot: Snapshot = ALL_SHOWN) -> bool:
        """The query was read: the user is a member of ``room``."""
        plan = query.plan
        assert isinstance(plan, IncrementalPlan)
        query.plan = plan.given(room)
        query.spec = {"room": room}
        done = self.hand_over(query, rows, snapshot)
        query.plan = plan
        return done

    def _deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        super()._deliver(subscription, event)
        self.events[subscription.query].append(event)


def shows(shown: int, position: int = 0) -> Snapshot:
    """A snapshot that shows transactions up to number ``shown``, and ends at that position."""
    return Snapshot(1_000 + shown + 1, 1_000 + shown + 1, frozenset(), position=position)


def test_members_of_a_team_have_one_window_and_one_event() -> None:
    team = Team()
    ann, bob, eve = team.join("ann", "a", [1]), team.join("bob", "a", [1]), team.join("eve", "b")
    assert ann.window is bob.window
    assert ann.window is not eve.window
    team.process(1, new(2), new(3, "b"))
    assert (team.ids(ann), team.ids(bob), team.ids(eve)) == ([1, 2], [1, 2], [3])
    assert team.events[ann][-1] is team.events[bob][-1]


def test_the_documents_of_a_window_are_examined_once_for_all_queries_that_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team = Team()
    members = [team.join(user, "a", [1]) for user in ("ann", "bob", "eve")]
    examined: list[int] = []

    def too_deep_field(doc: bytes) -> None:
        examined.append(len(doc))

    monkeypatch.setattr(result_set, "too_deep_field", too_deep_field)
    team.process(1, *(new(number) for number in range(2, 12)))
    assert [team.ids(member) for member in members] == [list(range(1, 12))] * 3
    assert len(examined) == 10


def test_a_window_that_was_read_ahead_of_the_stream_is_of_its_own_until_the_stream_is_there() -> None:
    team = Team()
    ann = team.join("ann", "a", [1])
    bob = team.join("bob", "a", [1, 2], shows(1, 2 * 256))
    assert ann.window is not bob.window
    assert (team.ids(ann), team.ids(bob)) == ([1], [1, 2])
    team.process(1, new(2))
    assert (team.ids(ann), team.ids(bob)) == ([1, 2], [1, 2])
    team.process(2, new(3))
    assert ann.window is bob.window
    assert (team.ids(ann), team.ids(bob)) == ([1, 2, 3], [1, 2, 3])
    assert len(team.dispatcher._owners) == 1


def test_who_leaves_a_shared_window_keeps_its_list_and_the_others_go_on() -> None:
    team = Team()
    ann, bob = team.join("ann", "a", [1]), team.join("bob", "a", [1])
    team.dispatcher.forget(ann)
    team.process(1, new(2))
    assert [identifier for identifier, _ in ann.delivered().documents] == ["1"]
    assert team.ids(bob) == [1, 2]
    team.dispatcher.forget(bob)
    assert not team.dispatcher._owners
    assert not team.dispatcher._tables


def test_a_changed_membership_takes_the_window_away_from_all_and_each_gets_what_it_sees_then() -> None:
    team = Team()
    ann, bob = team.join("ann", "a", [1]), team.join("bob", "a", [1])
    members = msgspec.structs.replace(RELATION, oid=MEMBERS, name="members")
    outcome = team.process(1, inserted(members, key(1)), new(2))
    assert outcome.refresh == {ann, bob}
    assert (team.ids(ann), team.ids(bob)) == ([1], [1]), "nothing of the commit before they have been read again"
    assert team.read(ann, "a", [1, 2], shows(1))
    assert team.read(bob, "b", [], shows(1))
    assert ann.window is not bob.window
    team.process(2, new(3))
    assert [identifier for identifier, _ in ann.current().documents] == ["1", "2", "3"]
    assert bob.current().documents == []


def test_a_shared_window_that_runs_out_of_rows_is_read_once_for_all() -> None:
    team = Team(spare_rows=4)
    rows = list(range(10, 16))
    ann, bob = team.join("ann", "a", rows, limit=2), team.join("bob", "a", rows, limit=2)
    window = ann.window
    assert bob.window is window
    outcome = team.process(1, *(deleted(RELATION, key(number)) for number in (10, 11, 12, 13)))
    assert outcome.refresh == {ann}
    assert team.read(ann, "a", [14, 15, 16, 17, 18, 19])
    assert ann.window is bob.window is not window
    team.process(2, deleted(RELATION, key(14)))
    assert (team.ids(ann)[-2:], team.ids(bob)[-2:]) == ([15, 16], [15, 16])
