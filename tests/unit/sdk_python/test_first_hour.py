"""What a developer sees in the first hour: addresses, representations and tracebacks."""

from __future__ import annotations

import asyncio
import datetime
import pickle
import traceback
import uuid
from typing import Any, cast

import pytest
from bunbase import (
    AsyncRealtimeServer,
    Change,
    Channel,
    Doc,
    Encryption,
    ErrorCode,
    Message,
    Pages,
    QuerySubscription,
    Realtime,
    RealtimeError,
    RealtimeServer,
    Snapshot,
    Snapshots,
    SyncIterator,
    SyncPages,
    SyncRealtime,
)
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.live_state import LiveState

from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER

SECRETS: dict[str, Any] = {"api_key": "pk_secret", "token": "token_secret", "headers": {"X-Secret": "header_secret"}}


@pytest.mark.parametrize("client", [Realtime, SyncRealtime, RealtimeServer, AsyncRealtimeServer])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000", "does not begin with http://, https://, ws:// or wss://"),
        ("ftp://localhost", "does not begin with"),
        ("", "does not begin with"),
        ("https://", "has no host"),
        ("http:///realtime", "has no host"),
        ("http://local host", "has a space in it"),
        ("http://localhost:80000", "cannot be read"),
        ("http://localhost:port", "cannot be read"),
        ("http://[::1", "cannot be read"),
        ("http://localhost:0", "no port"),
    ],
)
def test_an_address_that_is_none_is_refused_with_what_to_do(client: Any, url: str, problem: str) -> None:
    with pytest.raises(ValueError, match="url: ") as refused:
        client(url)
    text = str(refused.value)
    assert repr(url) in text
    assert problem in text
    assert "give an address such as 'https://realtime.example.com', or set BUNBASE_REALTIME_URL" in text


def test_a_code_is_of_the_enumeration_and_equals_its_text_also_one_of_a_newer_server() -> None:
    text = ErrorCode.NOT_FOUND.value
    error = RealtimeError.of({"type": "error", "code": text, "message": "no such room"})
    assert error.code is ErrorCode.NOT_FOUND
    assert error.code == text
    assert (str(error.code), str(error)) == (text, f"{text}: no such room")
    newer = RealtimeError.of({"code": "RT_999", "message": "of a later version"}).code
    assert isinstance(newer, ErrorCode)
    assert (newer, newer.value, newer.name, str(newer)) == ("RT_999",) * 4
    assert newer not in list(ErrorCode)
    assert pickle.loads(pickle.dumps(newer)) == newer
    with pytest.raises(ValueError, match="'9' is not a valid ErrorCode"):
        ErrorCode("9")


def test_a_format_that_is_none_is_refused() -> None:
    wrong: Any = "xml"
    for client in (Realtime, SyncRealtime):
        with pytest.raises(ValueError, match="format: 'xml'; known are json, msgpack"):
            client("http://localhost", format=wrong)


def test_without_an_address_that_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUNBASE_REALTIME_URL", raising=False)
    monkeypatch.delenv("BUNBASE_REALTIME_KEY", raising=False)
    assert Realtime()._address.http == "http://localhost:8000/realtime"
    assert "apikey" not in Realtime()._address.parameters
    monkeypatch.setenv("BUNBASE_REALTIME_URL", "wss://realtime.example.com")
    monkeypatch.setenv("BUNBASE_REALTIME_KEY", "pk_1")
    assert Realtime()._address.http == "https://realtime.example.com/realtime"
    assert Realtime()._address.parameters["apikey"] == "pk_1"
    assert Realtime("http://other", api_key="pk_2")._address.parameters["apikey"] == "pk_2"
    with RealtimeServer() as server:
        assert str(server._http.base_url) == "https://realtime.example.com/realtime/"
        assert server._http.headers["Authorization"] == "Bearer pk_1"


def test_representations_are_short_and_hold_no_secrets() -> None:
    realtime = Realtime("https://ada:password_secret@realtime.example.com", **SECRETS)
    channel = realtime.channel("chat:1", encryption=Encryption("k1", {"k1": b"1" * 32}))
    query = realtime.database().collection("todos").where("owner", "==", "value_secret").where({"or": []})
    for value, expected in (
        (realtime, "<Realtime https://realtime.example.com/realtime closed>"),
        (SyncRealtime("http://localhost", **SECRETS), "<SyncRealtime http://localhost/realtime closed>"),
        (channel, "<Channel 'chat:1' not subscribed>"),
        (query, "<Query of todos, where owner and (…)>"),
        (
            query.order_by("at").limit(5).start_at("s"),
            "<Query of todos, where owner and (…), orderBy at, limit 5, startAt>",
        ),
        (query.select("title").select("id", "title"), "<Query of todos, where owner and (…), select id and title>"),
        (query.sql("select 'value_secret'", ["s"]), "<Query of todos, where owner and (…), sql>"),
        (Doc("1", {"n": 1}), "<Doc '1': {'n': 1}>"),
        (Message("chat:1", "sent", {"n": 1}, id="m1"), "<Message 'sent' in 'chat:1', m1: {'n': 1}>"),
    ):
        assert repr(value) == expected
    assert "secret" not in repr(realtime._address)


