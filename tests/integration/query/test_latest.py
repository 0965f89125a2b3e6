"""Conditions about one row share what they derive of its long values, and nothing is kept of it afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest

from engine.query.compile import predicate
from engine.query.compile.predicate import compile_predicate
from engine.query.ir import like
from engine.query.ir.latest import Latest, latest
from engine.query.ir.model import Compare, Or
from engine.values.nested import array_elements
from tests.integration.query.conftest import Oracle


class Derived:
    """What can be asked whether it is still there."""

    def __init__(self, value: bytes) -> None:
        self.size = len(value)


def test_values_derived_of_a_value_are_shared_and_released() -> None:
    kept = Latest()
    values = [bytes([97 + number % 26]) * 200_000 for number in range(40)]
    made = [weakref.ref(kept.of(value, Derived)) for value in values]
    assert kept.of(values[-1], Derived) is made[-1]()
    assert 1 <= sum(derived() is not None for derived in made) <= 5
    enormous = weakref.ref(kept.of(b"a" * 3_000_000, Derived))
    assert [derived() for derived in made] == [None] * len(made)
    assert enormous() is not None
    kept.forget()
    assert enormous() is None


def test_a_hundred_conditions_of_several_queries_read_a_large_array_once(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def counted(text: bytes, delimiter: bytes = b",") -> Iterator[bytes]:
        nonlocal reads
        reads += 1
        return array_elements(text, delimiter)

    monkeypatch.setattr(predicate, "array_elements", counted)
    conditions = [Compare("ints", "array-contains", (str(-number),), "integer") for number in range(1, 101)]
    tests = [compile_predicate(Or(tuple(conditions[start:])), oracle.table) for start in range(3)]
    row: list[bytes | None] = [None] * len(oracle.table.columns)
    row[oracle.table.index["ints"]] = b"{" + b",".join(b"%d" % number for number in range(18_000)) + b"}"
    assert [test(tuple(row)) for test in tests] == [False] * 3
    latest.forget()
    assert reads == 1


def test_a_hundred_patterns_of_several_queries_make_the_rows_of_a_long_text_once(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[like.Text] = []

    class Counted(like.Text):
        def __init__(self, letters: str, *, ignore_case: bool) -> None:
            super().__init__(letters, ignore_case=ignore_case)
            texts.append(self)

    monkeypatch.setattr(like, "Text", Counted)
    conditions = [Compare("text_c", "like", (f"%a{'_' * number}bb%",), "text") for number in range(1, 60)]
    tests = [compile_predicate(Or(tuple(conditions[start:])), oracle.table) for start in range(3)]
    row: list[bytes | None] = [None] * len(oracle.table.columns)
    row[oracle.table.index["text_c"]] = b"ab" * 60_000
    assert [test(tuple(row)) for test in tests] == [False] * 3
    latest.forget()
    assert len(texts) == 1
