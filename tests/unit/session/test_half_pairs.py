"""Half of a surrogate pair, as of a text that was cut within an emoji: its message is refused, by its own name."""

from __future__ import annotations

import json

import pytest

from server.limits.connection_limits import SessionLimits
from server.protocol.half_pairs import without_half_pairs
from server.session.session import Session

HALVES = ["\ud800", "a\udfff", "\ud83d\ud83d\ude00", "\ude00\ud83d", "\\\ud83d"]
WHOLE = ["", "\U0001f600", "\\ud83d", "\\\\ud83d\\", "\\u0041", "é"]


@pytest.mark.parametrize("text", HALVES)
@pytest.mark.parametrize(
    "message",
    [
        {"type": "message", "channel": "c", "event": "e", "data": "TEXT", "ref": "r"},
        {"type": "message", "channel": "c", "event": "e", "data": [{"TEXT": 1}], "ref": "r"},
        {"type": "message", "channel": "c", "event": "TEXT", "data": 1, "ref": "r"},
        {"type": "subscribe", "channel": "c", "attributes": {"a": "TEXT"}, "ref": "r"},
        {"type": "subscribe", "channel": "c", "query": {"where": [["a", "==", "TEXT"]]}, "ref": "r"},
    ],
    ids=lambda message: "/".join(key for key, value in message.items() if "TEXT" in str(value)) + " " + message["type"],
)
def test_a_message_with_half_a_pair_is_refused_by_its_names(message: dict[str, object], text: str) -> None:
    sent = json.dumps(message).replace("TEXT", json.dumps(text)[1:-1]).encode()
    [output] = Session("c1", SessionLimits()).receive(sent, 0.0)
    assert isinstance(output, bytes)
    error = json.loads(output)
    assert (error["code"], error["channel"], error["ref"]) == ("RT_007", "c", "r")
    assert "half of a surrogate pair" in error["message"]


@pytest.mark.parametrize("text", WHOLE)
def test_whole_pairs_and_what_only_looks_like_a_half_stay(text: str) -> None:
    assert without_half_pairs(json.dumps(text).encode()) is None


@pytest.mark.parametrize("text", HALVES)
def test_a_half_is_replaced_and_nothing_else_is(text: str) -> None:
    changed = without_half_pairs(json.dumps({"a": text, "é": "\U0001f600"}).encode())
    assert changed is not None
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(changed) == {"a": whole.replace("\ufffd", "\0"), "é": "\U0001f600"}
