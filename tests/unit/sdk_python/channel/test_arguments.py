"""Arguments that would be dropped without a word are refused, or logged, where they are given."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from functools import partial
from typing import Any, NewType, TypedDict, cast

import pytest
from bunbase import Realtime, SyncRealtime

from tests.unit.sdk_python.test_channel_handles import made

URL = "http://localhost:8410"


class Todo(TypedDict):
    id: int


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


def test_a_wrong_time_or_type_is_refused_where_it_is_given_and_nothing_is_subscribed_to() -> None:
    wrong: Any = "x"
    number: Any = 5
    with closing(SyncRealtime(URL)) as realtime:
        query, channel = realtime.database().collection("c"), realtime.channel("c")
        for call in (query.snapshots, query.get, query.count, partial(query.pages, 5), channel.messages):
            with pytest.raises(TypeError, match=r"^timeout: a number above 0 is expected, not str$"):
                call(timeout=wrong)
            with pytest.raises(ValueError, match=r"^timeout: a number above 0 is expected, not -1$"):
                call(timeout=-1)
        for on in (query.snapshots, partial(Realtime(URL).database().collection("c").on_snapshot, print)):
            with pytest.raises(TypeError, match=r"^fresh: True or False is expected, not str$"):
                on(fresh=wrong)
        for database in (realtime.database, Realtime(URL).database):
            for given in (wrong, number):
                with pytest.raises(TypeError, match=r"^typed: .* is expected, not (str|int)$"):
                    database(given)
        assert not realtime._realtime._manager.subscriptions


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
    with pytest.raises(ValueError, match="buffer: a whole number from 1 is expected, not 0"):
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
        (TypeError, f"channel: {TEXT}NoneType", lambda: Realtime(URL).channel(nothing)),
        (ValueError, f"channel: {TEXT}''", lambda: SyncRealtime(URL).channel("")),
        (ValueError, "channel: text of Unicode is expected", lambda: Realtime(URL).channel("\ud800")),
        (TypeError, "history: a whole number from 0 is expected, not str", lambda: made(history="5")),
        (ValueError, "history: a whole number from 0 is expected, not -1", lambda: made(history=-1)),
        (TypeError, "meta: True or False is expected, not str", lambda: made(meta="x")),
        (TypeError, f"event: {TEXT}int", lambda: channel.off(number)),
        (ValueError, "no event is named 'presence:joined'", lambda: channel.off("presence:joined")),
        (ValueError, "no event is named 'transports'; did you mean", lambda: Realtime(URL).off("transports")),
        (TypeError, "error: a function is expected, not str", lambda: channel.off("error", wrong)),
        (TypeError, f"event: {TEXT}int", lambda: channel.messages(number)),
        (TypeError, "buffer: a whole number from 1 is expected, not str", lambda: channel.messages(buffer=wrong)),
        (TypeError, "callback: a function is expected, not str", lambda: todos.pages(5, wrong)),
        (TypeError, "limit: a whole number is expected, not str", lambda: todos.limit(wrong)),
        (TypeError, f"sql: {TEXT}NoneType", lambda: todos.sql(nothing)),
        (TypeError, "params: a list is expected, not str", lambda: todos.sql("select $1", wrong)),
        (TypeError, "get_token: a function is expected, not int", lambda: SyncRealtime(URL, get_token=number)),
        (TypeError, "headers.a: a string is expected, not int", lambda: Realtime(URL, headers={"a": number})),
        (ValueError, "token: it has a line break", lambda: Realtime(URL, token="secret\n")),
    ]
    for error, words, call in cases:
        with pytest.raises(error) as refused:
            call()
        assert str(refused.value).startswith(words)
    with pytest.raises(TypeError, match=r"^timeout: a number above 0 is expected, not str$"):
        await todos.get(timeout=wrong)
    with pytest.raises(TypeError, match=rf"^event: {TEXT}int$"):
        await channel.send(number)
    with pytest.raises(TypeError, match=rf"^id: {TEXT}int$"):
        await channel.send("n", id=number)
    with pytest.raises(ValueError, match=rf"^id: {TEXT}''$"):
        await channel.send("n", id="")
    with pytest.raises(TypeError, match=r"^presence: a mapping is expected, not str$"):
        await channel.update_presence(wrong)
    with pytest.raises(TypeError, match=r"^timeout: a number above 0 is expected, not str$"):
        await Realtime(URL).when_seen("0/1", timeout=wrong)
    with pytest.raises(TypeError, match=rf"^position: {TEXT}NoneType$"):
        await Realtime(URL).when_seen(nothing)
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


def test_a_type_of_documents_or_messages_that_is_none_is_refused_in_both_clients() -> None:
    wrong: Any
    with closing(SyncRealtime(URL)) as sync:
        for realtime in (Realtime(URL), sync):
            todos, channel = realtime.database().collection("todos"), realtime.channel("c")
            for wrong in (5, "Todo", {"id": int}, print):
                words = f"a type is expected, not {type(wrong).__name__}$"
                with pytest.raises(TypeError, match=f"^document: {words}"):
                    realtime.database().collection("todos", wrong)
                with pytest.raises(TypeError, match=f"^document: {words}"):
                    todos.select("id", document=wrong)
                with pytest.raises(TypeError, match=f"^data: {words}"):
                    channel.messages("e", wrong)
        for each in (Todo, dict[str, Any], Mapping[str, int], Todo | None, NewType("Id", int), Any, None):
            sync.database().collection("todos", cast("Any", each)).select("id", document=cast("Any", each))
            sync.channel("c").messages("e", cast("Any", each))


async def test_a_refused_callback_of_pages_leaves_no_subscription() -> None:
    realtime = Realtime(URL)
    wrong: Any = "x"
    with pytest.raises(TypeError):
        realtime.database().collection("todos").pages(5, wrong)
    assert not realtime._manager.subscriptions
    assert realtime.state == "closed"


async def test_data_without_json_is_refused_with_its_path() -> None:
    _, channel = made()
    circle: list[object] = []
    circle.append(circle)
    cases: list[tuple[object, str]] = [
        ({"a": [1, {"b"}]}, "data.a.1: a JSON value is expected, not set; give a list"),
        ({"a": [Decimal(1), math.nan]}, "data.a.1: a JSON value is expected, not nan"),
        ({"a": {(1, 2): 3}}, "data.a: keys of JSON are strings, not tuple"),
        ({"a": Decimal(1), "b": {(1, 2): 3}}, "data.b: keys of JSON are strings, not tuple"),
        ({"a": "\ud800"}, "data.a: text of Unicode is expected, not half a surrogate pair"),
        (circle, "data.0: a JSON value is expected, not one that contains itself"),
    ]
    for data, words in cases:
        with pytest.raises((TypeError, ValueError)) as refused:
            await channel.send("n", data)
        assert str(refused.value) == words
    assert not channel._manager.send_queue._entries
