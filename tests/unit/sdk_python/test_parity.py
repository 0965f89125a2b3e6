"""Both SDKs have the same names: options, classes, methods and events, in each language's spelling. Every difference that is
meant is listed with its reason, and one that is none any more is a failure, too.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import bunbase
import pytest
from bunbase import (
    Channel,
    ConnectionInfo,
    ConnectionStatus,
    HistoryPage,
    Pages,
    Query,
    QuerySubscription,
    Realtime,
    RealtimeServer,
    ServerChannel,
    Snapshot,
    SyncQuery,
)

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "sdk/js/src"

OWN_OPTIONS = {
    "auto_connect": "TypeScript: a client of asyncio connects with `async with`, or by itself",
    "fetch": "TypeScript: instead of the global one, as WebSocket",
    "parameters": "Python: further parameters of the address, which browsers put into the url",
    "headers": "Python: browsers cannot set headers of a WebSocket",
}
OWN_NAMES: dict[type, dict[str, str]] = {
    Realtime: {},
    Channel: {
        "is_subscribed": "Python: what `subscribe` without an answer would be",
        "presence": "Python: `get_presence` without waiting",
        "messages": "TypeScript: the function `messages(channel)`, so that bundles leave it out",
    },
    Query: {
        "snapshots": "TypeScript: the function `snapshots(query)`",
        "doc": "TypeScript: of `Collection`, as a query with conditions has none",
        "sql": "TypeScript: of `Collection`",
        "spec": "Python: the query in the protocol's form, such as the REST API explains",
    },
    RealtimeServer: {"close": "Python: connections of httpx are closed; fetch has none to close"},
    ServerChannel: {},
    Pages: {
        "off": "Python: an emitter; TypeScript takes listeners as arguments",
        "on": "as `off`",
    },
    Snapshot: {},
    ConnectionStatus: {},
}
OWN_EXPORTS = {
    "AsyncRealtimeServer": "TypeScript has promises only",
    "AsyncServerChannel": "as AsyncRealtimeServer",
    "BunbaseError": "the base of errors of this package, such as those of decryption",
    "SyncChannel": "TypeScript has promises only",
    "SyncDatabase": "as SyncChannel",
    "SyncIterator": "as SyncChannel",
    "SyncPages": "as SyncChannel",
    "SyncQuery": "as SyncChannel",
    "SyncRealtime": "as SyncChannel",
}
FORMER_NAMES = {"Connection": "ConnectionInfo", "History": "HistoryPage", "LiveQuery": "QuerySubscription"}
"""Of Python, which mean another thing in TypeScript or in browsers: that of the same thing in both."""


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])[A-Z]", lambda match: f"_{match[0].lower()}", name).lower()


def body(path: str, declaration: str) -> str:
    """What is between the braces of a class or interface at the margin of a module."""
    text = (SOURCE / path).read_text()
    found = re.search(
        rf"^export (?:class|interface) {declaration}\b[^\n]*\{{\n(.*?)^\}}", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"{path} has no {declaration}"
    return found[1]


def members(path: str, declaration: str) -> set[str]:
    """The public names of a class or interface, in Python's spelling."""
    text = re.sub(r"/\*\*(?:(?!\*/).)*@internal \*/\n[^\n]*\n", "", body(path, declaration), flags=re.DOTALL)
    shape = r"^  (?:readonly |override |async |get )*([a-z]\w*)\??(?:<[^\n]*?>)?[(:]"
    return {snake(name) for name in re.findall(shape, text, re.MULTILINE)} - {"constructor"}


def own(of: type) -> set[str]:
    """The public names of a class in Python, as far as they are not those of the protocol's machinery."""
    machinery = {
        "key",
        "begun",
        "request",
        "unsubscribe_request",
        "base",
        "subscribed",
        "received",
        "catch_up",
        "ended",
        "of",
    }
    names = {name for name in dir(of) if not name.startswith("_")} - machinery
    return {name for name in names if not hasattr(getattr(of, name, None), "__deprecated__")}


