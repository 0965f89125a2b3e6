"""A wrong call of the REST clients is refused where it is written, before any request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from bunbase import AsyncRealtimeServer, RealtimeServer

URL = "http://localhost:8410"
TEXT = "a non-empty string is expected, not "

Calls = dict[str, Callable[[Any, Any], object]]
NAMES: dict[str, Calls] = {
    "channel": {
        "channel": lambda server, name: server.channel(name),
        "create_room": lambda server, name: server.create_room(name),
        "get_room": lambda server, name: server.get_room(name),
        "update_room": lambda server, name: server.update_room(name, capacity=1),
        "close_room": lambda server, name: server.close_room(name),
    },
    "event": {
        "broadcast": lambda server, name: server.broadcast(name),
        "channel.broadcast": lambda server, name: server.channel("chat:1").broadcast(name),
    },
    "user_id": {
        "kick": lambda server, name: server.channel("chat:1").kick(name),
        "disconnect_user": lambda server, name: server.disconnect_user(name),
    },
    "connection_id": {"disconnect": lambda server, name: server.disconnect(name)},
}
CASES = [(name, method) for name, methods in NAMES.items() for method in methods]


@pytest.mark.parametrize("kind", [AsyncRealtimeServer, RealtimeServer])
@pytest.mark.parametrize(("name", "method"), CASES, ids=[method for _, method in CASES])
async def test_a_name_that_is_none_is_refused(kind: type[Any], name: str, method: str) -> None:
    call = NAMES[name][method]
    for value, error, shown in ((None, TypeError, "NoneType"), (5, TypeError, "int"), ("", ValueError, "''")):
        with pytest.raises(error, match=f"^{name}: {TEXT}{shown}$"):
            await _result(call(kind(URL), value))


@pytest.mark.parametrize("kind", [AsyncRealtimeServer, RealtimeServer])
async def test_an_optional_one_is_refused_unless_it_is_none(kind: type[Any]) -> None:
    server: Any = kind(URL)
    channel = server.channel("chat:1")
    cases: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (TypeError, f"user_id: {TEXT}int", lambda: server.get_connections(user_id=5)),
        (ValueError, f"user_id: {TEXT}''", lambda: server.get_connections(user_id="")),
        (TypeError, f"id: {TEXT}int", lambda: channel.broadcast("e", id=5)),
        (ValueError, f"id: {TEXT}''", lambda: channel.broadcast("e", id="")),
        (TypeError, "traceparent: a string is expected, not int", lambda: channel.broadcast("e", traceparent=5)),
        (ValueError, "traceparent: a W3C traceparent is", lambda: server.broadcast("e", traceparent="x")),
        (TypeError, "data.a: a JSON value is expected, not set", lambda: channel.broadcast("e", {"a": {1}})),
        (TypeError, "encryption: Encryption is expected, not str", lambda: server.channel("chat:1", encryption="x")),
        (TypeError, "timeout: a number above 0 is expected, not str", lambda: kind(URL, timeout="5")),
        (ValueError, "attempts: a whole number from 1 is expected, not 0", lambda: kind(URL, attempts=0)),
    ]
    for error, words, call in cases:
        with pytest.raises(error) as refused:
            await _result(call())
        assert str(refused.value).startswith(words)


@pytest.mark.parametrize("kind", [AsyncRealtimeServer, RealtimeServer])
def test_a_key_that_no_header_can_carry_is_refused_without_the_key(kind: type[Any]) -> None:
    for key in ("sk_secret\n", "sk_s\u00e4cret"):
        with pytest.raises(ValueError, match=r"^api_key: it has a line break, or other characters") as refused:
            kind(URL, key)
        assert "sk_" not in str(refused.value)


async def _result(given: object) -> object:
    return await given if inspect.isawaitable(given) else given