def test_conditions_before_an_sql_query_are_kept_for_the_server_to_refuse() -> None:
    todos = Realtime("http://localhost").database().collection("todos")
    sql = {"sql": "select 1", "params": [2]}
    assert todos.where("done", "==", True).limit(1).sql("select 1", [2]).spec == {
        "where": [["done", "==", True]],
        "limit": 1,
        **sql,
    }
    assert todos.sql("select 2").sql("select 1", [2]).spec == sql


def test_an_encryption_that_is_none_is_refused() -> None:
    wrong: Any = "secret"
    with pytest.raises(TypeError, match=r"^encryption: Encryption is expected, not str$"):
        Realtime("http://localhost").channel("chat:1", encryption=wrong)


NO_JSON = (
    (uuid.UUID(int=1), TypeError, "not UUID; give its str\\(\\)"),
    (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), TypeError, "not datetime; give its isoformat\\(\\)"),
    ({"a"}, TypeError, "not set; give a list"),
    (float("nan"), ValueError, "not nan"),
)


@pytest.mark.parametrize(("value", "error", "problem"), NO_JSON, ids=[type(each[0]).__name__ for each in NO_JSON])
async def test_what_has_no_json_is_refused_where_it_is_given(value: Any, error: type[Exception], problem: str) -> None:
    realtime = Realtime(f"http://127.0.0.1:{free_port()}")
    todos, problem = realtime.database().collection("todos"), f": a JSON value is expected, {problem}$"
    with pytest.raises(error, match=f"^where.1.2{problem}"):
        todos.where("id", ">", 1).where("id", "==", value)
    with pytest.raises(error, match=f"^params.1{problem}"):
        todos.sql("select $1, $2", [1, value])
    with pytest.raises(error, match=f"^startAfter.0{problem}"):
        todos.order_by("id").start_after(value)
    operand: list[object] = [1]
    query = todos.where("id", "in", operand)
    operand.append(value)  # when it was looked at already
    for follow in (lambda: query.on_snapshot(print), lambda: query.pages(5)):
        with pytest.raises(error, match=f"^where.0.2.1{problem}"):
            follow()
    async with asyncio.timeout(GIVE_UP_AFTER):
        with pytest.raises(error, match=f"^where.0.2.1{problem}"):
            await query.get()
    for path, option in (
        ("presence.at", {"presence": {"at": value}}),
        ("filter.where.2", {"filter": {"where": ["id", "==", value]}}),
        ("conflate.ms", {"conflate": {"ms": value}}),
    ):
        with pytest.raises(error, match=f"^{path}{problem}"):
            realtime.channel("chat:1", **cast("dict[str, Any]", option))
    assert not realtime._manager.subscriptions
    await realtime.disconnect()


def test_no_object_of_an_application_is_shown_as_its_address_in_memory() -> None:
    address = "https://ada:password_secret@realtime.example.com"
    realtime, threaded = Realtime(address), SyncRealtime(address)
    manager = realtime._manager
    live = QuerySubscription(manager, LiveState("q1", "db:collection:todos", {}), None)
    pages = Pages(lambda _: QuerySubscription(manager, LiveState("q1", "db:collection:todos", {}), None), 10)
    snapshots, shown = Snapshots(live), "https://realtime.example.com/realtime"
    messages = realtime.channel("chat:1").messages("sent", buffer=5)
    thread, closing = threaded._thread, snapshots.close
    iterator = SyncIterator[Any](thread, realtime, snapshots, closing, None)
    server, awaited = RealtimeServer(address, "key_secret"), AsyncRealtimeServer(address, "key_secret")
    keys = Encryption("k2", {"k1": b"1" * 32, "k2": b"secret-secret-secret-secret-1234"})
    for value, expected in (
        (live, "<QuerySubscription db:collection:todos, 0 documents>"),
        (snapshots, "<Snapshots of <QuerySubscription db:collection:todos, 0 documents>>"),
        (pages, "<Pages, 0 documents>"),
        (SyncPages(thread, realtime, pages, None), "<SyncPages, 0 documents>"),
        (messages, "<Messages of 'sent', 0 waiting, 0 dropped>"),
        (iterator, "<SyncIterator of <Snapshots of <QuerySubscription db:collection:todos, 0 documents>>>"),
        (realtime.database(), "<Database>"),
        (threaded.database(), f"<SyncDatabase of <Realtime {shown} closed>>"),
        (server, f"<RealtimeServer {shown}>"),
        (awaited, f"<AsyncRealtimeServer {shown}>"),
        (server.channel("chat:1", encryption=keys), "<ServerChannel 'chat:1'>"),
        (awaited.channel("chat:1", encryption=keys), "<AsyncServerChannel 'chat:1'>"),
        (keys, "<Encryption with 'k2' of 2 keys: k1, k2>"),
    ):
        assert repr(value) == expected
    threaded.close()


