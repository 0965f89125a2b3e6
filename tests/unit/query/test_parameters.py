"""The texts of parameters: which PostgreSQL reads as the type that it inferred."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidQueryError
from engine.query.sql.parsing import parameters
from engine.query.sql.parsing.parameters import ParameterType, text_of

INTEGERS = ParameterType(1007, "int4[]", 23, ",")
TEXT = ParameterType(25, "text", 0, ",")


@given(st.integers(min_value=-(2**70), max_value=2**70))
def test_an_integer_is_written_with_its_digits(number: int) -> None:
    assert text_of(number, TEXT, 1) == str(number) == text_of(Decimal(number), TEXT, 1)


def test_ten_thousand_integers_are_written_without_a_decimal_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "Decimal", None)
    assert text_of(list(range(10_000)), INTEGERS, 1) == "{" + ",".join(map(str, range(10_000))) + "}"


@pytest.mark.parametrize("text", ["\ud800", "a" * 50_000 + "\udfff"], ids=["alone", "at the end"])
def test_a_lone_surrogate_is_refused_wherever_it_stands(text: str) -> None:
    with pytest.raises(InvalidQueryError, match="lone surrogate"):
        text_of(text, TEXT, 1)
    assert text_of(text[:-1] + "\ue000\U0001f600", TEXT, 1) == text[:-1] + "\ue000\U0001f600"
