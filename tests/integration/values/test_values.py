"""Equality, order and JSON of every type, against what PostgreSQL reports of the same values."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.values.conftest import Typed
from tests.support.examples import examples
from tests.support.values.value_strategies import EQUATABLE, JSON_ONLY, SORTABLE

_EVERY = SORTABLE | EQUATABLE | JSON_ONLY


def _parsed(text: bytes) -> Any:
    """A JSON value without loss; as in jsonb, the last of equal keys wins."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize("column", SORTABLE)
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_keys_sort_as_postgres_sorts(typed: Typed, column: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(SORTABLE[column], min_size=2, max_size=12))
    codec = typed.codec(column)
    assert codec.sort is not None
    assert codec.descend is not None
    assert codec.equal is not None
    verdicts = typed.ask(column, values)
    for a in verdicts:
        for b in verdicts:
            assert a.rank is not None
            assert b.rank is not None
            assert (codec.sort(a.text) < codec.sort(b.text)) is (a.rank < b.rank)
            assert (codec.sort(a.text) == codec.sort(b.text)) is (a.rank == b.rank)
            assert (codec.descend(a.text) < codec.descend(b.text)) is (a.rank > b.rank)
            assert ((codec.descend(a.text), 0) < (codec.descend(b.text), 1)) is (a.rank >= b.rank)
            assert (codec.equal(a.text) == codec.equal(b.text)) is (a.rank == b.rank)
            if a.rank == b.rank:
                assert hash(codec.equal(a.text)) == hash(codec.equal(b.text))


@pytest.mark.parametrize("column", EQUATABLE)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_values_are_equal_as_in_postgres(typed: Typed, column: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(EQUATABLE[column], min_size=2, max_size=8))
    equal = typed.codec(column).equal
    assert equal is not None
    assert typed.codec(column).sort is None
    keys = [equal(verdict.text) for verdict in typed.ask(column, values, ordered=False)]
    assert [[a == b for b in keys] for a in keys] == typed.equal(column, values)


@pytest.mark.parametrize("column", _EVERY)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_json_is_what_postgres_writes(typed: Typed, column: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(_EVERY[column], min_size=1, max_size=5))
    encode = typed.codec(column).json
    assert encode is not None
    for verdict in typed.ask(column, values, ordered=False):
        written = encode(verdict.text)
        assert _parsed(written) == _parsed(verdict.jsonb)
        assert written == verdict.row_json


@pytest.mark.parametrize("column", ["jsonb", "json", "numerics", "floats", "pair", "point", "money"])
def test_a_type_whose_equality_is_not_reproduced_is_marked(typed: Typed, column: str) -> None:
    assert typed.codec(column).equal is None
    assert typed.codec(column).sort is None


@pytest.mark.parametrize("column", ["shouted", "shouteds", "int2vector"])
def test_a_type_whose_json_is_made_elsewhere_is_not_encoded(typed: Typed, column: str) -> None:
    assert typed.codec(column).json is None


def test_the_char_type_sorts_as_unsigned_bytes(typed: Typed) -> None:
    codes = [0, 1, 65, 92, 127] + ([128, 200, 255] if typed.version >= 160000 else [])
    values = [
        row[0]
        for row in typed.connection.execute(
            'select n::"char"::text from unnest(%s::int[]) n', [[code if code < 128 else code - 256 for code in codes]]
        ).fetchall()
    ]
    sort, descend = typed.codec("char").sort, typed.codec("char").descend
    assert sort is not None
    assert descend is not None
    assert [sort(value.encode()) for value in values] == codes
    assert [descend(value.encode()) for value in values] == [-code for code in codes]


def test_an_infinite_interval_is_above_and_below_every_other(typed: Typed) -> None:
    if typed.version < 170000:
        pytest.skip("intervals are finite before PostgreSQL 17")
    values = ["-infinity", "-178000000 years", "0", "178000000 years", "infinity"]
    verdicts = typed.ask("interval", values)
    sort = typed.codec("interval").sort
    assert sort is not None
    assert sorted(verdicts, key=lambda verdict: sort(verdict.text)) == verdicts


def test_an_unknown_enum_label_is_an_error_not_a_guess(typed: Typed) -> None:
    sort, encode = typed.codec("mood").sort, typed.codec("mood").json
    assert sort is not None
    assert encode is not None
    with pytest.raises(KeyError):
        sort(b"newer than the catalog")
    with pytest.raises(KeyError):
        encode(b"newer than the catalog")