def test_options_of_the_client_have_the_same_names() -> None:
    python = set(inspect.signature(Realtime).parameters)
    assert python ^ members("client/client_options.ts", "RealtimeOptions") == set(OWN_OPTIONS)


@pytest.mark.parametrize(
    ("of", "places"),
    [
        (Realtime, [("client/realtime.ts", "Realtime")]),
        (Channel, [("client/channel.ts", "Channel")]),
        (Query, [("client/query.ts", "LiveQuery"), ("client/query.ts", "Query")]),
        (RealtimeServer, [("client/rest.ts", "Rest"), ("client/server.ts", "RealtimeServer")]),
        (ServerChannel, [("client/rest.ts", "RestChannel"), ("client/server.ts", "ServerChannel")]),
        (Pages, [("client/pages.ts", "Pages")]),
        (Snapshot, [("core/snapshot.ts", "Snapshot")]),
        (ConnectionStatus, [("protocol/types.ts", "ConnectionStatus")]),
    ],
)
def test_classes_have_the_same_members(of: type, places: list[tuple[str, str]]) -> None:
    typescript = set[str]().union(*(members(*place) for place in places))
    assert own(of) ^ typescript == set(OWN_NAMES[of])


def test_following_a_query_has_the_same_options() -> None:
    options = members("client/query.ts", "SnapshotOptions")
    for follow, further in (
        (Query.on_snapshot, {"callback"}),
        (Query.snapshots, set()),
        (SyncQuery.snapshots, {"timeout"}),
    ):
        assert set(inspect.signature(follow).parameters) - {"self"} == options | further
    query = Realtime("http://localhost:8410").database().collection("todos")
    for option, former in (("meta", query.with_meta), ("fresh", query.fresh)):
        with pytest.warns(
            DeprecationWarning, match=rf"\(\) is withdrawn: use snapshots\({option}=True\) or "
        ) as warned:
            assert former()._options == query._subscribed(**{option: True})._options == {option: True}
        assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(("of", "path"), [(Realtime, "client/realtime.ts"), (Channel, "client/channel.ts")])
def test_clients_and_channels_have_the_same_events(of: type, path: str) -> None:
    listeners = re.findall(r"^  on\(\s*event: ([^,]+),", body(path, of.__name__), re.MULTILINE)
    typescript = {name for listener in listeners for name in re.findall(r'"([^"]+)"', listener)}
    events = (of.__doc__ or "").split("Events:")[1]
    python = set(re.findall(r"``([a-z:*]+)``(?=[,;:]| with)", events))
    assert python == typescript


def test_what_is_exported_has_the_same_names() -> None:
    entries = "".join((SOURCE / entry).read_text() for entry in ("index.ts", "server.ts", "crypto.ts"))
    listed = "".join(re.findall(r"export (?:type )?\{([^}]*)\}", entries))
    typescript = set(re.findall(r"\b[A-Z]\w+", listed))
    assert set(bunbase.__all__) - typescript == set(OWN_EXPORTS)


@pytest.mark.parametrize(("former", "name"), FORMER_NAMES.items())
def test_a_former_name_is_that_of_the_same_thing_with_a_warning(former: str, name: str) -> None:
    assert former not in bunbase.__all__
    with pytest.warns(DeprecationWarning, match=rf"bunbase\.{former} is withdrawn: use bunbase\.{name}, ") as warned:
        assert getattr(bunbase, former) is getattr(bunbase, name)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(
    ("of", "path"),
    [
        (ConnectionInfo, "client/rest.ts"),
        (HistoryPage, "client/typed_channel.ts"),
        (QuerySubscription, "client/query.ts"),
    ],
)
def test_what_is_answered_has_what_both_need(of: type, path: str) -> None:
    assert members(path, of.__name__) <= own(of)
