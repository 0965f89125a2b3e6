"""Client messages, requests and addresses with something wrong in them, as the text that goes over the wire.

A message is a list of fields, and each field's value is JSON *text*, not a Python value: so numbers keep their digits,
keys may come twice, and what is no JSON at all can be said. Most fields of a message are as they should be, because one
that is wrong everywhere is refused at the first look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import strategies as st

__all__ = [
    "addresses",
    "bodies",
    "frames",
    "headers",
    "messages",
    "packed_messages",
    "paths",
    "polls",
    "raw_bodies",
    "rest_requests",
]

Json = str
Strategy = st.SearchStrategy[Json]

COLUMNS = (
    "id", "small", "big", "num", "real", "flag", "body", "code", "chars", "day", "at", "clock", "span", "uid", "raw", "doc",
    "js", "ints", "texts", "mood", "pair", "addr", "rng", "bits", "dom",
)  # fmt: skip
_OPERATORS = (
    "==", "!=", "<", "<=", ">", ">=", "in", "not-in", "array-contains", "array-contains-any", "like", "ilike", "is-null",
    "is-not-null",
)  # fmt: skip
_TEXTS = (
    "", " ", "a", "\0", "a\0b", "\x1f", "\x7f", "\u2028", "\u202e", "\ufeff", "\ufffe", "é", "e\u0301", "😀", "😀" * 64,
    "x" * 64, "x" * 255, "x" * 256, "x" * 5000, "\\", "'", '"', "%", "_", "%\\", "*", "${1}", "$1", "null", "NaN",
    "-Infinity",
    "0/1/1", "0/1", "FFFFFFFF/FFFFFFFF/999999999999999999", "FFFFFFFF/FFFFFFFF", "0/0/0", "0/1/", "/", "0/1;x", "(0/1|;",
    "-1",
    "1e400", "1" * 30, "9223372036854775808", "1.5", "true", "now", "infinity", "294277-01-01", "4714-01-01 BC",
    "2024-02-30",
    "24:00:01", "1 century -3 us", "178000001 years", "{1,2", "{{1},{2,3}}", "(1,", "[1,0)", "(,)", "\\xzz",
    "10.0.0.0/99", "101",
    "db:collection:items", "db:collection:", "db:collection:none", "chat:1", "presence:1", "private:1", "public:1",
    "user:1", "*",
    "realtime:x",
)  # fmt: skip
_SURROGATES = ('"\\ud800"', '"a\\udc00b"', '"\\udc00\\ud800"', '"\\ud800x"')
_NUMBERS = (
    "0", "-0", "1", "-1", "2", "1.0", "0.5", "1e0", "1e2", "32768", "2147483648", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "18446744073709551616", "0.12345678901234567890123", "1e308", "1e309",
    "-1e309", "1e-400", "1e16383", "1e131072", "1e-16384", "1e99999999999999999999", "9" * 400, "1" * 5000,
    "0." + "1" * 5000,
)  # fmt: skip
_STRUCTURES = (
    "null", "true", "false", "[]", "{}", "[null]", '{"":null}', '{"a":1,"a":2}', '{"\\u0000":1}', '["\\u0000"]',
    '[[[[[]]]]]',
    "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "[" * 3000 + "]" * 3000, "[" + "1," * 3000 + "1]",
)  # fmt: skip
_BROKEN = ("", "NaN", "Infinity", "nul", "'a'", "01", "1.", '"', '"\\x"', '"\n"', "[1,", "{", "\\u0000", "undefined")


def _said(text: str) -> Json:
    return json.dumps(text)


texts: Strategy = st.one_of(
    st.sampled_from([_said(text) for text in _TEXTS]),
    st.sampled_from(_SURROGATES),
    st.text(max_size=8).map(_said),
)
numbers: Strategy = st.one_of(
    st.sampled_from(_NUMBERS), st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr)
)
scalars: Strategy = st.one_of(texts, numbers, st.sampled_from(["null", "true", "false"]))


def _list(items: Strategy, most: int = 3) -> Strategy:
    return st.lists(items, max_size=most).map(lambda parts: f"[{','.join(parts)}]")


def _object(values: Strategy, most: int = 3) -> Strategy:
    pairs = st.tuples(texts, values).map(":".join)
    return st.lists(pairs, max_size=most).map(lambda parts: f"{{{','.join(parts)}}}")


anything: Strategy = st.one_of(
    scalars, st.sampled_from(_STRUCTURES), _list(scalars), _object(scalars), st.sampled_from(_BROKEN)
)
"""Any value, and now and then what is none."""


def _mostly(usual: Strategy, unusual: Strategy = anything) -> Strategy:
    """Three times of four as it should be."""
    return st.one_of(usual, usual, usual, unusual)


def _fields(required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> Strategy:
    """An object with these fields; sometimes one comes twice, or one that nobody knows."""
    known = {**required, **optional}
    more = st.lists(st.sampled_from(sorted(optional)), unique=True, max_size=4) if optional else st.just([])

    @st.composite
    def made(draw: st.DrawFn) -> Json:
        names = [*required, *draw(more)]
        parts = [f"{_said(name)}:{draw(known[name])}" for name in names]
        match draw(st.integers(0, 30)):
            case 0 if names:
                parts.append(f"{_said(draw(st.sampled_from(names)))}:{draw(anything)}")
            case 1:
                parts.append(f"{draw(texts)}:{draw(anything)}")
            case 2 if parts:
                parts.pop(0)
        return f"{{{','.join(parts)}}}"

    return made()


def _any_of(*values: str) -> Strategy:
    return st.sampled_from([_said(value) for value in values])


columns = _mostly(_any_of(*COLUMNS), texts)
operators = _mostly(_any_of(*_OPERATORS), texts)
values: Strategy = st.one_of(scalars, scalars, _list(scalars), anything)
_condition: Strategy = st.one_of(
    st.tuples(columns, operators, values).map(lambda parts: f"[{','.join(parts)}]"),
    st.tuples(columns, _any_of("is-null", "is-not-null")).map(lambda parts: f"[{','.join(parts)}]"),
    _list(anything, 4),
)
conditions: Strategy = st.recursive(
    _condition,
    lambda inner: st.one_of(
        st.tuples(_any_of("and", "or"), _list(inner)).map(lambda pair: f"{{{pair[0]}:{pair[1]}}}"),
        inner.map(lambda one: f'{{"not":{one}}}'),
    ),
    max_leaves=4,
)
_orders = _list(
    st.one_of(columns, st.tuples(columns, _any_of("asc", "desc")).map(lambda pair: f"[{','.join(pair)}]"), _list(texts))
)
_cursor = _mostly(_list(scalars))
_sql = st.one_of(
    st.sampled_from(
        [
            "select id, body from items where {0} = $1",
            "select count(*) as n from items where {0} > $1",
            "select {0} as v from items order by 1 limit $1",
            "select id from items where {0}::text like $1",
            "select id, $1::{1} as v from items",
            "select id from items where {0} = any($1)",
        ]
    ).flatmap(lambda text: st.tuples(st.just(text), st.sampled_from(COLUMNS), st.sampled_from(["int", "numeric", "date"])))
    .map(lambda parts: _said(parts[0].format(*parts[1:]))),
    _any_of("select id from items", "select", "", "delete from items", "select id from items;--", "select 1",
    "select $2 from items"),
    texts,
)  # fmt: skip
_builder = {
    "where": _mostly(_list(conditions)),
    "orderBy": _mostly(_orders),
    "limit": _mostly(st.sampled_from(["1", "10", "10000", "1.0"]), numbers),
    "startAt": _cursor,
    "startAfter": _cursor,
    "endAt": _cursor,
    "endBefore": _cursor,
}
queries: Strategy = _mostly(
    st.one_of(_fields({}, _builder), _fields({"sql": _sql}, {"params": _mostly(_list(anything, 2))}))
)

_channels = _mostly(_any_of("chat:1", "chat:2", "presence:1", "private:1", "public:1", "*"), texts)
_positions = st.one_of(
    _any_of("0/1/1", "0/1", "FFFFFFFF/FFFFFFFF/999999999999999999", "FFFFFFFF/FFFFFFFF", "0/0/0", "0/1/", "-1/1/1"),
    anything,
)
_presences = _mostly(
    st.one_of(
        st.sampled_from(["true", "false"]),
        _fields({}, dict.fromkeys(("status", "name", "avatar", "typing", "metadata", "x"), values)),
    )
)
_common = {"id": _mostly(texts), "epoch": _mostly(texts), "since": _positions, "auth": anything}


def _typed(type_: str, required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> Strategy:
    return _fields({"type": _mostly(_mostly(_said_just(type_)), texts)} | dict(required), optional)


def _said_just(text: str) -> Strategy:
    return st.just(_said(text))


subscribes: Strategy = st.one_of(
    _typed(
        "subscribe",
        {"channel": _channels},
        _common
        | {
            "presence": _presences,
            "history": _mostly(st.sampled_from(["0", "1", "1000"])),
            "filter": _mostly(_fields({}, {"events": _mostly(_list(texts)), "where": _mostly(_list(conditions))})),
            "query": queries,
        },
    ),
    _typed("subscribe", {"channel": _said_just("db:collection:items"), "query": queries}, {"id": _mostly(texts)}),
    _typed(
        "subscribe", {"channel": _said_just("db:collection:items")}, _common | {"query": queries, "filter": anything}
    ),
)
messages: Strategy = st.one_of(
    subscribes,
    subscribes,
    _typed("unsubscribe", {"channel": _channels}, {"id": texts}),
    _typed(
        "message",
        {"channel": _channels, "event": _mostly(texts)},
        {"data": anything, "id": texts, "ref": texts},
    ),
    _typed("presence:update", {"channel": _channels, "data": _presences}, {"ref": texts}),
    _typed("ping", {}, {"ref": texts}),
    _typed("auth", {"token": texts}, {"ref": texts}),
    anything,
)
"""One message of a client, as JSON text."""

_EXTENSIONS = (
    b"\xc1", b"\xc0", b"\xc4\x01\x00", b"\xd4\x05\x00", b"\xd6\xff\x00\x00\x00\x00", b"\xd7\xff" + b"\xff" * 8,
    b"\xc7\x0c\xff" + b"\xff" * 12, b"\xca\x7f\xc0\x00\x00", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcb\xff\xf0" + b"\x00" * 6,
    b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\x00" * 7, b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa1\x00",
    b"\x91" * 3000 + b"\x90",
    b"\x82\xa1a\x01\xa1a\x02", b"\x81\x01\x02", b"\x81\x80\x01", b"\x81\x90\x01", b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
)  # fmt: skip


def _packed(text: Json) -> bytes:
    """The message in MessagePack where it can be one, else as it is."""
    try:
        return msgspec.msgpack.encode(json.loads(text))
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return text.encode(errors="surrogatepass")


@st.composite
def _spiced(draw: st.DrawFn) -> bytes:
    """A map of a message's fields, one of whose values JSON does not know."""
    fields: dict[str, bytes] = {
        "type": msgspec.msgpack.encode(draw(st.sampled_from(["subscribe", "message", "presence:update", "ping"]))),
        "channel": msgspec.msgpack.encode("chat:1"),
    }
    names = st.sampled_from(["event", "data", "ref", "id", "since", "epoch", "query", "channel", "type", "history"])
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        fields[name] = draw(st.sampled_from(_EXTENSIONS))
    body = b"".join(msgspec.msgpack.encode(name) + value for name, value in fields.items())
    return bytes((0x80 | len(fields),)) + body


