"""MessagePack carries what JSON carries, in both directions; what JSON cannot carry is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol.msgpack import json_of, packed, packed_fields, packed_snapshot
from server.protocol.server_messages import snapshot_head, snapshot_tail
from server.protocol.validation import InvalidMessageError
from tests.support.clients.list_client import write
from tests.support.clients.transports import SocketClient, transport_client
from tests.support.clients.users import running_server

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@given(VALUES)
def test_packed_values_equal_their_json(value: Any) -> None:
    assert msgspec.msgpack.decode(packed(json.dumps(value).encode())) == value


@given(VALUES)
def test_unpacked_values_equal_those_of_the_client(value: Any) -> None:
    assert json.loads(json_of(msgspec.msgpack.encode(value))) == value


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" * 400, "12345678901234567890123"])
def test_integers_beyond_64_bits_become_floats(text: str) -> None:
    assert msgspec.msgpack.decode(packed(b'{"n":%b,"exact":18446744073709551615}' % text.encode())) == {
        "n": float(text),
        "exact": 18446744073709551615,
    }


def test_a_number_as_long_as_postgres_allows_is_packed() -> None:
    assert msgspec.msgpack.decode(packed(b"9" * 5000)) == float("inf")
    assert msgspec.msgpack.decode(packed(b"1e400")) == float("inf")


@given(VALUES)
def test_values_packed_by_token_are_the_same(value: Any) -> None:
    """A number beyond 64 bits is in it, so the fast way is closed."""
    payload = json.dumps({"n": 2**64, "value": value}).encode()
    assert msgspec.msgpack.decode(packed(payload)) == {"n": 2.0**64, "value": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud800"', "\ufffd"),
        (r'{"\udc00x": ["a\ud800", "\ud83d\ude00"]}', {"\ufffdx": ["a\ufffd", "\U0001f600"]}),
        (r'["\"\\", "\ud800", {}, [], true, null, -0.5e3]', ['"\\', "\ufffd", {}, [], True, None, -500.0]),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(text: str, value: Any) -> None:
    assert msgspec.msgpack.decode(packed(text.encode())) == value


def test_any_nesting_of_a_row_is_packed() -> None:
    deep = packed(b'[{"a":' * 5000 + b"1" + b"}]" * 5000)
    assert deep == b"\x91\x81\xa1a" * 5000 + b"\x01"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), VALUES, st.booleans(), st.none() | VALUES)
def test_a_snapshot_put_together_is_the_whole_one(name: str, data: Any, reset: bool, meta: Any) -> None:
    head = snapshot_head(name, "q")
    annotation = None if meta is None else json.dumps({"why": meta}).encode()
    tail = snapshot_tail(0x16B3748, reset, json.dumps([{"doc": {"data": data}}]).encode(), annotation)
    together = packed_snapshot(head, packed_fields(tail[:-1]))
    assert msgspec.msgpack.decode(together) == json.loads(head + tail)


@pytest.mark.parametrize(
    "value",
    [{"data": b"bytes"}, {1: "a"}, {"t": msgspec.msgpack.Ext(5, b"x")}, {"n": float("nan")}, {"n": float("inf")}],
)
def test_values_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(InvalidMessageError):
        json_of(msgspec.msgpack.encode(value))


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidMessageError):
        json.loads(json_of(data))


@pytest.mark.parametrize("data", [b"\x81" * 100_000, b"\x91" * 100_000 + b"\xc0", b"\x81\xa1a" * 200 + b"\xc0"])
def test_nesting_beyond_reason_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        json_of(data)


async def test_a_client_of_messagepack_may_also_speak_json_and_is_refused_what_is_neither(database: str) -> None:
    async with running_server(database) as server, transport_client(server.url, "msgpack") as ada:
        assert isinstance(ada, SocketClient)
        await ada.socket.send('{"type":"ping"}')
        assert await ada.receive() == {"type": "pong"}
        binary = {"type": "message", "channel": "c", "event": "e", "data": b"b", "ref": "7"}
        await ada.socket.send(msgspec.msgpack.encode(binary))
        refused = await ada.receive()
        assert (refused["code"], refused["channel"], refused["ref"]) == ("RT_007", "c", "7")
        await ada.socket.send(b"\xc1")
        assert (await ada.receive())["code"] == "RT_007"
        await ada.join()
        write(database, "select realtime.broadcast('chat:1', 'e', '{\"n\": 123456789012345678901234}')")
        assert (await ada.receive("message"))["data"] == {"n": 1.2345678901234568e23}


async def test_binary_messages_are_refused_without_the_subprotocol_of_messagepack(database: str) -> None:
    async with running_server(database) as server, transport_client(server.url, "websocket") as ada:
        assert isinstance(ada, SocketClient)
        await ada.socket.send(msgspec.msgpack.encode({"type": "ping"}))
        assert (await ada.receive())["code"] == "RT_007"
