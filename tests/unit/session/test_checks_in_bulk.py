"""What a message costs that has as many values as fit into it: its values are checked in bulk, not one after the other."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.values.exact_json import expansion
from engine.values.levels import deeper_than, levels
from server.limits.connection_limits import SessionLimits
from server.session.message_reader import MessageReader

_MANY = 14_000
_FEW_CALLS = 400
"""Functions that may be called for one message, whatever it contains: far fewer than it has values."""


def _published(data: object) -> dict[str, object]:
    return {"type": "message", "channel": "c", "event": "e", "data": data}


def _calls(work: Callable[[], object]) -> int:
    """How many functions ``work`` calls, of Python and of C. What C calls does not count, and the collector is off: it calls
    functions of Hypothesis once an earlier test has used that.
    """
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize(
    "data",
    [
        pytest.param([1.5e30] * _MANY, id="numbers"),
        pytest.param(["\0"] * _MANY, id="texts with NUL"),
        pytest.param([[]] * _MANY + [1e30], id="lists"),
        pytest.param([{"a": 1}] * _MANY, id="objects"),
        pytest.param({f"{number}\0": number for number in range(8_000)}, id="keys"),
    ],
)
def test_a_message_of_many_values_is_checked_with_few_calls(data: object) -> None:
    reader = MessageReader(SessionLimits())
    message = _published(data)
    text, binary = json.dumps(message, separators=(",", ":")).encode(), msgspec.msgpack.encode(message)
    assert _calls(lambda: reader.text(text, 0.0)) < _FEW_CALLS
    assert _calls(lambda: reader.packed(binary, 0.0)) < _FEW_CALLS


def test_a_query_with_a_list_of_ten_thousand_values_is_read_with_few_calls() -> None:
    query = {"where": [["likes", "in", list(range(10_000))]]}
    text = json.dumps({"type": "subscribe", "channel": "db:collection:messages", "query": query}).encode()
    reader = MessageReader(SessionLimits())
    assert _calls(lambda: reader.text(text, 0.0)) < _FEW_CALLS


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.decimals(-9, 9),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=2), inside, max_size=3),
    max_leaves=20,
)


def _one_by_one(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(below for item in inside for below in _one_by_one(item))]


def _depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


@given(_values)
def test_levels_have_each_value_and_each_key_once(value: Any) -> None:
    found = list(levels(value))
    expected = _one_by_one(value)
    assert sorted(map(repr, (item for level in found for item in level.values))) == sorted(map(repr, expected))
    keys = [key for item in expected if isinstance(item, dict) for key in item]
    assert sorted(key for level in found for key in level.keys) == sorted(keys)
    assert [deeper_than(value, limit) for limit in range(6)] == [_depth(value) > limit for limit in range(6)]


def test_digits_of_exponents_are_counted_for_each_number() -> None:
    [level] = levels(Decimal("1e20"))
    assert expansion(level) == 20
    assert sum(map(expansion, levels([Decimal("1e20"), {"a": Decimal("2e-7")}, 1.5, True, "1e9"]))) == 27
    assert sum(map(expansion, levels([1e16, 1e-5, 0.5]))) == 620
