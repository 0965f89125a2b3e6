"""Conditions of rules in CEL, over data that is given behind the expression, after a byte 0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from server.protocol.validation import InvalidMessageError, check_payload
from server.rules.condition import ConditionError, Scope, compile_condition
from server.rules.form import form_problem, parts_of

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b"auth.uid", b"auth.claims", b"data", b"data.members", b"channel.name", b"request.time", b" == ", b" != ",
    b" && ", b" || ", b" in ", b" ? ", b" : ", b"!", b".exists(x, ", b".all(x, ", b".map(x, ", b".filter(x, ",
    b".includes(", b".size()", b".matches('", b"has(", b"timestamp('", b"duration('", b"int(", b"string(", b"bytes(",
    b"9223372036854775807", b"-9223372036854775808", b"18446744073709551615u", b"1e308", b"'", b'"', b"r'", b"\\",
    b"//", b"\n", b"[", b"]", b"(", b")", b"{", b"}", b",", b".", b"\0{}", b"((((((((", b"a{64}", b"\xf0\x9f\x98\x80",
)  # fmt: skip

_TIME: Final = datetime(2026, 1, 2, tzinfo=UTC)


def target(data: bytes) -> None:
    """A condition is refused or fails with ``ConditionError``, or decides: twice the same."""
    expression, _, given = data.partition(b"\0")
    text = expression.decode(errors="replace")
    if form_problem(text) is None:
        parts_of(text)
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    try:
        metadata: Any = check_payload(given)
    except InvalidMessageError:
        metadata = {"members": ["ada", "bob"], "n": 1, "nested": {"list": [1, 2.5, None, True]}}
    try:
        assert condition.evaluate(_scope(metadata)) is condition.evaluate(_scope(metadata))
    except ConditionError:
        return


def _scope(metadata: object) -> Scope:
    scope = Scope()
    scope.keep("auth", {"uid": "ada", "role": "user", "claims": {"team": "x"}, "anonymous": False, "attributes": {}})
    scope.keep("data", metadata)
    scope.give("channel", {"name": "chat:1", "kind": "chat", "id": "1", "exists": True, "createdBy": None})
    scope.give("request", {"action": "publish", "event": "e", "ip": "127.0.0.1", "transport": "rest", "time": _TIME})
    return scope
