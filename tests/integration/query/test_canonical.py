"""Values that are known to be as PostgreSQL prints them are just those that it prints so."""

from __future__ import annotations

import pytest

from engine.errors import InvalidQueryError
from engine.query.ir.model import Compare, Query
from engine.query.literals import canonicalise, is_canonical
from tests.integration.query.conftest import Oracle

_VALUES = {
    "text": ["", "a", " a ", "A\t\n", "'\\\"", "\x7f", "é", "\x00", "a" * 300],
    "character varying": ["", "abcdefghij", "ü"],
    "boolean": ["t", "f", "true", "T", " t", "on", ""],
    "smallint": [
        "0",
        "-0",
        "1",
        "-1",
        "01",
        "+1",
        "32767",
        "32768",
        "-32768",
        "-32769",
        " 1",
        "1 ",
        "1_0",
        "0x1",
        "1.0",
    ],
    "integer": ["2147483647", "2147483648", "-2147483648", "-2147483649", "", "1e3"],
    "bigint": ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"],
    "uuid": [
        "0190163d-8694-739b-aea5-966c26f8ad91",
        "0190163D-8694-739b-aea5-966c26f8ad91",
        "{0190163d-8694-739b-aea5-966c26f8ad91}",
        "0190163d8694739baea5966c26f8ad91",
        "0190163d-8694-739b-aea5-966c26f8ad9",
    ],
}
_COLUMNS = {
    "text": "text_c",
    "character varying": "vc",
    "boolean": "bool",
    "smallint": "small",
    "integer": "int",
    "bigint": "big",
    "uuid": "uid",
}
_KNOWN = {"text": 7, "character varying": 2, "boolean": 2, "smallint": 5, "integer": 2, "bigint": 2, "uuid": 1}


@pytest.mark.parametrize("name", _VALUES)
def test_postgresql_prints_a_value_that_is_taken_as_canonical_as_it_is(oracle: Oracle, name: str) -> None:
    known = 0
    for value in _VALUES[name]:
        query = Query("wide", Compare(_COLUMNS[name], "==", (value,), name), projection=(("id", "id"),))
        try:
            taken = is_canonical(query, oracle.table)
        except InvalidQueryError:
            taken = False
        if taken:
            known += 1
            printed = oracle.runner.run(canonicalise(query, oracle.table, oracle.connection))
            assert printed.where == query.where, value
    assert known == _KNOWN[name]


def test_a_value_of_a_type_with_functions_of_its_own_is_asked_for(oracle: Oracle) -> None:
    assert not is_canonical(Query("wide", Compare("int", "==", ("1",), "integer")), oracle.table)  # it shows a domain
