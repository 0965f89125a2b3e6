"""Numbers between Python and the wire: what is sent keeps its digits, and no number ends the connection."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from bunbase.protocol.codec import decode_text, encode_binary, encode_text
from hypothesis import given
from hypothesis import strategies as st

_TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=20,
)


def _named(value: Any) -> Any:
    """With numbers as ``Decimal`` and keys as text, as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    return Decimal(value) if type(value) is int else value


@given(_TREES)
def test_a_decimal_and_an_integer_of_any_size_are_written_with_all_their_digits(value: Any) -> None:
    assert json.loads(encode_text(value), parse_int=Decimal, parse_float=Decimal) == _named(value)


def test_a_number_that_json_does_not_have_is_refused() -> None:
    for value in (Decimal("NaN"), Decimal("Infinity"), float("nan")):
        with pytest.raises(ValueError, match=r"NaN|Infinity|JSON"):
            encode_text({"v": [value]})


def test_a_number_that_messagepack_lacks_is_sent_as_json() -> None:
    assert encode_binary({"v": [Decimal("0.12345678901234567890123")]}) == '{"v":[0.12345678901234567890123]}'
    assert encode_binary({"v": 2**64}) == '{"v":18446744073709551616}'
    assert encode_binary({"v": 2**64 - 1}) == msgspec.msgpack.encode({"v": 2**64 - 1})


@pytest.mark.parametrize("digits", ["1" * 4300, "9" * 5000, "-" + "9" * 131072])
def test_an_integer_of_more_digits_than_int_reads_is_a_decimal(digits: str) -> None:
    found = decode_text(f'{{"v":[{digits},7]}}')
    assert found["v"][0] == Decimal(digits)
    assert found["v"][1:] == [7]


def test_invalid_or_too_deep_json_is_a_value_error() -> None:
    for text in ("{", "[" * 100_000, b"\xff"):
        with pytest.raises(ValueError, match=r"Expecting|nested|decode"):
            decode_text(text)