packed_messages: st.SearchStrategy[bytes] = st.one_of(
    messages.map(_packed), _spiced(), st.sampled_from(_EXTENSIONS), st.binary(max_size=40)
)
"""One message of a client, as MessagePack, or nearly."""


def _quoted(text: Json) -> str:
    """A JSON text's content as it goes into an address; what is no text goes as it is."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    return quote((found if isinstance(found, str) else text).encode(errors="surrogatepass"), safe="")


_parameters = st.one_of(
    st.tuples(st.just("channel"), _channels.map(_quoted)),
    st.tuples(st.just("subscribe"), _mostly(subscribes).map(lambda text: quote(text, safe=""))),
    st.tuples(
        st.sampled_from(["history", "lastEventId", "format", "client", "user", "attributes", "apikey", "x"]),
        st.one_of(
            texts.map(_quoted), anything.map(_quoted), st.sampled_from(["%", "%ff", "%00", "%zz", "json", "10", "a&b"])
        ),
    ),
)
addresses: st.SearchStrategy[str] = st.lists(_parameters, max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
"""The query string of a stream or of a poll."""

_last_ids = st.one_of(
    st.sampled_from(
        ["0/1", "0/1/1;x", "(0/1|;aaaaaaaa:0/1)", "(|x;aaaaaaaa:)", "(|)", "()", "(", ";", ";;", "disconnected"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=12),
)
last_ids: st.SearchStrategy[str] = _last_ids

_batches = _mostly(_list(messages, 3))
_number = _mostly(st.sampled_from(["0", "1", "2"]), numbers)


def bodies(session: str) -> Strategy:
    """Bodies for ``/send`` and ``/session`` of the session with this secret."""
    return _mostly(_fields({"session": _mostly(_said_just(session))}, {"messages": _batches, "seq": _number}))


def polls(session: str) -> Strategy:
    """Bodies for ``/poll``."""
    return _mostly(
        _fields(
            {"cursor": _number, "timeout": st.just("0")},
            {"session": _mostly(_said_just(session)), "messages": _batches, "seq": _number},
        )
    )


_names = _mostly(_any_of("chat:1", "room:1", "items"), texts)
_audiences = _mostly(
    _fields(
        {},
        {
            "users": _mostly(_list(texts)),
            "connections": _mostly(_list(texts)),
            "exclude": _mostly(_fields({}, {"users": _list(texts), "connections": _list(texts), "sender": anything})),
            "where": _mostly(_list(conditions)),
        },
    )
)
_message = {"data": anything, "sender": texts, "audience": _audiences, "priority": numbers}
_settings = {
    "metadata": _mostly(_object(anything)),
    "permissions": _mostly(_object(anything)),
    "capacity": numbers,
    "history": anything,
    "ttl": numbers,
    "maxMessages": numbers,
    "presenceTimeout": numbers,
    "typingTimeout": numbers,
}
_segments: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(
        ["chat:1", "room:1", "%00", "%ff", "%2f", "..", ".", "%2e%2e", "a;b", "a%0ab", "%ed%a0%80", "x" * 300, "%"]
    ),
    texts.map(_quoted),
)
_GETS = ("channels", "channels/{}", "channels/{}/messages", "channels/{}/presence", "connections", "{}", "{}/{}", "")
_pages = st.lists(
    st.tuples(st.sampled_from(["after", "limit", "closed", "before", "userId", "x"]), st.one_of(texts, numbers,
    anything).map(_quoted)),
    max_size=2,
).map(lambda pairs: "&".join(map("=".join, pairs)))  # fmt: skip
_posts: Sequence[tuple[str, str, Strategy]] = (
    ("POST", "channels/{}/broadcast", _fields({"event": _names}, _message | {"id": texts})),
    ("POST", "broadcast", _fields({"event": _names}, _message | {"users": _list(texts), "channels": _list(texts)})),
    ("POST", "channels", _fields({"name": _names}, _settings | {"createdBy": texts})),
    ("PATCH", "channels/{}", _fields({}, _settings)),
    ("POST", "channels/{}/kick", _fields({"userId": _names}, {"reason": texts})),
    ("DELETE", "connections/{}", st.just("")),
    ("DELETE", "channels/{}", st.just("")),
)


@lru_cache
def _calls() -> st.SearchStrategy[tuple[str, str, Json]]:
    gets = st.tuples(st.just("GET"), st.sampled_from(_GETS), st.just(""))
    posts = st.sampled_from(_posts).flatmap(
        lambda call: st.tuples(st.just(call[0]), st.just(call[1]), _mostly(call[2]))
    )
    return st.one_of(gets, posts, posts)


@st.composite
def rest_requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Method, path with query string, and body of a REST request."""
    method, pattern, body = draw(_calls())
    path = pattern.format(*(draw(_segments) for _ in range(pattern.count("{}"))))
    asked = draw(_pages)
    return method, f"/realtime/{path}{'?' if asked else ''}{asked}", body.encode(errors="surrogatepass")


