"""The session as a state machine: bytes in, frames out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidQueryError
from server.limits.connection_limits import SessionLimits
from server.protocol.client_messages import Publish, RequestReference
from server.protocol.close_codes import CloseCode
from server.session.actions import (
    Authenticate,
    CancelSubscription,
    Close,
    Output,
    SubscribeChannel,
    SubscribeQuery,
    UpdatePresence,
)
from server.session.session import Session
from server.session.subscriptions import LiveRequest, Request

LIMITS = SessionLimits(subscriptions=3, message_rate=5, message_size=2048)


def session(limits: SessionLimits = LIMITS) -> Session:
    return Session("c1", limits)


def frames(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(output) for output in outputs if isinstance(output, bytes)]


def receive(target: Session, message: object, now: float = 0.0) -> list[Output]:
    return target.receive(json.dumps(message).encode(), now)


def opened(target: Session, id: str | None = None, channel: str = "db:collection:messages") -> LiveRequest:
    message = {"type": "subscribe", "channel": channel} | ({"id": id} if id else {})
    [output] = receive(target, message)
    assert isinstance(output, SubscribeQuery)
    return output.request


def test_the_first_message_carries_the_connection_id_and_the_limits() -> None:
    assert json.loads(session().begin()) == {
        "type": "connected",
        "connectionId": "c1",
        "pingInterval": 25_000,
        "limits": {"messagesPerSecond": 5, "messageSize": 2048, "subscriptions": 3, "presencePerSecond": 10},
    }


def test_a_subscribe_asks_for_the_live_query_and_is_answered_when_it_is_open() -> None:
    target = session()
    query = {"where": [["roomId", "==", "r1"]], "limit": 5}
    [output] = receive(target, {"type": "subscribe", "channel": "db:collection:messages", "id": "q1", "query": query})
    assert isinstance(output, SubscribeQuery)
    assert (output.request.collection, output.request.query) == ("messages", query)
    answer = target.accepted(output.request, 0x16B3748, "incremental", None, epoch="e1")
    assert answer is not None
    assert json.loads(answer) == {
        "type": "subscribed",
        "channel": "db:collection:messages",
        "id": "q1",
        "position": "0/16B3748",
        "strategy": "incremental",
        "epoch": "e1",
    }


def test_the_reason_for_re_reading_is_reported() -> None:
    target = session()
    answer = target.accepted(opened(target), 1, "re-read", "it has a join", epoch="e1")
    assert answer is not None
    assert json.loads(answer)["reason"] == "it has a join"


def test_the_channel_is_the_id_when_none_is_given() -> None:
    assert opened(session()).id == "db:collection:messages"


def test_a_refused_query_is_answered_once_and_its_id_is_free_again() -> None:
    target = session()
    request = opened(target, "q1")
    answer = target.rejected(request, InvalidQueryError("unknown field x"))
    assert answer is not None
    assert json.loads(answer) == {
        "type": "error",
        "code": "RT_007",
        "message": "unknown field x",
        "channel": "db:collection:messages",
        "id": "q1",
    }
    assert target.rejected(request, InvalidQueryError("again")) is None
    assert opened(target, "q1") is not request


def test_unsubscribing_cancels_and_confirms() -> None:
    target = session()
    request = opened(target, "q1")
    target.accepted(request, 1, "incremental", None, epoch="e1")
    outputs = receive(target, {"type": "unsubscribe", "channel": "db:collection:messages", "id": "q1"})
    assert outputs[0] == CancelSubscription(request)
    assert frames(outputs) == [{"type": "unsubscribed", "channel": "db:collection:messages", "id": "q1"}]
    assert target.subscriptions == 0


def test_unsubscribing_before_the_query_is_open_leaves_nothing_behind() -> None:
    target = session()
    request = opened(target, "q1")
    receive(target, {"type": "unsubscribe", "channel": "db:collection:messages", "id": "q1"})
    again = opened(target, "q1")
    assert target.accepted(request, 1, "incremental", None, epoch="e1") is None
    assert target.accepted(again, 1, "incremental", None, epoch="e1") is not None


@pytest.mark.parametrize("id", ["q2", None])
def test_unsubscribing_what_is_not_subscribed_is_an_error(id: str | None) -> None:
    target = session()
    opened(target, "q1")
    message = {"type": "unsubscribe", "channel": "db:collection:messages"} | ({"id": id} if id else {})
    [answer] = frames(receive(target, message))
    assert (answer["code"], answer.get("id")) == ("RT_004", id)


def test_an_id_in_use_is_refused_and_the_first_subscription_stays() -> None:
    target = session()
    request = opened(target, "q1")
    [answer] = frames(receive(target, {"type": "subscribe", "channel": "db:collection:others", "id": "q1"}))
    assert (answer["code"], answer["id"], answer["channel"]) == ("RT_007", "q1", "db:collection:others")
    assert target.accepted(request, 1, "incremental", None, epoch="e1") is not None


def test_too_many_subscriptions_are_refused() -> None:
    target = session()
    for number in range(3):
        opened(target, f"q{number}")
    [answer] = frames(receive(target, {"type": "subscribe", "channel": "db:collection:messages", "id": "q4"}))
    assert (answer["code"], answer["id"]) == ("RT_006", "q4")


@pytest.mark.parametrize(
    ("message", "code", "named"),
    [
        ({"type": "subscribe", "channel": "db:collection:m", "history": 5}, "RT_007", {"channel": "db:collection:m"}),
        (
            {"type": "subscribe", "channel": "db:collection:m", "presence": True},
            "RT_007",
            {"channel": "db:collection:m"},
        ),
        ({"type": "subscribe", "channel": "db:collection:m", "filter": {}}, "RT_007", {"channel": "db:collection:m"}),
        (
            {"type": "subscribe", "channel": "chat:1", "query": {}, "id": "x"},
            "RT_007",
            {"channel": "chat:1", "id": "x"},
        ),
    ],
)
def test_an_unsupported_request_is_an_error(message: dict[str, Any], code: str, named: dict[str, str]) -> None:
    [answer] = frames(receive(session(), message))
    assert (answer.pop("type"), answer.pop("code"), bool(answer.pop("message"))) == ("error", code, True)
    assert answer == named


@pytest.mark.parametrize("channel", ["chat:1", "db:collection:m"])
def test_a_subscription_that_brings_a_token_waits_for_its_verification(channel: str) -> None:
    target = session()
    [action] = receive(target, {"type": "subscribe", "channel": channel, "id": "q", "auth": "a-token"})
    assert isinstance(action, Authenticate)
    assert (action.token, action.about) == ("a-token", RequestReference(channel=channel, id="q"))
    assert "a-token" not in repr(action)
    assert target.subscriptions == 0
    [begun] = target.subscribe(action)
    assert isinstance(begun, SubscribeChannel | SubscribeQuery)
    assert target.subscriptions == 1


def test_a_new_token_is_to_be_verified() -> None:
    assert receive(session(), {"type": "auth", "token": "a-token", "ref": "1"}) == [
        Authenticate("a-token", RequestReference(ref="1"))
    ]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", {}),
        (b"{", {}),
        (b"[]", {}),
        (b"null", {}),
        (b'{"type":"ping"} x', {}),
        (b'\xef\xbb\xbf{"type":"ping"}', {}),
        (b'{"type":"ping","extra":1}', {}),
        (b'{"type":"what","id":"q","channel":"c","ref":"r"}', {"id": "q", "channel": "c", "ref": "r"}),
        (b'{"type":1,"id":"q"}', {"id": "q"}),
        (b'{"id":"q"}', {"id": "q"}),
        (b'{"type":"subscribe","channel":5,"id":"q"}', {"id": "q"}),
        (b'{"type":"subscribe","channel":"","id":"q"}', {"id": "q"}),
        (b'{"type":"subscribe","id":"q"}', {"id": "q"}),
        (b'{"type":"subscribe","channel":"db:collection:m","id":null}', {"channel": "db:collection:m"}),
        (b'{"type":"subscribe","channel":"db:collection:m","id":7}', {"channel": "db:collection:m"}),
        (b'{"type":"subscribe","channel":"db:collection:m","query":[]}', {"channel": "db:collection:m"}),
        (b'{"type":"subscribe","channel":"db:collection:m","limit":1}', {"channel": "db:collection:m"}),
        (b'{"type":"subscribe","channel":"c","query":{"a":NaN}}', {}),
        (b'{"type":"subscribe","channel":"c","query":{"a":1e999}}', {"channel": "c"}),
        (b'{"type":"subscribe","channel":"c","query":{"a":' + b"9" * 1900 + b"}}", None),
        (b'{"type":"subscribe","channel":"c","query":{"a":' + b"[" * 900 + b"]" * 900 + b"}}", {"channel": "c"}),
        (b'{"type":"subscribe","channel":"c\xff"}', {}),
        (b'{"type":"subscribe","channel":"\\ud800"}', {}),
        (b'{"type":"subscribe","channel":"' + b"x" * 256 + b'","id":"q"}', {"id": "q"}),
    ],
)
def test_a_broken_message_is_refused_with_what_can_be_read_of_its_names(
    data: bytes, named: dict[str, str] | None
) -> None:
    [answer] = frames(session().receive(data, 0.0))
    assert answer["type"] == "error"
    if named is not None:
        assert answer["code"] in ("RT_007", "RT_004")
        assert {key: answer[key] for key in ("channel", "id", "ref") if key in answer} == named


def test_a_query_nested_beyond_reason_is_refused() -> None:
    where: object = ["a", "==", 1]
    for _ in range(70):
        where = {"not": where}
    message = {"type": "subscribe", "channel": "db:collection:m", "id": "q", "query": {"where": where}}
    [answer] = frames(receive(session(), message))
    assert (answer["code"], answer["id"]) == ("RT_007", "q")


def test_binary_messages_are_refused() -> None:
    [answer] = frames(session().receive_binary(0.0))
    assert answer["code"] == "RT_007"


def test_the_error_of_a_message_that_is_too_large_names_it() -> None:
    data = b'{"type":"message","channel":"c","event":"e","data":"' + b"x" * 200_000 + b'","ref":"7"}'
    [error] = frames(session().receive_oversized(0.0, data))
    assert (error["code"], error["channel"], error["ref"]) == ("RT_005", "c", "7")


def test_a_message_that_is_too_large_is_refused() -> None:
    data = b'{"type":"ping"' + b" " * 2048 + b"}"
    assert [frame["code"] for frame in frames(session().receive(data, 0.0))] == ["RT_005"]


def test_ping_is_answered() -> None:
    assert frames(receive(session(), {"type": "ping"})) == [{"type": "pong"}]


def test_more_messages_than_allowed_are_refused_until_time_has_passed() -> None:
    target = session()
    codes = [frames(receive(target, {"type": "ping"}))[0].get("code") for _ in range(7)]
    assert codes == [None] * 5 + ["RT_006"] * 2
    refused = frames(receive(target, {"type": "subscribe", "channel": "db:collection:m", "id": "q"}))
    assert (refused[0]["code"], refused[0]["id"]) == ("RT_006", "q")
    assert frames(receive(target, {"type": "ping"}, now=0.2)) == [{"type": "pong"}]


def test_a_flood_ends_the_connection() -> None:
    target = session()
    outputs = [receive(target, {"type": "ping"}) for _ in range(56)]
    assert outputs[-2] != [Close(CloseCode.POLICY_VIOLATION, "too many messages")]
    assert outputs[-1] == [Close(CloseCode.POLICY_VIOLATION, "too many messages")]


def test_the_end_of_a_connection_gives_back_every_open_request() -> None:
    target = session()
    first, second = opened(target, "q1"), opened(target, "q2")
    assert target.finish() == [first, second]
    assert target.accepted(first, 1, "incremental", None, epoch="e1") is None
    assert target.rejected(second, InvalidQueryError("late")) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=10,
)
almost_messages = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["subscribe", "unsubscribe", "message", "auth", "ping", "presence:update"])
        | json_values,
        "channel": st.sampled_from(["db:collection:a", "db:collection:b", "chat:1"]) | json_values,
        "id": st.sampled_from(["a", "b"]) | json_values,
        "ref": json_values,
        "query": json_values,
        "data": json_values,
        "presence": json_values,
        "filter": json_values,
        "token": json_values,
        "event": json_values,
    },
)
garbage = st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
inputs = garbage | almost_messages.map(lambda message: json.dumps(message).encode())


@given(st.lists(inputs, max_size=20))
def test_any_input_is_answered_by_valid_frames_and_never_raises(messages: list[bytes]) -> None:
    target = session(SessionLimits(subscriptions=2, message_rate=1000))
    open_requests: set[Request] = set()
    for data in messages:
        outputs = target.receive(data, 0.0)
        assert outputs
        for output in outputs:
            match output:
                case bytes():
                    assert json.loads(output.decode())["type"] in ("error", "pong", "unsubscribed")
                case SubscribeQuery(request) | SubscribeChannel(request):
                    open_requests.add(request)
                case CancelSubscription(request):
                    open_requests.remove(request)
                case UpdatePresence(request):
                    assert request in open_requests
                case Publish(data=sent):
                    json.loads(bytes(sent))
        assert target.subscriptions == len(open_requests) <= 2
