"""Client messages, requests and addresses with something wrong in them, as the text that goes over the wire.

A message is a list of fields, and each field's value is JSON *text*, not a Python value: so numbers keep their digits,
keys may come twice, and what is no JSON at all can be sent. Most fields of a message are as they should be, because one
that is wrong everywhere is refused at the first look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st

__all__ = [
    "frames",
    "messages",
    "packed_messages",
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


def quoted_text(text: str) -> Json:
    return json.dumps(text)


texts: Strategy = st.one_of(
    st.sampled_from([quoted_text(text) for text in _TEXTS]),
    st.sampled_from(_SURROGATES),
    st.text(max_size=8).map(quoted_text),
)
numbers: Strategy = st.one_of(
    st.sampled_from(_NUMBERS), st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr)
)
scalars: Strategy = st.one_of(texts, numbers, st.sampled_from(["null", "true", "false"]))


def lists_of(items: Strategy, most: int = 3) -> Strategy:
    return st.lists(items, max_size=most).map(lambda parts: f"[{','.join(parts)}]")


def objects_of(values: Strategy, most: int = 3) -> Strategy:
    pairs = st.tuples(texts, values).map(":".join)
    return st.lists(pairs, max_size=most).map(lambda parts: f"{{{','.join(parts)}}}")


anything: Strategy = st.one_of(
    scalars, st.sampled_from(_STRUCTURES), lists_of(scalars), objects_of(scalars), st.sampled_from(_BROKEN)
)
"""Any value, and now and then what is none."""


def mostly(usual: Strategy, unusual: Strategy = anything) -> Strategy:
    """Three times of four as it should be."""
    return st.one_of(usual, usual, usual, unusual)


def objects_with(required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> Strategy:
    """An object with these fields; sometimes one comes twice, or one that is unknown."""
    known = {**required, **optional}
    more = st.lists(st.sampled_from(sorted(optional)), unique=True, max_size=4) if optional else st.just([])

    @st.composite
    def made(draw: st.DrawFn) -> Json:
        names = [*required, *draw(more)]
        parts = [f"{quoted_text(name)}:{draw(known[name])}" for name in names]
        match draw(st.integers(0, 30)):
            case 0 if names:
                parts.append(f"{quoted_text(draw(st.sampled_from(names)))}:{draw(anything)}")
            case 1:
                parts.append(f"{draw(texts)}:{draw(anything)}")
            case 2 if parts:
                parts.pop(0)
        return f"{{{','.join(parts)}}}"

    return made()


def any_of(*values: str) -> Strategy:
    return st.sampled_from([quoted_text(value) for value in values])


columns = mostly(any_of(*COLUMNS), texts)
operators = mostly(any_of(*_OPERATORS), texts)
values: Strategy = st.one_of(scalars, scalars, lists_of(scalars), anything)
_condition: Strategy = st.one_of(
    st.tuples(columns, operators, values).map(lambda parts: f"[{','.join(parts)}]"),
    st.tuples(columns, any_of("is-null", "is-not-null")).map(lambda parts: f"[{','.join(parts)}]"),
    lists_of(anything, 4),
)
conditions: Strategy = st.recursive(
    _condition,
    lambda inner: st.one_of(
        st.tuples(any_of("and", "or"), lists_of(inner)).map(lambda pair: f"{{{pair[0]}:{pair[1]}}}"),
        inner.map(lambda one: f'{{"not":{one}}}'),
    ),
    max_leaves=4,
)
_orders = lists_of(
    st.one_of(
        columns, st.tuples(columns, any_of("asc", "desc")).map(lambda pair: f"[{','.join(pair)}]"), lists_of(texts)
    )
)
_cursor = mostly(lists_of(scalars))
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
    .map(lambda parts: quoted_text(parts[0].format(*parts[1:]))),
    any_of("select id from items", "select", "", "delete from items", "select id from items;--", "select 1",
    "select $2 from items"),
    texts,
)  # fmt: skip
_builder = {
    "where": mostly(lists_of(conditions)),
    "orderBy": mostly(_orders),
    "select": mostly(lists_of(columns)),
    "limit": mostly(st.sampled_from(["1", "10", "10000", "1.0"]), numbers),
    "startAt": _cursor,
    "startAfter": _cursor,
    "endAt": _cursor,
    "endBefore": _cursor,
}
queries: Strategy = mostly(
    st.one_of(objects_with({}, _builder), objects_with({"sql": _sql}, {"params": mostly(lists_of(anything, 2))}))
)

channels = mostly(any_of("chat:1", "chat:2", "presence:1", "private:1", "public:1", "*"), texts)
positions = st.one_of(
    any_of("0/1/1", "0/1", "FFFFFFFF/FFFFFFFF/999999999999999999", "FFFFFFFF/FFFFFFFF", "0/0/0", "0/1/", "-1/1/1"),
    anything,
)
_presences = mostly(
    st.one_of(
        st.sampled_from(["true", "false"]),
        objects_with({}, dict.fromkeys(("status", "name", "avatar", "typing", "metadata", "x"), values)),
    )
)
_common = {"id": mostly(texts), "epoch": mostly(texts), "since": positions, "auth": anything}


def _typed(type_: str, required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> Strategy:
    return objects_with({"type": mostly(mostly(constant(type_)), texts)} | dict(required), optional)


def constant(text: str) -> Strategy:
    return st.just(quoted_text(text))


subscribes: Strategy = st.one_of(
    _typed(
        "subscribe",
        {"channel": channels},
        _common
        | {
            "presence": _presences,
            "history": mostly(st.sampled_from(["0", "1", "1000"])),
            "filter": mostly(
                objects_with({}, {"events": mostly(lists_of(texts)), "where": mostly(lists_of(conditions))})
            ),
            "query": queries,
        },
    ),
    _typed("subscribe", {"channel": constant("db:collection:items"), "query": queries}, {"id": mostly(texts)}),
    _typed("subscribe", {"channel": constant("db:collection:items")}, _common | {"query": queries, "filter": anything}),
)
messages: Strategy = st.one_of(
    subscribes,
    subscribes,
    _typed("unsubscribe", {"channel": channels}, {"id": texts}),
    _typed(
        "message",
        {"channel": channels, "event": mostly(texts)},
        {"data": anything, "id": texts, "ref": texts},
    ),
    _typed("presence:update", {"channel": channels, "data": _presences}, {"ref": texts}),
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

frames: st.SearchStrategy[str | bytes] = st.one_of(
    messages, packed_messages, messages.map(lambda text: text.encode(errors="surrogatepass"))
)
