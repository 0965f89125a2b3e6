"""Arguments that would be dropped without a word are refused, or logged, where they are given."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from bunbase import Realtime, SyncRealtime

from tests.unit.sdk_python.test_channel_handles import made

URL = "http://localhost:8410"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("reconnect", "no", "bool is expected, not str"),
        ("reconnect_delay", "1", "int or float is expected, not str"),
        ("queue_limit", True, "int or float is expected, not bool"),
        ("user", 5, "str is expected, not int"),
        ("attributes", "x", "Mapping is expected, not str"),
        ("parameters", ["x"], "Mapping is expected, not list"),
        ("headers", "x", "Mapping is expected, not str"),
        ("token", 5, "str is expected, not int"),
        ("get_token", "x", "a function is expected, not str"),
    ],
)
def test_an_option_of_another_type_is_refused(option: str, value: Any, expected: str) -> None:
    with pytest.raises(TypeError, match=f"^{option}: {expected}$"):
        Realtime(URL, **{option: value})


def test_none_and_infinity_are_options() -> None:
    Realtime(URL, user=None, attributes=None, token=None, max_reconnect_attempts=math.inf, queue_limit=0)


def test_a_key_that_is_not_sent_is_logged_without_the_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUNBASE_REALTIME_KEY", "sk_of_the_environment")  # which may be for the REST API
    for given in (None, "pk_1"):
        Realtime(URL, api_key=given)
    assert caplog.records == []
    for key in ("your-api-key", "sk_secret"):
        caplog.clear()
        assert "apikey" not in Realtime(URL, api_key=key)._address.parameters
        [record] = caplog.records
        assert (record.name, record.levelno) == ("bunbase", logging.WARNING)
        assert (
            record.getMessage() == "api_key: only a publishable key (pk_) is sent; make one with `realtime keys create`"
        )


async def test_a_listener_that_is_no_function_is_refused_where_it_is_added() -> None:
    _, channel = made()
    wrong: Any = "x"
    for emitter in (channel, Realtime(URL)):
        with pytest.raises(TypeError, match=r"^error: a function is expected, not str$"):
            emitter.on("error", wrong)


async def test_a_wrong_overflow_or_buffer_of_an_iterator_is_refused() -> None:
    _, channel = made()
    wrong: Any = "drop"
    with pytest.raises(ValueError, match="overflow: 'drop'; known are error, drop-oldest"):
        channel.messages(overflow=wrong)
    with pytest.raises(ValueError, match="buffer: a number from 1 is expected, not 0"):
        channel.messages(buffer=0)


TEXT = "a non-empty string is expected, not "


async def test_wrong_calls_are_refused_where_they_are_written() -> None:
    _, channel = made()
    todos = Realtime(URL).database().collection("todos")
    wrong: Any = "5"
    nothing: Any = None
    number: Any = 5
    listed: Any = {"a": [1]}
    cases: list[tuple[type[Exception], str, Any]] = [
        (TypeError, "callback: a function is expected, not NoneType", lambda: todos.on_snapshot(nothing)),
        (ValueError, "size: a whole number from 1 to 9999 is expected, not True", lambda: todos.pages(True)),
        (TypeError, "where: an operator is expected after 'title', such as", lambda: todos.where("title")),
        (TypeError, f"collection: {TEXT}NoneType", lambda: Realtime(URL).database().collection(nothing)),
        (TypeError, f"collection: {TEXT}int", lambda: SyncRealtime(URL).database().collection(number)),
        (TypeError, f"event: {TEXT}int", lambda: channel.on(number, print)),
        (ValueError, f"event: {TEXT}''", lambda: channel.on("", print)),
        (TypeError, "presence: True, False or a mapping is expected, not str", lambda: made(presence="yes")),
        (TypeError, "filter: a mapping is expected, not list", lambda: made(filter=["a"])),
        (TypeError, "conflate: a mapping is expected, not str", lambda: made(conflate="id")),
    ]
    for error, words, call in cases:
        with pytest.raises(error) as refused:
            call()
        assert str(refused.value).startswith(words)
    with pytest.raises(TypeError, match=r"^timeout: a number above 0 is expected, not str$"):
        await todos.get(timeout=wrong)
    with pytest.raises(TypeError, match=rf"^event: {TEXT}int$"):
        await channel.send(number)
    with pytest.raises(ValueError, match=r"^traceparent: a W3C traceparent is expected, not 'nonsense'$"):
        await channel.send("n", traceparent="nonsense")
    with pytest.raises(TypeError, match=r"^attributes: 'a' is a list; strings, numbers, bools and None are expected$"):
        Realtime(URL, attributes=listed)


async def test_a_wrong_event_of_presence_or_of_rooms_names_all_that_there_are() -> None:
    _, channel = made()
    with pytest.raises(ValueError, match="'presence:joined'") as refused:
        channel.on("presence:joined", print)
    listed = "presence:join, presence:update, presence:leave, room:created, room:updated, room:closed, room:occupied, "
    assert f"There are {listed}room:vacated" in str(refused.value)
