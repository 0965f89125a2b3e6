"""A document is found by the id that the server gave it, whatever its key is."""

from __future__ import annotations

import pytest

from engine.errors import InvalidQueryError
from engine.query.builder.parse import parse_query
from engine.query.compile.to_sql import render_documents
from tests.integration.query.conftest import Oracle

KEYS = {
    "bool": ("boolean", "false", "true"),
    "letters": ("char(3)", "'a'", "'bc'"),
    "words": ("text", "'now'", '\'["a","7"]\'', "''"),
    "bytes": ("bytea", r"'\x00ff'", r"'\x'"),
    "json": ("jsonb", """'{"a": [1, null]}'""", """'"text"'""", "'null'", "'7'"),
    "ints": ("int[]", "'{1,null,3}'", "'{}'"),
    "times": ("timestamptz", "'2026-01-25T09:00:00.123456Z'", "'infinity'"),
    "big": ("bigint", "9007199254740993", "-9223372036854775808"),
    "digits": ("numeric", "0.12345678901234567890123", "'NaN'", "1e30"),
    "doubles": ("float8", "0.1", "'-Infinity'", "1e300"),
    "reals": ("real", "0.1", "1e-40"),
    "uids": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "moods": ("mood", "'sad'", "'happy'"),
    "oids": ("oid", "4294967295"),
    "points": ("pair", "'(1,\"a b\")'", "'(,)'"),
}


@pytest.fixture(scope="module")
def keyed(oracle: Oracle) -> Oracle:
    oracle.execute("create type pair as (a int, b text)")
    for name, (type_, *values) in KEYS.items():
        oracle.execute(f"create table {name} (key {type_} primary key); select realtime.expose('{name}')")
        oracle.execute(f"insert into {name} values {', '.join(f'({value})' for value in values)}")
    oracle.execute("""
        create table triples (room text, number bigint, day date, primary key (room, number, day));
        insert into triples values ('a', 1, '2026-01-25'), ('a', 2, '2026-01-25'), ('["b"]', 1, 'infinity');
        select realtime.expose('triples');
        create table nameless (a int);
        alter table nameless replica identity full;
        select realtime.expose('nameless')
    """)
    oracle.reload()
    return oracle


def found(oracle: Oracle, collection: str, spec: dict[str, object]) -> list[str]:
    table = oracle.catalog.by_collection[collection]
    query = oracle.canonical(parse_query(spec, table), table)
    return [(row[0] or b"").decode() for row in oracle.run(render_documents(query, table))]


@pytest.mark.parametrize("collection", [*KEYS, "triples"])
def test_each_document_is_found_by_its_id(keyed: Oracle, collection: str) -> None:
    ids = found(keyed, collection, {})
    assert len(ids) == len(set(ids)) > 0
    for id in ids:
        assert found(keyed, collection, {"doc": id}) == [id]
        assert found(keyed, collection, {"doc": [id]}) == [id]


@pytest.mark.parametrize("collection", [*KEYS, "triples"])
def test_the_documents_are_divided_at_the_id_of_each(keyed: Oracle, collection: str) -> None:
    ids = found(keyed, collection, {})
    for place, id in enumerate(ids):
        cursor = {"doc": id, "values": []}
        assert found(keyed, collection, {"startAfter": cursor}) == ids[place + 1 :]
        assert found(keyed, collection, {"startAt": cursor}) == ids[place:]
        assert found(keyed, collection, {"endAt": cursor}) == ids[: place + 1]
        assert found(keyed, collection, {"endBefore": cursor}) == ids[:place]


def test_a_composite_key_is_given_by_its_values_too(keyed: Oracle) -> None:
    assert found(keyed, "triples", {"doc": ["a", 2, "2026-01-25"]}) == ['["a","2","2026-01-25"]']
    assert found(keyed, "triples", {"doc": ['["b"]', "1", "infinity"]}) == ['["[\\"b\\"]","1","infinity"]']


@pytest.mark.parametrize("given", ["a", ["a", 2], '["a"]', '["a", 2, "2026-01-25"]', "[" * 100_000, 7, None, [{}]])
def test_what_is_no_composite_key_is_refused(keyed: Oracle, given: object) -> None:
    with pytest.raises(InvalidQueryError, match=r"the values of its key \(room, number, day\)"):
        found(keyed, "triples", {"doc": given})


def test_a_day_that_is_no_fixed_one_is_no_key(keyed: Oracle) -> None:
    with pytest.raises(InvalidQueryError, match="depends on when it is read"):
        found(keyed, "times", {"doc": "now"})


def test_a_table_without_a_key_has_no_documents_by_id(keyed: Oracle) -> None:
    specs: tuple[dict[str, object], ...] = ({"doc": "x"}, {"startAt": {"doc": "x", "values": []}})
    for spec in specs:
        with pytest.raises(InvalidQueryError, match="no primary key"):
            found(keyed, "nameless", spec)
