"""Hostile input of HTTP: addresses, bodies, headers, ids of events, calls of the REST API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz.hostile import (
    Json,
    Strategy,
    any_of,
    anything,
    channels,
    conditions,
    constant,
    lists_of,
    messages,
    mostly,
    numbers,
    objects_of,
    objects_with,
    subscribes,
    texts,
)


def _quoted(text: Json) -> str:
    """A JSON text's content as it goes into an address; what is no text goes as it is."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    return quote((found if isinstance(found, str) else text).encode(errors="surrogatepass"), safe="")


_parameters = st.one_of(
    st.tuples(st.just("channel"), channels.map(_quoted)),
    st.tuples(st.just("subscribe"), mostly(subscribes).map(lambda text: quote(text, safe=""))),
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

_batches = mostly(lists_of(messages, 3))
_number = mostly(st.sampled_from(["0", "1", "2"]), numbers)


def bodies(session: str) -> Strategy:
    """Bodies for ``/send`` and ``/session`` of the session with this secret."""
    return mostly(objects_with({"session": mostly(constant(session))}, {"messages": _batches, "seq": _number}))


def polls(session: str) -> Strategy:
    """Bodies for ``/poll``."""
    return mostly(
        objects_with(
            {"cursor": _number, "timeout": st.just("0")},
            {"session": mostly(constant(session)), "messages": _batches, "seq": _number},
        )
    )


_names = mostly(any_of("chat:1", "room:1", "items"), texts)
_audiences = mostly(
    objects_with(
        {},
        {
            "users": mostly(lists_of(texts)),
            "connections": mostly(lists_of(texts)),
            "exclude": mostly(
                objects_with({}, {"users": lists_of(texts), "connections": lists_of(texts), "sender": anything})
            ),
            "where": mostly(lists_of(conditions)),
        },
    )
)
_message = {"data": anything, "sender": texts, "audience": _audiences, "priority": numbers}
_settings = {
    "metadata": mostly(objects_of(anything)),
    "permissions": mostly(objects_of(anything)),
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
_GETS = (
    "channels",
    "channels/{}",
    "channels/{}/messages",
    "channels/{}/presence",
    "connections",
    "sessions",
    "{}",
    "{}/{}",
    "",
)
_pages = st.lists(
    st.tuples(st.sampled_from(["after", "limit", "closed", "before", "userId", "x"]), st.one_of(texts, numbers,
    anything).map(_quoted)),
    max_size=2,
).map(lambda pairs: "&".join(map("=".join, pairs)))  # fmt: skip
_posts: Sequence[tuple[str, str, Strategy]] = (
    ("POST", "channels/{}/broadcast", objects_with({"event": _names}, _message | {"id": texts})),
    (
        "POST",
        "broadcast",
        objects_with({"event": _names}, _message | {"users": lists_of(texts), "channels": lists_of(texts)}),
    ),
    ("POST", "channels", objects_with({"name": _names}, _settings | {"createdBy": texts})),
    ("PATCH", "channels/{}", objects_with({}, _settings)),
    ("POST", "channels/{}/kick", objects_with({"userId": _names}, {"reason": texts})),
    ("DELETE", "connections/{}", st.just("")),
    ("DELETE", "channels/{}", st.just("")),
)


@lru_cache
def _calls() -> st.SearchStrategy[tuple[str, str, Json]]:
    gets = st.tuples(st.just("GET"), st.sampled_from(_GETS), st.just(""))
    posts = st.sampled_from(_posts).flatmap(lambda call: st.tuples(st.just(call[0]), st.just(call[1]), mostly(call[2])))
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