paths: st.SearchStrategy[str] = st.lists(_segments, max_size=3).map(lambda parts: "/" + "/".join(parts))
"""Any path at all."""

frames: st.SearchStrategy[str | bytes] = st.one_of(
    messages, packed_messages, messages.map(lambda text: text.encode(errors="surrogatepass"))
)
"""One frame of a client that mixes text and binary."""

_HEADERS = (
    "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cookie", "Origin",
    "Referer", "Last-Event-ID", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Range", "If-None-Match",
    "If-Modified-Since", "Sec-Fetch-Site", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X",
)  # fmt: skip
_HEADER_VALUES = (
    "", " ", ",", ";", "*/*", "null", "application/json", "application/json; charset=utf-16", "application/json; charset=x",
    "text/plain", "multipart/form-data", "multipart/form-data; boundary=", "application/msgpack", "gzip", "br, gzip;q=x",
    "Bearer", "Bearer ", "Bearer \xff", "Basic Og==", "Basic \xe9", "http://", "http://[", "https://example.com:99999",
    "bytes=0-", "W/", "cross-site", "websocket", "h2c", "0/1/1", "(|;:)", "a=b; a=c", "=", "\xff\xfe", "1" * 5000,
)  # fmt: skip
headers: st.SearchStrategy[list[tuple[str, str]]] = st.lists(
    st.tuples(
        st.sampled_from(_HEADERS),
        st.one_of(
            st.sampled_from(_HEADER_VALUES),
            st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12),
        ),
    ),
    max_size=4,
)
"""Header lines, as names and values in Latin-1; a name may come twice."""

raw_bodies: st.SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"\xef\xbb\xbf{}", b"\xff", b'{"event":"\xff"}', b'{"event":"\xed\xa0\x80"}', b'{"event":"e","event":"f"}',
            '{"event":"e"}'.encode("utf-16"), '{"event":"e"}'.encode("utf-32-le"), b"event=e&data=1", b"\0" * 20,
            b'{"event":"e","data":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"event":"e","data":1e999999999}',
            b'{"event":"e","data":' + b"9" * 5000 + b"}", b"{" + b'"a":' * 5000, b"\x1f\x8b\x08\0", b" " * 5000,
        ]
    ),
)  # fmt: skip
"""Bodies that are no JSON, or nearly none."""
