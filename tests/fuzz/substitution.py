"""Requests as they should be, and each of their parts in turn replaced by each value that is not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

__all__ = ["ADDRESSES", "MESSAGES", "REST", "VALUES_OF_COLUMNS", "substituted", "texts_of"]

VALUES: Final[Sequence[str]] = (
    "null", "true", "0", "-1", "1.5", "9223372036854775808", "0.12345678901234567890123", "1e400", "1e-400", "9" * 5000,
    '""', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"a\\udc00"', '"\\u007f"', '"\\u202e\\ufeff\\ufffe"', '"😀"',
    f'"{"x" * 300}"',
    '"infinity"', '"0/1/1"', '"FFFFFFFF/FFFFFFFF/999999999999999999"', '"%\\\\"', '"{1,\\"2}"', "[]", "{}", '["\\u0000"]',
    '{"\\u0000":1}', '{"a":1,"a":2}', "[" * 70 + "]" * 70, "[" * 3000 + "]" * 3000,
)  # fmt: skip
"""JSON texts that some place in a message does not expect."""

_LIVE = "db:collection:items"
_COLUMNS: Final[dict[str, object]] = {
    "small": 1, "big": 1, "num": 1.5, "real": 1.5, "flag": True, "body": "a", "code": "a", "chars": "a", "day": "2024-01-01",
    "at": "2024-01-01T00:00:00Z", "clock": "12:00", "span": "1 day", "uid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "raw": "\\x00",
    "doc": {"a": [1]}, "ints": [1], "texts": ["a"], "mood": "ok", "pair": "(1,a)", "addr": "10.0.0.1", "rng": "[1,2)",
    "bits": "101",
    "dom": "a",
}  # fmt: skip


def _live(**query: object) -> dict[str, object]:
    return {"type": "subscribe", "channel": _LIVE, "id": "q", "query": query}


def _sql(sql: str, *params: object) -> dict[str, object]:
    return _live(sql=sql, params=list(params))


MESSAGES: Final[Sequence[dict[str, object]]] = (
    {
        "type": "subscribe",
        "channel": "chat:1",
        "id": "c",
        "since": "0/1/1",
        "epoch": "e",
        "history": 1,
        "presence": {"status": "here", "name": "Ann", "avatar": "a", "typing": False, "metadata": {"name": "A"}, "x": 1},
        "filter": {"events": ["sent"], "where": [["a.b", "==", 1], {"or": [["a", "in", ["x"]]]}, ["a", "like", "x%"]]},
    },
    {"type": "subscribe", "channel": _LIVE, "id": "q", "since": "0/1", "epoch": "e"},
    {"type": "subscribe", "channel": "chat:1", "auth": "token"},
    _live(where=[["id", ">", 0], {"not": ["body", "like", "a%"]}], orderBy=[["num", "desc", "nulls-last"]], limit=5,
    startAt=[1.5]),
    _live(orderBy=["body"], endBefore=["z"], select=["num"]),
    _live(where=[["ints", "array-contains-any", [1]], ["body", "in", ["a"]]]),
    _sql("select id, body from items where big = $1 and body = $2", 1, "a"),
    _sql("select count(*) as n from items where day > $1 or ints = $2 or doc = $3", "2024-01-01", [1], {"a": 1}),
    {"type": "message", "channel": "chat:1", "event": "sent", "data": {"text": ["a"]}, "id": "m", "ref": "r"},
    {"type": "presence:update", "channel": "presence:1", "data": {"status": "away", "metadata": {"name": "A"}}, "ref": "r"},
    {"type": "unsubscribe", "channel": "presence:2", "id": "u"},
    {"type": "auth", "token": "t", "ref": "r"},
    {"type": "ping"},
)  # fmt: skip
"""Every message of a client with every field it can have."""

VALUES_OF_COLUMNS: Final[Sequence[tuple[dict[str, object], tuple[str | int, ...]]]] = tuple(
    (query, path)
    for column, value in _COLUMNS.items()
    for query, path in (
        (_live(where=[[column, "==", value]]), ("query", "where", 0, 2)),
        (_live(orderBy=[column], startAfter=[value]), ("query", "startAfter", 0)),
    )
)
"""Live queries with a value of every type, and where in them it is."""

ADDRESSES: Final[Sequence[tuple[str, object]]] = (
    ("user", "ann"),
    ("attributes", {"team": "red"}),
    ("client", "s3cret_s3cret-s3cret"),
    ("format", "json"),
    ("apikey", "k"),
    ("channel", "chat:1"),
    ("history", 1),
    ("lastEventId", "0/1/1;e"),
    ("subscribe", MESSAGES[0]),
)
"""The parameters of a connection."""

_AUDIENCE: Final[dict[str, object]] = {
    "users": ["a"], "connections": ["c"], "exclude": {"users": ["b"], "sender": True}, "where": [["team", "==", "red"]],
}  # fmt: skip
_ROOM: Final[dict[str, object]] = {
    "metadata": {"a": 1}, "permissions": {"a": 1}, "capacity": 5, "history": True, "ttl": 60, "maxMessages": 5,
    "presenceTimeout": 1, "typingTimeout": 1,
}  # fmt: skip
REST: Final[Sequence[tuple[str, str, dict[str, object]]]] = (
    ("POST", "channels/chat:1/broadcast", {"event": "e", "data": {"a": 1}, "sender": "a", "id": "i",
    "audience": _AUDIENCE, "priority": 1}),
    ("POST", "broadcast", {"event": "e", "data": 1, "users": ["a"], "audience": _AUDIENCE}),
    ("POST", "broadcast", {"event": "e", "data": 1, "channels": ["chat:9"]}),
    ("POST", "channels", {"name": "room:1", "createdBy": "a"} | _ROOM),
    ("PATCH", "channels/room:1", _ROOM),
    ("POST", "channels/chat:1/kick", {"userId": "nobody", "reason": "r"}),
)  # fmt: skip
"""Method, path below ``/realtime`` and body of every REST request that has one."""


def _paths(value: object) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a JSON value; the empty one is the whole."""
    yield ()
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        yield from ((key, *rest) for rest in _paths(item))


def _written(value: object, path: tuple[Any, ...], replacement: str) -> str:
    """``value`` as JSON, with ``replacement`` at the end of ``path``."""
    if not path:
        return replacement
    key, rest = path[0], path[1:]

    def part(place: object, item: object) -> str:
        return _written(item, rest, replacement) if place == key else json.dumps(item)

    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{part(name, item)}" for name, item in value.items()) + "}"
    assert isinstance(value, list)
    return "[" + ",".join(part(place, item) for place, item in enumerate(value)) + "]"


def substituted(base: object, at: tuple[str | int, ...] | None = None, depth: int | None = None) -> Iterator[str]:
    """``base`` as JSON, then with the part ``at`` that path replaced by each of ``VALUES``; else each part in turn that is
    no deeper than ``depth``.
    """
    yield json.dumps(base)
    for path in _paths(base) if at is None else (at,):
        if depth is None or len(path) <= depth:
            for value in VALUES:
                yield _written(base, path, value)


def texts_of(values: Iterable[str]) -> Iterator[str]:
    """The same as they stand in an address: a text without its quotes, lone surrogates as bytes."""
    for value in values:
        text = json.loads(value) if value.startswith('"') else value
        yield quote(text.encode(errors="surrogatepass"), safe="")