@pytest.mark.parametrize("client", [Realtime, SyncRealtime, RealtimeServer, AsyncRealtimeServer])
@pytest.mark.parametrize(
    ("url", "key", "named"), [(5, None, "url"), (b"http://a", None, "url"), ("http://a", 5, "api_key")]
)
def test_an_address_or_key_that_is_no_string_is_a_type_error_that_names_it(
    client: Any, url: object, key: object, named: str
) -> None:
    with pytest.raises(TypeError, match=f"{named}: give a string, not (int|bytes)"):
        client(url, api_key=key)


def test_the_user_of_a_development_server_is_an_option_as_in_the_other_sdk() -> None:
    realtime = Realtime("http://localhost", user="ada", attributes={"name": "Ada", "age": 36})
    assert realtime._address.parameters["user"] == "ada"
    assert realtime._address.parameters["attributes"] == '{"name":"Ada","age":36}'
    assert not {"user", "attributes"} & Realtime("http://localhost")._address.parameters.keys()
    assert SyncRealtime("http://localhost", user="ada")._realtime._address.parameters["user"] == "ada"
    assert Realtime("http://localhost", parameters={"user": "bob"})._address.parameters["user"] == "bob"


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    port = free_port()
    with (
        RealtimeServer(f"http://ada:password_secret@127.0.0.1:{port}", attempts=1) as server,
        pytest.raises(RealtimeError, match=f"cannot be reached at http://127.0.0.1:{port}/realtime: ") as refused,
    ):
        server.get_room("chat:1")
    assert "secret" not in str(refused.value)


def test_representations_stay_short_whatever_is_in_them() -> None:
    large = {f"field{n}": "x" * 10_000 for n in range(100)}
    docs = tuple(Doc(str(n), large) for n in range(1000))
    changes = tuple(Change("added", doc, -1, n) for n, doc in enumerate(docs))
    snapshot = Snapshot(docs, changes, "0/16B3748")
    assert repr(snapshot) == "<Snapshot of 1000 documents at 0/16B3748, 1000 changes>"
    assert len(repr(docs[0])) < 400
    assert len(repr(Message("c", "e", [large] * 100))) < 400
    assert len(repr(Message("c", "e", "x" * 10_000))) < 120


def test_data_that_is_no_json_is_one_error() -> None:
    realtime = Realtime("http://localhost")
    channel: Channel = realtime.channel("chat:1")
    sending = channel.send("sent", object())
    with pytest.raises(TypeError, match=r"^data: a JSON value is expected, not object$") as refused:
        sending.send(None)
    shown = "".join(traceback.format_exception(refused.value))
    assert "another exception" not in shown


def test_a_key_that_is_no_base64_is_one_error() -> None:
    with pytest.raises(ValueError, match="not base64") as refused:
        Encryption("k1", {"k1": "***"})
    assert "direct cause" not in "".join(traceback.format_exception(refused.value))


def test_an_answer_that_refuses_a_call_has_a_short_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with RealtimeServer("http://localhost") as server:

        def refuse(call: object) -> None:
            raise RealtimeError("RT_003", "not allowed")

        monkeypatch.setattr(server, "_once", refuse)
        with pytest.raises(RealtimeError, match="not allowed") as refused:
            server.get_room("chat:1")
    shown = "".join(traceback.format_exception(refused.value))
    assert "tenacity" not in shown
    assert shown.count("File ") <= 6, shown


async def test_a_page_and_the_whole_list_have_at_most_9999_documents() -> None:
    query = Realtime("http://localhost:8410").database().collection("c")
    for size in (0, -1, 10_000, 1.5):
        with pytest.raises(ValueError, match=f"size: a whole number from 1 to 9999 is expected, not {size}"):
            query.pages(cast("int", size))
    pages, errors = query.pages(6000), list[str]()
    pages.on("error", lambda error: errors.append(error.message))
    followed = list[int]()
    pages._begin = lambda limit: followed.append(limit)  # type: ignore[assignment,method-assign,return-value]
    for loaded in (6000, 9999):
        pages._loaded, pages._next, pages._has_more = loaded, None, True
        pages.load_more()
    assert (followed, errors) == ([9999], ["pages: at most 9999 documents can be loaded"])
    assert pages.has_more


async def test_to_load_more_of_pages_that_were_unsubscribed_is_an_error() -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        manager = SubscriptionManager(10)
        pages = Pages(lambda _: QuerySubscription(manager, LiveState("q1", "db:collection:todos", {}), None), 10)
        pages.load_more()  # the first page is still to come
        await pages.unsubscribe()
        with pytest.raises(RealtimeError, match="pages: unsubscribed") as refused:
            pages.load_more()
    assert refused.value.code == "RT_004"


def test_a_live_query_outside_of_asyncio_names_the_client_that_needs_none() -> None:
    query = Realtime("http://localhost:8000").database().collection("todos")
    with pytest.raises(RuntimeError, match="in a coroutine, or take SyncRealtime"):
        query.on_snapshot(print)
