"""Presence in the core of channels: who is shown, who leaves and when, and rows that make no sense."""

from __future__ import annotations

import pytest

from engine.channels.core.effects import (
    TableTruncated,
)
from engine.channels.core.messages.model import Member
from engine.channels.core.presence_lists import presence_row
from engine.postgres.snapshot import Snapshot
from tests.support.nodes.core_node import CoreNode, delete, insert, truncate, update
from tests.support.steps import finished
from tests.support.values.changes import transaction_of
from tests.unit.channels.test_channel_core import TIME, present, room

# -- presence ------------------------------------------------------------------------------------------------------


def test_presence_goes_to_the_subscribers_that_asked_for_it_alone_or_in_batches() -> None:
    node = CoreNode([[], [], [], [], []])
    plain, single, whole = node.subscriber(), node.subscriber(presence={}), node.subscriber(presence={}, batches=True)
    early = node.subscriber(presence={}, begun=False)
    node.process(1, insert("presence", **present("ann", metadata='{"name": "Ann"}')))
    node.process(2, *(insert("presence", **present(f"user-{number}")) for number in range(3)))
    assert (plain.events, early.events) == ([], [])
    for subscriber in (single, whole):
        assert [(body["type"], body["user"]["id"], body["count"]) for body in subscriber.bodies] == [
            ("presence:join", "ann", 1),
            ("presence:join", "user-0", 2),
            ("presence:join", "user-1", 3),
            ("presence:join", "user-2", 4),
        ]
    assert (whole.batches, single.bodies[0]["user"]["name"]) == ([3], "Ann")
    assert plain.subscription.presence_json() is None
    assert b'"count":4' in (early.subscription.presence_json() or b"")


def test_a_user_leaves_with_the_last_connection_at_the_time_it_broke() -> None:
    node = CoreNode([[], [], [], [], []])
    subscriber = node.subscriber(presence={})
    one, two = present("ann", "ONE", updated_at=TIME), present("ann", "TWO", state='{"a":1}', updated_at="2026-02")
    node.process(1, insert("presence", **one), insert("presence", **two))
    node.process(2, delete("presence", **one))
    broken = {**two, "left_at": "2026-01-25 09:00:01+00"}
    node.process(3, update("presence", two, broken))
    node.process(4, delete("presence", **broken))
    assert subscriber.types == ["presence:join", "presence:leave"]
    assert (subscriber.bodies[0]["user"]["state"], subscriber.bodies[0]["user"]["lastSeen"]) == ({"a": 1}, None)
    assert subscriber.bodies[1]["user"]["lastSeen"] == "2026-01-25T09:00:01Z"
    assert node.core.presence.json("c") == b'{"users":[],"count":0}'


def test_emptying_the_table_of_presence_lets_everyone_leave() -> None:
    node = CoreNode([[present("ann"), present("bob", channel="d")], [], [], [], []])
    subscribers = [node.subscriber(channel, presence={}) for channel in "cd"]
    effects = node.process(1, truncate("presence"))
    assert [subscriber.types for subscriber in subscribers] == [["presence:leave"], ["presence:leave"]]
    assert effects == [TableTruncated("presence")]
    assert list(node.core.presence.rows()) == []


def test_the_rows_of_presence_can_be_looked_up_by_connection() -> None:
    node = CoreNode([[present("ann")], [], [], [], []])
    presence = node.core.presence
    assert presence.rows_of("ANN", "c", "ann") == presence_row(present("ann"))
    assert presence.rows_of("ANN", "c", "bob") is None
    assert [row.user_id for row in presence.rows()] == ["ann"]
    assert [user["name"] for user in presence.users("c")] == [None]


@pytest.mark.parametrize("metadata", ['{"name": 1}', "[]", '{"name": "' + "\\ud800" + '"}', "[" * 5_000 + "]" * 5_000])
def test_a_name_that_is_no_text_is_no_name(metadata: str) -> None:
    node = CoreNode([[present("ann", metadata=metadata)], [], [], [], []])
    assert [user["name"] for user in node.core.presence.users("c")] == [None]


def test_a_row_of_presence_that_makes_no_sense_is_skipped_and_counted() -> None:
    node = CoreNode([[], [], [], [], []])
    subscriber = node.subscriber(presence={})
    node.process(1, insert("presence", **present("ann")))
    changes = node.core.reader.decode(transaction_of(2, insert("presence", **present("bob"))))
    assert changes.changes[0].new is not None
    del changes.changes[0].new["user_id"]
    changes.changes += node.core.reader.decode(transaction_of(2, insert("presence", **present("eve")))).changes
    finished(node.core._apply(changes, []))
    assert [body["user"]["id"] for body in subscriber.bodies] == ["ann", "eve"]
    assert node.core.reader.faults.count == 1


def test_a_member_without_a_user_is_present_as_its_connection() -> None:
    node = CoreNode([[present("X", "X")], [room("c")], [], [], []])
    subscriber = node.subscriber(member=Member("X"), presence={})
    subscriber.subscription.joined = True
    node.process(1, delete("presence", **present("X", "X")), update("channels", room(), room(closed_at=TIME)))
    assert (subscriber.types, subscriber.subscription.joined) == (["room:closed"], False), (
        "all members go with their room"
    )


def test_what_a_snapshot_and_later_transactions_lead_to_is_compared_with_what_subscribers_have() -> None:
    node = CoreNode([[present("ann"), present("bob")], [], [], [], []])
    subscriber = node.subscriber(presence={})
    later = transaction_of(7, insert("presence", **present("ann", "AGAIN")), insert("presence", **present("eve")))
    node.load(Snapshot(7, 8, frozenset({7}), position=2_000), [[], [], [], [], []], [later])
    assert [(body["type"], body["user"]["id"], body["count"]) for body in subscriber.bodies] == [
        ("presence:leave", "bob", 1),
        ("presence:join", "eve", 2),
    ]
    assert node.core.presence.count("c") == 2


def test_a_snapshot_that_is_older_than_what_subscribers_have_takes_nothing_back() -> None:
    node = CoreNode([[present("ann")], [room("c")], [], [], []])
    subscriber = node.subscriber(presence={})
    changed = room("c", capacity="2")
    changes = [update("channels", room("c"), changed), delete("presence", **present("ann"))]
    node.process(7, *changes, insert("presence", **present("bob")))
    shown = ["room:updated", "presence:leave", "presence:join"]
    assert subscriber.types == shown
    again = transaction_of(7, *changes, insert("presence", **present("bob")))
    node.load(Snapshot(7, 8, frozenset({7}), position=2_000), [[present("ann")], [room("c")], [], [], []], [again])
    assert subscriber.types == shown
    assert [user["id"] for user in node.core.presence.users("c")] == ["bob"]
    assert node.core.rooms.limited("c")
