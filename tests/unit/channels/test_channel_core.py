"""What rows of rooms, routes, presence and connections do as they come by the stream: events, copies, refusals, effects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.channels.core import rooms as rooms_module
from engine.channels.core.effects import (
    ConnectionDeleted,
    ConnectionInserted,
    ControlReceived,
    Effect,
    MessagesDelivered,
    MessagesRefused,
    MutesChanged,
    PresenceChanged,
    TableTruncated,
)
from engine.channels.core.messages.fault_barrier import FaultBarrier
from engine.channels.core.messages.model import ChannelClosedError, UnknownChannelError
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.service import Channels
from engine.feed.decoders.change_log import ChangeLog
from engine.postgres.snapshot import Snapshot
from engine.transaction import Kind, Relation
from tests.support.nodes.core_node import CoreNode, control, delete, insert, message, truncate, update
from tests.support.steps import finished
from tests.support.values.changes import inserted, transaction_of

TIME = "2026-01-25 09:00:00+00"
ALL_SHOWN = Snapshot(1_000, 1_000, frozenset())


def room(name: str = "c", **row: str | None) -> dict[str, str | None]:
    return {"name": name, "metadata": "{}", "history": "t", "created_at": TIME, **row}


def present(user: str, connection: str | None = None, channel: str = "c", **row: str | None) -> dict[str, str | None]:
    return {"channel": channel, "user_id": user, "connection_id": connection or user.upper(), **row}


def rows_of(effects: list[Effect], kind: type[MessagesDelivered] | type[MessagesRefused]) -> list[str]:
    """The ids of the messages in the effects of that kind."""
    return [row.id for effect in effects if isinstance(effect, kind) for row in effect.rows]


# -- rooms ---------------------------------------------------------------------------------------------------------


def test_subscribers_get_events_of_their_room_and_its_end_comes_last() -> None:
    node = CoreNode([[], [], [], [], []])
    here, there = node.subscriber("c"), node.subscriber("d")
    here.subscription.joined = True
    full = room(capacity="5", metadata='{"a": 1}', created_by="ann", updated_at=TIME)
    node.process(1, insert("channels", **room()))
    node.process(2, update("channels", room(), full))
    node.process(3, update("channels", full, full))
    node.process(4, update("channels", full, {**full, "closed_at": TIME}), message(1))
    node.process(5, message(2))
    assert here.types == ["room:created", "room:updated", "message", "room:closed"]
    assert here.bodies[1]["room"] == {
        "name": "c",
        "metadata": {"a": 1},
        "capacity": 5,
        "history": True,
        "createdBy": "ann",
        "createdAt": "2026-01-25T09:00:00Z",
        "updatedAt": "2026-01-25T09:00:00Z",
        "closedAt": None,
    }
    assert [event.committed_at for event in here.events] == [1_000_000, 2_000_000, 4_000_000, 4_000_000]
    assert (there.events, node.released, here.subscription.joined) == ([], [here.subscription], False)


def test_a_room_with_another_name_is_another_room() -> None:
    node = CoreNode([[], [], [], [], []])
    old, new = node.subscriber("c"), node.subscriber("d")
    node.process(1, insert("channels", **room("c")))
    node.process(2, update("channels", room("c"), room("d")))
    node.process(3, delete("channels", **room("d")))
    assert (old.types, new.types) == (["room:created", "room:closed"], ["room:created", "room:closed"])


def test_emptying_the_table_of_rooms_closes_all_open_ones() -> None:
    node = CoreNode([[], [room("c"), room("d", closed_at=TIME)], [], [], []])
    subscribers = [node.subscriber("c"), node.subscriber("d")]
    node.process(1, truncate("channels"))
    assert [subscriber.types for subscriber in subscribers] == [["room:closed"], []]


def test_messages_that_commit_after_their_room_was_closed_are_refused() -> None:
    node = CoreNode([[], [room("c", closed_at=TIME)], [], [], []])
    subscribers = {name: node.subscriber(name) for name in "cd"}
    effects = node.process(1, message(1, "c"), message(2, "d"))
    assert (rows_of(effects, MessagesRefused), rows_of(effects, MessagesDelivered)) == (["1"], ["2"])
    assert (subscribers["c"].data, subscribers["d"].data) == ([], [2])
    effects = node.process(2, update("channels", room(closed_at=TIME), room()), message(3, "c"))
    assert (rows_of(effects, MessagesRefused), subscribers["c"].types) == ([], ["room:created", "message"])


def test_a_channel_can_be_used_if_it_is_an_open_room_or_its_pattern_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms_module, "_MAX_FOUND", 2)
    defaults = [
        {"pattern": "*", "dynamic": "t", "history": "t"},
        {"pattern": "closed:*", "dynamic": "f", "history": "f"},
        {"pattern": "closed:but", "dynamic": "t", "history": "t"},
    ]
    node = CoreNode(
        [[], [room("closed:room", capacity="2", history="f"), room("old", closed_at=TIME)], defaults, [], []]
    )
    rooms = node.core.rooms
    for channel in ("a", "closed:but", "closed:room"):
        rooms.check(channel)
    with pytest.raises(UnknownChannelError, match="there is no channel 'closed:a'"):
        rooms.check("closed:a")
    with pytest.raises(ChannelClosedError):
        rooms.check("old")
    stored = [channel for channel in ("a", "closed:a", "closed:but", "closed:room") if rooms.history(channel)]
    assert stored == ["a", "closed:but"]
    assert [rooms.limited(channel) for channel in ("closed:room", "old", "a")] == [True, False, False]
    node.process(1, delete("channel_defaults", **defaults[2]), insert("channel_defaults", pattern="a", dynamic="f"))
    for channel in ("a", "closed:but"):
        with pytest.raises(UnknownChannelError):
            rooms.check(channel)
    rooms.check("b")
    node.process(2, truncate("channel_defaults"))
    with pytest.raises(UnknownChannelError):
        rooms.check("b")


@pytest.mark.parametrize("order", [1, -1])
def test_the_pattern_that_is_the_name_counts_more_than_one_of_the_same_length_or_longer(order: int) -> None:
    rows = [{"pattern": pattern, "dynamic": "f"} for pattern in ("*", "a:*", "ab*")]
    rows += [{"pattern": pattern, "dynamic": "t"} for pattern in ("x", "a:", "abc")]
    node = CoreNode([[], [], rows[::order], [], []])
    for channel in ("x", "a:", "abc"):
        node.core.rooms.check(channel)
    for channel in ("y", "a:b", "abx"):
        with pytest.raises(UnknownChannelError):
            node.core.rooms.check(channel)


# -- routes --------------------------------------------------------------------------------------------------------


def copies(node: CoreNode, number: int, *changes: Any) -> list[tuple[str, str]]:
    """Which messages of a transaction are to be written to which channels."""
    node.process(number, *changes)
    return [
        (row.id, target) for entry in node.core.unrecorded for row, target in entry.copies if entry.lsn == number * 256
    ]


def test_messages_are_copied_along_the_routes_that_take_them_once_per_target() -> None:
    node = CoreNode([[], [], [], [], []])
    node.process(
        1,
        insert("routes", id="1", from_channel="orders:*", to_channel="all", enabled="t"),
        insert("routes", id="2", from_channel="*", to_channel="all", match='[["data.price", ">", 10]]', enabled="t"),
        insert("routes", id="3", from_channel="orders:1", to_channel="off", enabled="f"),
        insert("routes", id="4", from_channel="*", to_channel="wrong", match='[["a", "beyond", 1]]', enabled="t"),
        insert("routes", id="5", from_channel="*", to_channel="bob", match='[["sender", "==", "bob"]]', enabled="t"),
    )
    assert copies(node, 2, message(1, "orders:1"), message(2, "orders:1", data={"price": 20}), message(3, "other")) == [
        ("1", "all"),
        ("2", "all"),
    ]
    assert copies(node, 3, message(4, "c", sender="bob"), message(5, "all", data={"price": 20})) == [("4", "bob")]
    assert copies(node, 4, message(6, "orders:1", routed_from="c")) == [], "a message is routed once"
    route = {"id": "1", "from_channel": "orders:*", "to_channel": "all", "enabled": "t"}
    node.process(5, update("routes", route, {**route, "to_channel": "elsewhere"}), delete("routes", id="2"))
    assert copies(node, 6, message(7, "orders:1", data={"price": 20})) == [("7", "elsewhere")]
    node.process(7, truncate("routes"))
    assert copies(node, 8, message(8, "orders:1", sender="bob")) == []


def test_a_message_that_a_route_cannot_judge_is_delivered_and_not_copied() -> None:
    node = CoreNode([[], [], [], [], []])
    subscriber = node.subscriber()
    node.process(
        1, insert("routes", id="1", from_channel="*", to_channel="d", match='[["data", "==", 1]]', enabled="t")
    )
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    assert copies(node, 2, message(1, payload=deep), message(2, data=1)) == [("2", "d")]
    assert len(subscriber.events) == 2


def test_messages_delivered_before_the_routes_were_known_are_copied_once_they_are() -> None:
    node = CoreNode()
    node.core.seed([transaction_of(1, message(1, xid="1001")), transaction_of(2, message(2, "d", xid="1002"))])
    node.load(ALL_SHOWN, [[], [], [], [{"id": "1", "from_channel": "c", "to_channel": "e", "enabled": "t"}], []])
    assert [(row.id, to) for entry in node.core.unrecorded for row, to in entry.copies] == [("1", "e")]
    assert node.core.unrecorded.position_of(1002) == 512


# -- effects -------------------------------------------------------------------------------------------------------


def test_rows_of_other_tables_become_effects_in_their_order() -> None:
    node = CoreNode([[], [], [], [], []])
    effects = node.process(
        1,
        insert("connections", id="ONE", node_id="n1"),
        update("connections", {"id": "ONE", "node_id": "n1"}, {"id": "ONE", "node_id": "n2"}),
        delete("connections", id="ONE", node_id="n2"),
        insert("preferences", user_id="ann", channel="c", muted="t"),
        truncate("preferences"),
        insert("settings", name="stream_key", value="x"),
        truncate("connections"),
        control("node-removed", node="n1"),
        message(1),
    )
    first, second, *rest = effects
    assert isinstance(first, MessagesDelivered)
    assert isinstance(second, ControlReceived)
    assert (second.message.command, second.message.node, second.message.committed_at) == (
        "node-removed",
        "n1",
        1_000_000,
    )
    assert [rest[0], rest[1], rest[4]] == [
        ConnectionInserted("ONE", "n1"),
        ConnectionDeleted("ONE"),
        TableTruncated("connections"),
    ]
    mutes = [effect.change for effect in rest if isinstance(effect, MutesChanged)]
    assert [(change.kind, change.row.get("user_id")) for change in mutes] == [
        (Kind.INSERT, "ann"),
        (Kind.TRUNCATE, None),
    ]
    [presence] = node.process(2, insert("presence", **present("ann")))
    assert isinstance(presence, PresenceChanged)
    assert presence.change.row["user_id"] == "ann"


def test_a_message_with_an_invented_transaction_id_is_delivered_without_it() -> None:
    node = CoreNode()
    node.process(1, message(1, xid="99"))
    assert node.core.unrecorded.pending == [], "there is no row whose commit could be recorded"
    node.process(2, message(2, xid=str((5 << 32) + 1_002)))
    [entry] = node.core.unrecorded.pending
    assert (entry.full_xid, node.core.unrecorded.is_pending(entry)) == ((5 << 32) + 1_002, True)
    assert node.core.unrecorded.position_of((5 << 32) + 1_002) == 512
    assert node.core.unrecorded.position_of((4 << 32) + 1_002) is None
    assert node.core.unrecorded.position_of(7) is None
    node.core.unrecorded.keep(512)
    assert [each.lsn for each in node.core.unrecorded] == [256, 512]
    node.core.unrecorded.keep(511)
    assert (len(node.core.unrecorded), node.core.unrecorded.confirmable) == (1, None)
    node.core.unrecorded.keep(0)
    assert (len(node.core.unrecorded), node.core.unrecorded.confirmable) == (0, None)
    assert UnrecordedMessages().confirmable is None


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("short", [False, True])
def test_a_transaction_of_other_tables_is_passed_whether_its_changes_are_looked_at_or_not(
    short: bool, unseen: bool
) -> None:
    other = inserted(Relation(1, "public", "messages", "d", ()), ())
    log = ChangeLog(1 << 20)
    for _ in range(2 if short else 200):
        log.append(lambda _: other, b"")
    node = CoreNode()
    node.load(Snapshot(1_000, 1_000, frozenset(), position=3 * 256 if unseen else 0))
    node.process(1, message(1, xid="1001"))
    passed = replace(transaction_of(2), changes=log)
    assert finished(node.core.process(passed)) == []
    node.process(3, message(3, xid="1003"))
    first, last = node.core.unrecorded.pending
    assert (first.before, last.before, node.core.position) == (0, passed.end, 768)


def test_others_have_a_turn_between_transactions_that_are_gathered() -> None:
    node = CoreNode([[], [], [], [], []])
    listener = node.subscriber()
    channels = cast("Channels", SimpleNamespace(core=node.core, _failures=FaultBarrier(), _carry_out=lambda _: None))
    delivered = [
        len(listener.data) for _ in Channels.process(channels, *(transaction_of(n, message(n)) for n in range(1, 5)))
    ]
    assert [delivered.count(number) > 0 for number in range(1, 5)] == [True] * 4


# -- snapshots -----------------------------------------------------------------------------------------------------


def test_a_snapshot_and_the_transactions_that_it_does_not_show_are_the_state() -> None:
    node = CoreNode()
    tables: list[list[dict[str, Any]]] = [[present("ann")], [room("old")], [], [], []]
    node.load(
        Snapshot(1_001, 1_003, frozenset({1_001})),
        tables,
        [transaction_of(1, insert("presence", **present("bob")), delete("channels", **room("old")))],
    )
    assert [user["id"] for user in node.core.presence.users("c")] == ["ann", "bob"]
    with pytest.raises(UnknownChannelError):
        node.core.rooms.check("old")


def test_row_changes_that_the_snapshot_shows_are_skipped_and_their_messages_are_not() -> None:
    node = CoreNode()
    closed = [room("c", closed_at=TIME)]
    node.load(Snapshot(1_002, 1_003, frozenset(), position=3 * 256), [[present("ann")], closed, [], [], []])
    subscriber = node.subscriber(presence={})
    effects = node.process(1, message(1), insert("presence", **present("ann", state='{"old":1}')))
    assert rows_of(effects, MessagesRefused) == [], "when the room was closed is not known"
    assert subscriber.types == ["message"]
    node.process(3, delete("presence", **present("ann")), message(2))
    assert subscriber.types == ["message", "presence:leave"], "what comes later is applied, and the room is closed"


def test_a_snapshot_that_is_loaded_anew_brings_subscribers_what_has_changed() -> None:
    node = CoreNode([[present("ann"), present("bob")], [room("c"), room("d")], [], [], []])
    kept, ended = node.subscriber("c", presence={}), node.subscriber("d", "eve", presence={})
    ended.subscription.joined = True
    node.load(
        ALL_SHOWN,
        [
            [present("bob", state='{"a":1}'), present("eve"), present("eve", channel="d")],
            [room("c", capacity="2"), room("e")],
            [],
            [],
            [],
        ],
    )
    assert kept.types == ["room:updated", "presence:leave", "presence:update", "presence:join"]
    assert [body["count"] for body in kept.bodies[1:]] == [1, 1, 2]
    assert (ended.types, ended.subscription.joined) == (["room:closed"], True), "its row of presence is still there"
    assert node.released == [ended.subscription]
