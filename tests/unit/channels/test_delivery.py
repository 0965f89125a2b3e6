"""Each subscriber gets the messages that are for it, in the order of their commits, each once, or its end."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from engine.channels.core.delivery import judging
from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.filters.mutes import Mutes
from engine.channels.core.kicks import Kicks
from engine.channels.core.messages.decode import ControlMessage, MessageRow
from engine.channels.core.messages.model import KickedError, Member, UnavailableError, parse_position
from engine.transaction import Message
from tests.support.nodes.core_node import CoreNode, Subscriber, control, ephemeral, insert, message
from tests.support.steps import finished
from tests.support.values.changes import transaction_of


def past(number: int) -> MessageEvent:
    """A stored message of transaction ``number``."""
    row = MessageRow(
        number * 256, 1, "c", "e", b"%d" % number, None, None, str(number), None, 0, "2026-01-25 09:00:00+00"
    )
    return MessageEvent(row)


def test_messages_of_a_transaction_come_in_the_order_of_their_numbers() -> None:
    node = CoreNode()
    here, there = node.subscriber("c"), node.subscriber("d")
    node.process(1, message(12, "c"), message(10, "d"), message(11, "c"))
    node.process(2, message(9, "c"))
    assert (here.data, there.data) == ([11, 12, 9], [10])
    assert here.bodies[0] == {
        "type": "message",
        "channel": "c",
        "event": "e",
        "data": 11,
        "timestamp": "2026-01-25T09:00:00Z",
        "sender": None,
        "id": "11",
        "position": "0/100/11",
    }
    assert [event.committed_at for event in here.events] == [1_000_000, 1_000_000, 2_000_000]
    assert [event.key for event in here.events] == [(256, 11), (256, 12), (512, 9)]
    assert parse_position(MessageEvent(past(3).row).position) == (768, 1)


def test_messages_without_history_are_numbered_by_their_transaction() -> None:
    node = CoreNode()
    subscriber = node.subscriber()
    node.process(1, ephemeral(data=1), ephemeral(data=2, id="named", sender="ann"))
    first, second = subscriber.bodies
    assert (first["id"], first["position"], first["timestamp"]) == ("100-1", "0/100/1", "1970-01-01T00:00:01Z")
    assert (second["id"], second["position"], second["sender"]) == ("named", "0/100/2", "ann")


def test_messages_and_commands_without_the_key_of_the_stream_are_ignored() -> None:
    node = CoreNode()
    subscriber = node.subscriber()
    node.core.reader.key = "secret"
    assert node.process(1, ephemeral(data=1), ephemeral(data=2, key="guess"), control("kick", channel="c")) == []
    assert node.process(2, ephemeral(data=3, key="secret"), Message("other", b"{}", True)) != []
    assert subscriber.data == [3]


def test_unreadable_rows_are_skipped_and_counted() -> None:
    node = CoreNode()
    subscriber = node.subscriber()
    node.process(1, Message("realtime.message", b"no json", True), message(2), insert("messages", seq="many"))
    assert (subscriber.data, node.core.reader.faults.count) == ([2], 2)


def test_channels_with_messages_of_higher_priority_come_first_each_in_its_own_order() -> None:
    node = CoreNode()
    order: list[tuple[str, int]] = []

    def record(subscriber: Subscriber) -> None:
        order.append((subscriber.subscription.channel, subscriber.data[-1]))

    for channel in "ab":
        subscriber = node.subscriber(channel)
        subscriber.on_event = partial(record, subscriber)
    node.process(1, message(1, "a"), message(2, "b"), message(3, "a"), message(4, "b", priority="5"))
    assert order == [("b", 2), ("b", 4), ("a", 1), ("a", 3)]


# -- filters -------------------------------------------------------------------------------------------------------


def test_filters_choose_by_event_and_payload() -> None:
    node = CoreNode()
    named = node.subscriber(events=("urgent",))
    rich = node.subscriber(where=(["price", ">", 10],))
    both = node.subscriber(events=("urgent",), where=(["price", ">", 10],))
    node.process(1, message(1, data={"price": 20}), message(2, data={"price": 5}, event="urgent"))
    node.process(2, message(3, data={"price": 30}, event="urgent"), message(4, data="text"))
    prices = [[data["price"] for data in subscriber.data] for subscriber in (named, rich, both)]
    assert prices == [[5, 30], [20, 30], [30]]


def test_filters_are_asked_about_large_messages_ahead_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "AT_ONCE", 5_000)
    node = CoreNode()
    subscribers = [node.subscriber(where=(["text", "like", f"%{number}%"],)) for number in range(5)]
    node.subscriber(events=("another",), where=(["text", "like", "%x%"],))
    batches: list[int] = []
    text = "x" * 5_000
    transaction = transaction_of(1, message(1, data={"text": text + "3"}), message(2, data={"text": "3"}))
    finished(node.core.process(transaction), lambda: batches.append(sum(len(each.events) for each in subscribers)))
    assert len(batches) >= 5
    assert not any(batches), "nothing is delivered before all verdicts are there"
    assert [len(each.events) for each in subscribers] == [0, 0, 0, 2, 0]


def test_verdicts_that_would_take_too_much_memory_are_left_to_the_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_MAX_KEPT", 2)
    node = CoreNode()
    subscribers = [node.subscriber(where=(["n", "==", number],)) for number in range(5)]
    node.process(1, message(1, data={"n": 4, "text": "x" * 5_000}))
    assert [len(each.events) for each in subscribers] == [0, 0, 0, 0, 1]


def test_muted_channels_and_events_are_left_to_the_others() -> None:
    node = CoreNode()
    muted, other = node.subscriber(batches=True), node.subscriber(batches=True)
    muted.subscription.mutes = Mutes()
    muted.subscription.mutes.load([{"channel": "c", "event": None, "muted": True}])
    node.process(1, message(1), message(2))
    assert (muted.data, other.data) == ([], [1, 2])


@pytest.mark.parametrize(
    ("audience", "gets"),
    [
        ({}, "ann bob none"),
        ({"users": ["ann"]}, "ann"),
        ({"users": []}, ""),
        ({"users": ["ann"], "connections": ["BOB"]}, "ann bob"),
        ({"connections": ["NONE"]}, "none"),
        ({"exclude": {"users": ["ann"]}}, "bob none"),
        ({"exclude": {"connections": ["BOB", "NONE"]}}, "ann"),
        ({"exclude": {"sender": True}}, "bob none"),
        ({"where": [["level", ">=", 2]]}, "bob"),
        ({"users": ["ann", "bob"], "where": [["level", "<", 2]]}, "ann"),
        ({"where": [["level", "is-null"]]}, "none"),
        ({"where": [["level", "beyond", 1]]}, ""),
        ({"users": "ann"}, ""),
        (["ann"], ""),
    ],
    ids=json.dumps,
)
def test_an_audience_names_who_gets_a_message_and_one_that_cannot_be_read_is_for_no_member(
    audience: object, gets: str
) -> None:
    node = CoreNode()
    members = [Member("ANN", "ann", {"level": 1}), Member("BOB", "bob", {"level": 2}), Member("NONE")]
    subscribers = [node.subscriber(member=member, batches=True) for member in members]
    text = json.dumps(audience)
    node.process(1, message(1, audience=text, sender="ann"), ephemeral(data=1, audience=audience, sender="ann"))
    got = [member.connection_id.lower() for member, each in zip(members, subscribers, strict=True) if each.data]
    assert got == gets.split()
    assert all(each.data in ([], [1, 1]) for each in subscribers)


def test_a_message_from_a_connection_is_not_kept_from_its_users_other_connections() -> None:
    node = CoreNode()
    first, second = (node.subscriber(member=Member(name, "ann")) for name in ("ONE", "TWO"))
    node.process(1, message(1, audience='{"exclude":{"sender":true}}', sender="ann", connection_id="ONE"))
    assert (first.data, second.data) == ([], [1])


# -- batches --------------------------------------------------------------------------------------------------------


def test_the_messages_of_a_transaction_are_delivered_in_blocks_to_who_gets_all_of_them() -> None:
    node = CoreNode()
    whole, single, filtered = (
        node.subscriber(batches=True),
        node.subscriber(),
        node.subscriber(batches=True, events=("e",)),
    )
    node.process(1, *(message(number) for number in range(1, 301)), message(301, data="x" * 70_000), message(302))
    node.process(2, message(303))
    assert whole.batches == [128, 128, 44], "then one larger than a batch, and single ones"
    for subscriber in (whole, single, filtered):
        assert [body["id"] for body in subscriber.bodies] == [str(number) for number in range(1, 304)]
    assert filtered.batches == []


def test_messages_that_history_has_brought_already_are_not_delivered_again() -> None:
    node = CoreNode()
    subscriber = node.subscriber(begun=False, batches=True)
    subscriber.subscription.replay([past(1), past(2), past(2)])
    node.process(2, message(1), message(2))
    subscriber.subscription.begin()
    assert subscriber.data == [1, 2, 2], "the last is number 2 of transaction 2"
    assert [body["position"] for body in subscriber.bodies] == ["0/100/1", "0/200/1", "0/200/2"]


def test_live_messages_are_left_to_the_read_of_the_past_while_that_is_under_way() -> None:
    node = CoreNode()
    subscriber = node.subscriber(begun=False, batches=True)
    subscriber.subscription.waiting = True
    node.process(1, message(1), message(2))
    subscriber.subscription.waiting = False
    subscriber.subscription.replay([past(1)])
    subscriber.subscription.begin()
    node.process(2, message(3), message(4))
    assert [body["position"] for body in subscriber.bodies] == ["0/100/1", "0/200/3", "0/200/4"]


# -- beginning and end ---------------------------------------------------------------------------------------------


def test_messages_wait_in_order_until_the_subscription_begins() -> None:
    node = CoreNode()
    subscriber = node.subscriber(begun=False)
    node.process(1, message(1))
    node.process(2, message(2))
    assert (subscriber.events, subscriber.subscription.position) == ([], "0/200")
    subscriber.subscription.begin()
    subscriber.subscription.begin()
    node.process(3, message(3))
    assert subscriber.data == [1, 2, 3]


def test_a_cancelled_subscription_gets_nothing_and_is_released() -> None:
    node = CoreNode()
    subscriber, waiting = node.subscriber(), node.subscriber(begun=False)
    for each in (subscriber, waiting):
        node.process(1, message(1))
        each.subscription.cancel()
        each.subscription.begin()
    node.process(2, message(2))
    assert (subscriber.data, waiting.data) == ([1], [])
    assert node.released == [subscriber.subscription, waiting.subscription]
    assert (len(node.core.hub), node.core.hub.channels) == (0, [])
    assert not node.core.hub.remove(subscriber.subscription)


@pytest.mark.parametrize("begun", [True, False])
def test_a_subscriber_to_which_delivery_fails_gets_its_end_and_the_others_go_on(begun: bool) -> None:
    node = CoreNode()
    broken, other = node.subscriber(begun=begun), node.subscriber()

    def fail() -> None:
        broken.on_event = lambda: None
        raise RuntimeError("the queue is closed")

    broken.on_event = fail
    node.process(1, message(1), message(2))
    if not begun:
        broken.subscription.begin()
    node.process(2, message(3))
    assert other.data == [1, 2, 3]
    assert isinstance(broken.events[-1].error, UnavailableError)
    assert broken.types == ["message", "error"]
    assert node.released == [broken.subscription]


def test_an_end_that_cannot_be_delivered_harms_no_other_subscriber() -> None:
    node = CoreNode()
    broken, other = node.subscriber(), node.subscriber()

    def fail() -> None:
        raise RuntimeError("the queue is closed")

    broken.on_event = fail
    node.process(1, message(1))
    node.process(2, message(2))
    assert (other.data, node.released) == ([1, 2], [broken.subscription])


@pytest.mark.parametrize(
    ("named", "kicked"),
    [
        ({"user_id": "ann"}, "ONE TWO"),
        ({"connection_id": "TWO"}, "TWO"),
        ({"user_id": "ann", "connection_id": "ONE"}, "ONE"),
        ({"user_id": "bob", "connection_id": "ONE"}, ""),
        ({"user_id": "THREE"}, "THREE"),
        ({}, ""),
        ({"channel": None, "user_id": "ann"}, ""),
        ({"channel": "other", "user_id": "ann"}, ""),
    ],
    ids=json.dumps,
)
def test_a_kick_ends_the_subscriptions_that_it_names(named: dict[str, str | None], kicked: str) -> None:
    node = CoreNode()
    members = [Member("ONE", "ann"), Member("TWO", "ann"), Member("THREE")]
    subscribers = [node.subscriber(member=member) for member in members]
    [effect] = node.process(1, control("kick", **{"channel": "c", "reason": "spam", **named}))
    ended = node.core.hub.kick(effect.message)  # type: ignore[union-attr]
    assert " ".join(subscription.member.connection_id for subscription in ended) == kicked
    for subscriber in subscribers:
        if subscriber.subscription in ended:
            [event] = subscriber.events
            assert isinstance(event.error, KickedError)
            assert subscriber.bodies[0]["message"] == "you were removed from c: spam"
    assert len(node.core.hub.of_connection("ONE")) == 1
    assert [subscription.channel for subscription in node.core.hub] == ["c", "c", "c"], "until the service removes them"


HOUR = 3_600_000_000  # microseconds


def kick_row(id: str, at: int = 0) -> dict[str, Any]:
    return {"id": id, "channel": "c", "user_id": "ann", "reason": None, "at": at}


def test_a_kick_is_carried_out_once_whichever_of_stream_and_table_brings_it_first() -> None:
    kicks = Kicks()
    rows = [kick_row(id) for id in ("1", "2", "3")]
    assert kicks.take(ControlMessage("kick", id="1"))
    assert [each.channel for each in kicks.load(rows)] == ["c", "c"], "the stream has not brought them"
    assert not list(kicks.load(rows))
    assert [kicks.take(ControlMessage("kick", id=id)) for id in ("1", "2", "3", "4")] == [False, False, False, True]
    assert not list(kicks.load(rows)), "the snapshot may not show the last one yet"
    assert not list(kicks.load([*rows, kick_row("4")]))
    assert kicks.take(ControlMessage("kick")), "a version before gives them no id"
    assert kicks.take(ControlMessage("kick"))


def test_a_kick_that_snapshots_show_late_is_not_carried_out_again() -> None:
    """Its commit waits for a standby, so it is in the stream long before it is visible."""
    kicks = Kicks()
    assert kicks.take(ControlMessage("kick", id="1"))
    assert [list(kicks.load(rows)) for rows in ([], [], [kick_row("1")])] == [[], [], []]


def test_kicks_are_forgotten_when_no_snapshot_can_show_them_any_more() -> None:
    kicks = Kicks()
    for hour in range(1000):
        assert kicks.take(ControlMessage("kick", id=f"stream {hour}", committed_at=hour * HOUR))
        assert len(list(kicks.load([kick_row(f"table {hour}", hour * HOUR)]))) == 1
    assert len(kicks) == 2 * 26, "of the last day, the hour that clocks may differ by, and now"
    lasting = [kick_row(f"{whence} {hour}", hour * HOUR) for whence in ("stream", "table") for hour in range(976, 1000)]
    assert not list(kicks.load(lasting))
    assert not kicks.take(ControlMessage("kick", id="stream 976", committed_at=976 * HOUR))
