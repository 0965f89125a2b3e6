"""The plain objects of the SDK: lists, send queue, pacing, positions, presence, channel and list state."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bunbase import Doc, RealtimeError
from bunbase.core.backoff import full_jitter
from bunbase.core.channel_state import ChannelOptions, ChannelState
from bunbase.core.lists import apply, difference
from bunbase.core.live_state import LiveState
from bunbase.core.pacing import Pacer
from bunbase.core.position import is_later
from bunbase.core.presence import PresenceState
from bunbase.core.send_queue import SendQueue
from bunbase.core.use_count import Use, UseCount
from bunbase.transports import Address
from bunbase.transports.events import EventParser, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st

docs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), unique_by=lambda pair: pair[0], max_size=12).map(
    lambda pairs: [Doc(str(id), {"n": n}) for id, n in pairs]
)


@given(docs, docs)
def test_the_difference_leads_from_one_list_to_the_other_with_one_change_per_document(
    old: list[Doc], new: list[Doc]
) -> None:
    changes = difference(old, new)
    result = list(old)
    apply(result, changes)
    assert result == new
    assert len({change.doc.id for change in changes}) == len(changes)
    for change in changes:
        assert (change.old_index < 0, change.new_index < 0) == (change.type == "added", change.type == "removed")


@given(docs)
def test_equal_lists_have_no_difference(same: list[Doc]) -> None:
    assert difference(same, list(same)) == ()


def test_a_document_that_moves_is_one_change_however_far_it_goes() -> None:
    old: list[Doc] = [Doc(str(n), {}) for n in range(100)]
    [change] = difference(old, [*old[1:], old[0]])
    assert (change.type, change.doc.id, change.old_index, change.new_index) == ("modified", "0", 0, 99)


actions = st.lists(st.sampled_from(["add", "send", "ack", "lose", "refuse"]), max_size=60)


@given(actions, st.randoms(use_true_random=False))
def test_each_connection_sends_the_unanswered_messages_in_order(script: list[str], chance: Any) -> None:
    queue = SendQueue(1000)
    answered: list[Any] = []
    stored: list[int] = []  # what a server that stores an id once has, in its order
    here: list[int] = []  # what this connection has sent and not been answered
    added = 0
    for step in script:
        if step == "add":
            queue.add({"n": added}, answered.append, online=True)
            added += 1
        elif step == "send" and (entry := queue.next()) is not None:
            n = entry.message["n"]
            assert all(n > other for other in here)
            here.append(n)
            if n not in stored:
                stored.append(n)
        elif step == "ack" and here:
            n = here.pop(0)
            assert queue.answered(str(n + 1), {"n": n})
        elif step == "refuse" and here:
            # The rate limit refuses everything that comes after the first refused one, too.
            at = chance.randrange(len(here))
            for n in here[at:]:
                queue.refused(str(n + 1))
            del here[at:]
        elif step == "lose":
            queue.restart()
            here.clear()
    assert stored == list(range(len(stored)))
    assert [answer["n"] for answer in answered] == sorted(answer["n"] for answer in answered)


def test_offline_the_queue_is_limited_and_online_it_is_not() -> None:
    queue = SendQueue(2)
    failed: list[Any] = []
    for _ in range(2):
        queue.add({"channel": "c"}, failed.append, online=False)
    with pytest.raises(RealtimeError) as refused:
        queue.add({"channel": "c"}, failed.append, online=False)
    assert (refused.value.code, refused.value.channel) == ("RT_001", "c")
    queue.add({"channel": "c"}, failed.append, online=True)
    queue.fail(RealtimeError("RT_001", "gone"))
    assert len(failed) == 3
    assert len(queue) == 0


def test_a_message_can_be_withdrawn_until_it_is_sent() -> None:
    queue = SendQueue(10)
    first, second = (queue.add({}, lambda _: None, online=True) for _ in range(2))
    assert queue.next() is first
    assert not queue.withdraw(first)
    assert queue.withdraw(second)
    assert queue.next() is None


@given(
    st.floats(2, 1000),
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 80), st.integers(0, 80)), min_size=1, max_size=80),
)
def test_paced_messages_never_exceed_the_servers_bucket(rate: float, steps: list[tuple[float, int, int]]) -> None:
    pacer, now = Pacer(rate), 0.0
    under_way = waiting_answers = 0
    tokens, at = rate, 0.0
    for pause, arrive, answer in steps:
        now += pause
        while pacer.wait(now) == 0:
            pacer.sent(now)
            under_way += 1
        arriving = min(arrive, under_way)
        under_way -= arriving
        tokens, at = min(rate, tokens + (now - at) * rate) - arriving, now
        assert tokens >= 0, "the server would have refused"
        waiting_answers += arriving
        for _ in range(min(answer, waiting_answers)):
            pacer.answered()
            waiting_answers -= 1


def test_the_pacer_returns_the_wait_and_that_an_answer_must_come_first() -> None:
    pacer = Pacer(100)
    sent = 0
    while pacer.wait(0.0) == 0:
        pacer.sent(0.0)
        sent += 1
    assert pacer.wait(10.0) == math.inf
    for _ in range(sent):
        pacer.answered()
    assert 0 < pacer.wait(0.0) <= 1 / 90
    pacer.block(5.0)
    assert pacer.wait(4.0) == 1.0


def test_positions_are_compared_as_numbers_part_by_part() -> None:
    assert is_later("0/A0/2", "0/9F/10")
    assert is_later("0/A0/10", "0/A0/9")
    assert is_later("10/0", "F/FFFFFFFF/7")
    assert is_later("0/A0/1", "0/A0")
    assert is_later("0/1", None)
    assert not is_later("0/A0/1", "0/A0/1")


@given(st.integers(0, 2000), st.floats(0.01, 10), st.floats(0.01, 60))
def test_waits_are_anywhere_below_a_bound_that_doubles_up_to_the_cap(attempt: int, base: float, cap: float) -> None:
    bound = full_jitter(attempt, base, cap, uniform=lambda low, high: high)
    assert bound <= cap
    assert bound == cap or bound == base * 2.0**attempt
    assert full_jitter(attempt, base, cap, uniform=lambda low, high: low) == 0


def message(n: int, position: str) -> dict[str, Any]:
    return {"type": "message", "channel": "c", "event": "e", "data": n, "id": str(n), "position": position}


def test_a_channel_resumes_from_its_last_message_and_drops_what_it_has_seen() -> None:
    state = ChannelState("c", ChannelOptions())
    assert state.request() == {"type": "subscribe", "channel": "c"}
    state.subscribed({"position": "0/10", "epoch": "x"})
    assert state.request()["since"] == "0/10"
    assert [event for event, _ in state.receive(message(1, "0/20/1"))] == ["message"]
    assert state.receive(message(1, "0/20/1")) == []
    assert state.request() == {"type": "subscribe", "channel": "c", "since": "0/20/1", "epoch": "x"}
    assert state.subscribed({"position": "0/30", "epoch": "x", "recovered": True}) == []
    assert state.receive(message(1, "0/20/1")) == []
    assert [payload.data for _, payload in state.receive(message(2, "0/21/1"))] == [2]


def test_messages_that_have_expired_are_a_gap_and_another_history_begins_anew() -> None:
    state = ChannelState("c", ChannelOptions())
    state.subscribed({"position": "0/10", "epoch": "x"})
    state.receive(message(1, "0/20/1"))
    assert state.subscribed({"position": "0/90", "epoch": "x", "recovered": False}) == [("gap", "0/20/1")]
    assert state.receive(message(1, "0/20/1")) == []
    assert state.subscribed({"position": "0/5", "epoch": "y", "recovered": False}) == [("gap", "0/20/1")]
    assert [payload.data for _, payload in state.receive(message(2, "0/6/1"))] == [2]


def test_presence_is_sent_once_per_real_change() -> None:
    state = PresenceState()
    ada, bob = {"id": "ada", "name": "Ada"}, {"id": "bob"}
    assert state.replace({"users": [ada]}, first=True) == []
    assert [event for event, _ in state.receive({"type": "presence:join", "user": bob})] == ["presence:join"]
    assert state.receive({"type": "presence:join", "user": bob}) == []
    away = {**bob, "state": {"status": "away"}}
    assert [event for event, _ in state.receive({"type": "presence:update", "user": away})] == ["presence:update"]
    assert state.current.count == 2
    events = state.replace({"users": [away, {"id": "cy"}]}, first=False)
    assert [(event, user.id) for event, user in events] == [("presence:leave", "ada"), ("presence:join", "cy")]
    assert state.receive({"type": "presence:leave", "user": ada}) == []


def snapshot(position: str, reset: bool, *changes: tuple[str, str, int, int]) -> dict[str, Any]:
    listed = [
        {"type": kind, "doc": {"id": id, "data": {"id": id}}, "oldIndex": old, "newIndex": new}
        for kind, id, old, new in changes
    ]
    return {"type": "snapshot", "position": position, "reset": reset, "changes": listed}


def live() -> LiveState:
    state = LiveState("q", "db:collection:c", {})
    state.subscribed({"epoch": "x", "strategy": "incremental"})
    first = state.receive(snapshot("0/10", True, ("added", "a", -1, 0), ("added", "b", -1, 1)))
    assert first is not None
    assert [doc.id for doc in first.docs] == ["a", "b"]
    assert state.request()["since"] == "0/10"
    return state


def test_a_list_that_was_not_recovered_shows_only_what_really_changed() -> None:
    state = live()
    state.subscribed({"epoch": "x", "recovered": False})
    shown = state.receive(snapshot("0/20", True, ("added", "b", -1, 0), ("added", "c", -1, 1)))
    assert shown is not None
    assert [(change.type, change.doc.id) for change in shown.changes] == [("removed", "a"), ("added", "c")]
    state.subscribed({"epoch": "x", "recovered": False})
    assert state.receive(snapshot("0/20", True, ("added", "b", -1, 0), ("added", "c", -1, 1))) is None


def test_a_recovered_list_goes_on_with_differences() -> None:
    state = live()
    state.subscribed({"epoch": "x", "recovered": True})
    shown = state.receive(snapshot("0/20", False, ("removed", "a", 0, -1)))
    assert shown is not None
    assert [doc.id for doc in shown.docs] == ["b"]


def test_a_list_is_not_resumed_in_the_epoch_of_an_answer_whose_list_did_not_come() -> None:
    state = live()
    state.subscribed({"epoch": "other", "recovered": False})  # and the connection breaks
    assert "since" not in state.request()
    state.subscribed({"epoch": "other"})
    shown = state.receive(snapshot("0/20", True, ("added", "b", -1, 0)))
    assert shown is not None
    assert [doc.id for doc in shown.docs] == ["b"]
    assert (state.request()["since"], state.request()["epoch"]) == ("0/20", "other")


def test_a_list_that_moves_to_another_connection_waits_until_that_has_caught_up() -> None:
    state = live()
    base = state.base()
    state.receive(snapshot("0/30", False, ("added", "c", -1, 2)))
    state.subscribed({"epoch": "x", "recovered": True}, base)
    assert state.behind
    state.receive(snapshot("0/25", False, ("removed", "a", 0, -1)), quiet=True)
    assert state.behind
    shown = state.receive(snapshot("0/30", False, ("added", "c", -1, 1)))
    assert shown is not None
    assert [(change.type, change.doc.id) for change in shown.changes] == [("removed", "a")]
    assert not state.behind


def test_a_list_goes_on_from_what_was_asked_with_although_the_other_connection_began_anew() -> None:
    state = live()
    base = state.base()
    state.subscribed({"epoch": "other", "recovered": False})
    state.receive(snapshot("0/30", True, ("added", "c", -1, 0)))
    state.subscribed({"epoch": "x", "recovered": True}, base)
    shown = state.receive(snapshot("0/40", False, ("removed", "a", 0, -1)))
    assert shown is not None
    assert [doc.id for doc in shown.docs] == ["b"]
    assert (state.request()["since"], state.request()["epoch"]) == ("0/40", "x")


def test_a_stream_of_events_may_be_cut_anywhere() -> None:
    text = b'retry: 1\n\n: ping\n\nevent: message\r\ndata: {"a":\ndata: \xc3\xa4}\nid: 0/1\n\n'
    text += b"event: pong\ndata: {}\n\nid: 0/2\n\n"
    expected = [ServerSentEvent("message", '{"a":\nä}'), ServerSentEvent("pong", "{}")]
    for size in range(1, len(text) + 1):
        parser = EventParser()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [event for piece in pieces for event in parser.feed(piece)] == expected


@pytest.mark.parametrize("url", ["http://h:1", "ws://h:1/realtime", "http://h:1/realtime/", "ws://h:1/"])
def test_a_server_is_named_by_any_of_its_addresses(url: str) -> None:
    address = Address(url, {"user": "a&b"})
    assert (address.http, address.websocket) == ("http://h:1/realtime", "ws://h:1/realtime?user=a%26b")


def test_conflation_is_asked_for_with_each_subscribe() -> None:
    state = ChannelState("c", ChannelOptions(conflate={"key": "id", "ms": 100}))
    assert state.request()["conflate"] == {"key": "id", "ms": 100}
    assert "conflate" not in ChannelState("c", ChannelOptions()).request()


def test_an_annotation_is_asked_for_and_shown_only_with_the_changes_of_its_transaction() -> None:
    state = LiveState("q", "db:collection:c", {}, {"meta": True})
    assert state.request()["meta"] is True
    assert "meta" not in LiveState("q", "db:collection:c", {}).request()
    state.subscribed({"epoch": "x"})
    state.receive(snapshot("0/10", True, ("added", "a", -1, 0)))
    shown = state.receive(snapshot("0/20", False, ("added", "b", -1, 1)) | {"meta": {"user": "ada"}})
    assert shown is not None
    assert shown.meta == {"user": "ada"}
    state.subscribed({"epoch": "x", "recovered": False})  # from here on it is the difference to another list
    state.receive(snapshot("0/30", True, ("added", "a", -1, 0)), quiet=True)
    state.receive(snapshot("0/40", False, ("removed", "a", 0, -1)) | {"meta": {"user": "bob"}}, quiet=True)
    shown = state.catch_up()
    assert shown is not None
    assert shown.meta is None
    channel = ChannelState("c", ChannelOptions(meta=True))
    assert channel.request() == {"type": "subscribe", "channel": "c", "meta": True}
    channel.subscribed({"epoch": "x", "position": "0/10"})
    [(_, message)] = channel.receive(
        {"type": "message", "channel": "c", "event": "e", "id": "1", "meta": {"user": "ada"}}
    )
    assert message.meta == {"user": "ada"}


def test_a_snapshot_has_how_the_server_keeps_the_query() -> None:
    state = LiveState("q1", "db:collection:c", {})
    state.subscribed({"epoch": "e", "strategy": "re-read", "reason": "it has a limit without an order"})
    shown = state.receive({"reset": True, "changes": [], "position": "0/1"})
    assert shown is not None
    assert (shown.strategy, shown.reason) == ("re-read", "it has a limit without an order")
    state.subscribed({"epoch": "e", "strategy": "incremental"})
    assert (state.strategy, state.reason) == ("incremental", None)


def test_a_use_is_taken_back_also_where_its_subscription_has_ended_meanwhile() -> None:
    uses = UseCount()
    one, other, third, fourth = (Use() for _ in range(4))
    assert [uses.begin(one), uses.begin(other)] == [True, True]
    uses.end(refused=False)
    assert not uses.withdraw(one)
    uses.end(refused=True)  # which nothing used
    assert uses.begin(third)
    assert [uses.leave(), uses.leave()] == [False, True]  # of the first subscription, and of the third
    uses.end(refused=True)
    assert [uses.withdraw(third), uses.begin(fourth), uses.leave()] == [False, True, True]
