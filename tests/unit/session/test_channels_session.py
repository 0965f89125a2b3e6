"""What a client may send about channels: bytes in, decisions out."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.channels.core.messages.model import ChannelOptions, Position
from engine.values.exact_json import write_exact
from server.limits.connection_limits import SessionLimits
from server.protocol.client_messages import Publish
from server.session.actions import CancelSubscription, Output, ReadHistory, SubscribeChannel, UpdatePresence
from server.session.session import Session
from server.session.subscriptions import ChannelRequest


def session(**limits: Any) -> Session:
    return Session("c1", SessionLimits(**{"message_rate": 1000, **limits}))


def receive(target: Session, **message: object) -> list[Output]:
    return target.receive(write_exact(message), 0.0)


def answer(outputs: list[Output]) -> dict[str, Any]:
    [output] = outputs
    assert isinstance(output, bytes)
    message: dict[str, Any] = json.loads(output)
    return message


def joining(target: Session, channel: str = "chat:1", **more: object) -> ChannelRequest:
    [output] = receive(target, type="subscribe", channel=channel, **more)
    assert isinstance(output, SubscribeChannel)
    return output.request


def test_a_subscribe_asks_for_the_channel_and_is_answered_when_it_is_open() -> None:
    target = session()
    request = joining(target, history=20)
    assert (request.channel, request.options) == ("chat:1", ChannelOptions(history=20))
    opened = target.joined(request, "0/16B3748", None, "0/16B2000/3", None, epoch="e1")
    assert opened is not None
    assert json.loads(opened) == {
        "type": "subscribed",
        "channel": "chat:1",
        "position": "0/16B3748",
        "epoch": "e1",
        "since": "0/16B2000/3",
    }


def test_presence_and_recovery_come_with_the_answer_and_the_id_is_repeated() -> None:
    target = session()
    request = joining(target, since="0/16B3748/7", presence={"name": "Ada"}, id="s1")
    assert request.options == ChannelOptions(since="0/16B3748/7", presence={"name": "Ada"})
    opened = target.joined(request, "0/16B3790", True, "0/16B3748/7", b'{"users":[],"count":0}', epoch="e1")
    assert opened is not None
    assert json.loads(opened) == {
        "type": "subscribed",
        "channel": "chat:1",
        "id": "s1",
        "position": "0/16B3790",
        "epoch": "e1",
        "recovered": True,
        "since": "0/16B3748/7",
        "presence": {"users": [], "count": 0},
    }


@pytest.mark.parametrize(
    ("channel", "asked", "presence"),
    [
        ("chat:1", {}, None),
        ("chat:1", {"presence": False}, None),
        ("chat:1", {"presence": True}, {}),
        ("presence:room", {}, {}),
        ("presence:room", {"presence": False}, None),
        ("presence:room", {"presence": {"status": "away"}}, {"status": "away"}),
    ],
)
def test_presence_is_on_where_it_is_asked_for_and_in_presence_channels(
    channel: str, asked: dict[str, object], presence: dict[str, object] | None
) -> None:
    assert joining(session(), channel, **asked).options.presence == presence


def test_a_filter_is_handed_on() -> None:
    options = joining(session(), filter={"events": ["a", "b"], "where": [["n", ">", 3]]}).options
    assert (options.events, options.where) == (("a", "b"), (["n", ">", 3],))


@pytest.mark.parametrize(
    "wrong",
    [
        {"history": -1},
        {"history": 1001},
        {"history": "5"},
        {"since": 5},
        {"filter": {"event": ["a"]}},
        {"filter": {"events": "a"}},
        {"filter": {"events": [""]}},
        {"query": {}},
        {"fresh": True},
        {"presence": "yes"},
        {"channel": "a\x00b"},
        {"channel": "a\nb"},
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_opened(wrong: dict[str, object]) -> None:
    target = session()
    assert answer(receive(target, **{"type": "subscribe", "channel": "chat:1", **wrong}))["code"] == "RT_007"
    assert target.subscriptions == 0


def test_an_invalid_name_is_explained() -> None:
    rejected = answer(receive(session(), type="subscribe", channel="a\nb"))
    assert rejected["message"] == "invalid message: channel must be a text without control characters"


@pytest.mark.parametrize("field", ["since", "epoch", "auth"])
def test_a_text_with_nul_is_refused_by_the_name_of_its_field(field: str) -> None:
    wrong = {"since": "0/1/1", "epoch": "e"} | {field: "a\0"}
    rejected = answer(receive(session(), type="subscribe", channel="chat:1", **wrong))
    assert (rejected["code"], rejected["message"].startswith(f"invalid message: {field} must be ")) == ("RT_007", True)


@pytest.mark.parametrize(
    "data",
    [
        {"status": 5},
        {"status": "x" * 65},
        {"name": ["Ada"]},
        {"avatar": "x" * 2049},
        {"typing": "yes"},
        {"metadata": []},
        {"note": "x" * 5000},
        {"note": "a\x00b"},
        {"metadata": {"x": [Decimal("1e131000")] * 9}},
        {"x": Decimal("1e-9000")},
    ],
)
def test_presence_that_cannot_be_is_refused_on_subscribe_and_on_update(data: dict[str, object]) -> None:
    target = session()
    refused = answer(receive(target, type="subscribe", channel="chat:1", presence=data))
    assert (refused["code"], refused["channel"]) == ("RT_009", "chat:1")
    joining(target, presence=True)
    refused = answer(receive(target, type="presence:update", channel="chat:1", data=data, ref="7"))
    assert (refused["code"], refused["channel"], refused["ref"]) == ("RT_009", "chat:1", "7")


@pytest.mark.parametrize("data", [None, 5, "typing", []])
def test_a_presence_update_is_an_object(data: object) -> None:
    target = session()
    joining(target, presence=True)
    assert answer(receive(target, type="presence:update", channel="chat:1", data=data))["code"] == "RT_009"


def test_only_a_present_member_can_update_presence() -> None:
    target = session()
    joining(target)
    assert answer(receive(target, type="presence:update", channel="chat:1", data={}))["code"] == "RT_009"
    request = joining(target, "chat:2", presence=True)
    [output] = receive(target, type="presence:update", channel="chat:2", data={"status": "typing"})
    assert isinstance(output, UpdatePresence)
    assert (output.request, output.data) == (request, {"status": "typing"})
    receive(target, type="unsubscribe", channel="chat:2")
    assert answer(receive(target, type="presence:update", channel="chat:2", data={}))["code"] == "RT_009"


def test_a_message_is_handed_on_with_its_data_as_it_came() -> None:
    data = b'{"n":1.0,"big":12345678901234567890123,"text":"\\u00e9"}'
    [output] = session().receive(b'{"type":"message","channel":"c","event":"e","data":%b,"ref":"1"}' % data, 0.0)
    assert isinstance(output, Publish)
    assert bytes(output.data) == data


@pytest.mark.parametrize(
    "data",
    [b'"\\u0000"', b'{"\\u0000":1}', b"1e400", b'"\\ud800"', b"[" * 70 + b"]" * 70, b"nul", b'"\xff"', b"NaN"],
)
def test_data_that_postgres_cannot_keep_is_refused_before_it_is_stored(data: bytes) -> None:
    refused = answer(session().receive(b'{"type":"message","channel":"c","event":"e","data":%b}' % data, 0.0))
    assert refused["code"] == "RT_007"


def test_a_channel_can_be_subscribed_to_once_per_connection() -> None:
    target = session()
    joining(target, id="a")
    refused = answer(receive(target, type="subscribe", channel="chat:1", id="b"))
    assert (refused["code"], refused["id"]) == ("RT_007", "b")
    outputs = receive(target, type="unsubscribe", channel="chat:1")
    assert isinstance(outputs[0], CancelSubscription)
    assert json.loads(outputs[1]) == {"type": "unsubscribed", "channel": "chat:1", "id": "a"}  # type: ignore[arg-type]
    joining(target, id="b")


def test_channels_and_live_queries_share_the_limit_and_the_ids() -> None:
    target = session(subscriptions=2)
    joining(target, "chat:1", id="a")
    refused = answer(receive(target, type="subscribe", channel="db:collection:m", id="a"))
    assert (refused["code"], refused["channel"]) == ("RT_007", "db:collection:m")
    joining(target, "chat:2")
    assert answer(receive(target, type="subscribe", channel="chat:3"))["code"] == "RT_006"


def test_presence_updates_beyond_their_rate_are_refused_with_the_time_to_wait() -> None:
    target = Session("c1", SessionLimits(presence_rate=2))
    receive(target, type="subscribe", channel="chat:1", presence=True)
    update = json.dumps(
        {"type": "presence:update", "channel": "chat:1", "data": {"status": "away"}, "ref": "p"}
    ).encode()
    outputs = [target.receive(update, 0.0)[0] for _ in range(3)]
    assert [isinstance(output, UpdatePresence) for output in outputs] == [True, True, False]
    assert isinstance(outputs[2], bytes)
    error = json.loads(outputs[2])
    assert (error["code"], error["ref"], error["retryAfter"]) == ("RT_006", "p", 0.5)
    assert isinstance(target.receive(update, 0.5)[0], UpdatePresence)


def test_a_history_is_read_for_an_open_subscription_only() -> None:
    target = session()
    request = joining(target)
    assert receive(target, type="history", channel="chat:1", ref="h") == [ReadHistory(request, None, 50, "h")]
    asked = {"type": "history", "channel": "chat:1", "before": "0/16B3790/42", "limit": 1000}
    assert receive(target, **asked) == [ReadHistory(request, Position(0x16B3790, 42), 1000)]
    assert receive(target, **{**asked, "before": "0/16B3790"}) == [ReadHistory(request, Position(0x16B3790), 1000)]
    receive(target, type="unsubscribe", channel="chat:1")
    refused = answer(receive(target, **asked, ref="h"))
    assert (refused["code"], refused["channel"], refused["ref"]) == ("RT_004", "chat:1", "h")
    assert "subscribe first" in refused["message"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"before": "nonsense"}, "is no position"),
        ({"before": "0/16B3790/x"}, "is no position"),
        ({"before": 5}, "before must be a text or null, not a whole number"),
        ({"limit": 0}, "limit must be a whole number of at least 1"),
        ({"limit": 1001}, "limit must be a whole number of at most 1000"),
        ({"limit": 1.5}, "limit must be a whole number, not a number"),
        ({"after": "0/1"}, "'after' is no field"),
    ],
)
def test_a_history_that_cannot_be_is_refused_with_the_reason(asked: dict[str, object], reason: str) -> None:
    target = session()
    joining(target)
    refused = answer(receive(target, type="history", channel="chat:1", ref="h", **asked))
    assert (refused["type"], refused["code"], refused["ref"]) == ("error", "RT_007", "h")
    assert reason in refused["message"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "message", "channel": "", "event": "e"}, "channel must be a text of at least 1 character"),
        ({"type": "message", "chanl": "a", "event": "e"}, "'chanl' is no field; did you mean channel?"),
        ({"type": "message", "channel": "a"}, "event is missing"),
        (
            {"type": "subscribe", "channel": "a", "filter": {"wheres": []}},
            "filter: 'wheres' is no field; did you mean where?",
        ),
        (
            {
                "type": "subscribe",
                "channel": "a",
                "filter": {"event": []},
            },  # of other messages: not the one that was meant
            "filter: 'event' is no field; did you mean events?",
        ),
        ({"type": "subscribe", "channel": "a", "fresh": 5}, "fresh must be true or false, not a whole number"),
        ({"channel": "a"}, "type is missing"),
    ],
)
def test_a_wrong_message_is_explained_in_our_words(message: dict[str, object], words: str) -> None:
    assert answer(receive(session(), **message))["message"] == f"invalid message: {words}"


def test_a_misspelt_type_is_named_with_the_one_that_is_near() -> None:
    rejected = answer(receive(session(), type="messages"))["message"]
    assert rejected.startswith("invalid message: type must be one of subscribe, unsubscribe, message, ")
    assert rejected.endswith(", not 'messages'; did you mean message?")
