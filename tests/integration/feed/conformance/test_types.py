"""Values are the bytes that a query gives in text format under the same session settings, whatever their type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.transaction import UNKNOWN, Change, Value
from tests.integration.feed.conftest import FeedSource, reading
from tests.support.examples import examples

# Samples for every base, range and multirange type of PostgreSQL 18 (those a server does not know are skipped).
SAMPLES: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "bytea": ["", "\\xdeadbeef", "\\x22005c"],
    '"char"': ["x", "\\", '"'],
    "name": ["a name", 'q"uote'],
    "int2": ["-32768", "32767"],
    "int4": ["0", "-2147483648"],
    "int8": ["9007199254740993", "-9223372036854775808"],
    "oid": ["4294967295"],
    "float4": ["0.1", "1e30", "-0", "NaN", "-Infinity"],
    "float8": ["0.1", "1e-300", "123456789012345678", "-0", "NaN", "Infinity"],
    "numeric": ["0.00001000", "-1e40", "12345678901234567890.123456789", "NaN", "Infinity", "-Infinity"],
    "numeric(10,2)": ["1.5"],
    "money": ["12.5", "-1234567.89"],
    "text": ["", "null", "true", 'q"uote\\back/slash', "tab\tnew\nline\r\b\f\x01\x1f\x7f", "é€😀\u2028", "{}"],
    "varchar(20)": ["a", " b "],
    "bpchar": ["a "],
    "char(5)": ["ab"],
    "xml": ["<a b='1'>&lt;</a>"],
    "json": ['{ "a" : [1, 1.0, "x\\u0041"] , "a":null}', "null", '"s"', "1e2"],
    "jsonb": ['{ "a" : [1, 1.0, "x\\u0041"] , "b":null}', "null", "1e2"],
    "jsonpath": ['$.a[*] ? (@ > "x")'],
    "date": ["2024-02-29", "infinity", "0044-03-15 BC"],
    "time": ["23:59:59.999999", "24:00:00"],
    "timetz": ["01:02:03.4+05:30"],
    "timestamp": ["2024-02-29 01:02:03.456", "-infinity", "4713-01-01 BC"],
    "timestamptz": ["2024-02-29 01:02:03.456+05", "infinity"],
    "interval": ["1 year -2 mons 3 days 04:05:06.789", "-00:00:01"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "bit(3)": ["101"],
    "varbit": ["", "1011"],
    "inet": ["192.168.0.1/24", "::1"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1,2.5)"],
    "lseg": ["[(1,2),(3,4)]"],
    "path": ["((1,2),(3,4))", "[(1,2)]"],
    "box": ["(3,4),(1,2)"],
    "polygon": ["((1,2),(3,4),(5,6))"],
    "line": ["{1,2,3}"],
    "circle": ["<(1,2),3>"],
    "tsvector": ["'a':1A 'b c':2"],
    "tsquery": ["'a' & !'b'"],
    "pg_lsn": ["16/B374D848"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "cid": ["5"],
    "tid": ["(1,2)"],
    "oidvector": ["1 2 3"],
    "int2vector": ["1 2 3"],
    "refcursor": ["cursor"],
    "regclass": ["pg_catalog.pg_class"],
    "regtype": ["integer"],
    "regproc": ["pg_catalog.now"],
    "regprocedure": ["pg_catalog.abs(integer)"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["+(integer,integer)"],
    "regrole": ["pg_monitor"],
    "regnamespace": ["pg_catalog"],
    "regconfig": ["english"],
    "regdictionary": ["simple"],
    "regcollation": ['"C"'],
    "regdatabase": ["postgres"],
    "aclitem": ["postgres=r/postgres"],
    "gtsvector": [],
    "int4range": ["[1,5)", "empty", "(,)"],
    "int8range": ["[1,9007199254740993)"],
    "numrange": ["[1.50,2)"],
    "tsrange": ["[2024-01-01 00:00,2024-01-02 00:00)"],
    "tstzrange": ["[2024-01-01 00:00+00,)"],
    "daterange": ["[2024-01-01,2024-02-01)"],
    "int4multirange": ["{[1,2),[5,8)}"],
    "int8multirange": ["{}"],
    "nummultirange": ["{[1.5,2)}"],
    "tsmultirange": ["{[2024-01-01 00:00,2024-01-02 00:00)}"],
    "tstzmultirange": ["{[2024-01-01 00:00+00,)}"],
    "datemultirange": ["{[2024-01-01,2024-02-01)}"],
    # Types of our own.
    "mood": ["sad", "so-so \"quoted\" 'é'"],
    "pair": ['(1,"a ""b"" \\\\ c")', "(,)"],
    "raw_pair": ['("\\\\xdead",t,NaN)'],
    "positive": ["5", "NaN"],
    "flag": ["t"],
    "blob": ["\\xdead"],
    "money_range": ["[1.5,2.5)"],
}
NOT_FOR_COLUMNS = {"pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_brin_bloom_summary", "pg_mcv_list"} | {
    "pg_brin_minmax_multi_summary",
    "pg_ddl_command",
}
OWN_TYPES = """
    create type mood as enum ('sad', 'so-so "quoted" ''é''');
    create type pair as (n int, s text);
    create type raw_pair as (b bytea, f bool, n numeric);
    create domain positive as numeric check (value > 0);
    create domain flag as bool;
    create domain blob as bytea;
    create type money_range as range (subtype = numeric);
"""


def known_types(sql: psycopg.Connection[Any]) -> list[str]:
    """The types of SAMPLES that this server has and was built with."""
    known = [name for name in SAMPLES if sql.execute("select to_regtype(%s)", [name]).fetchone() != (None,)]
    try:
        sql.execute("select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        known.remove("xml")
    return known


def read_back(sql: psycopg.Connection[Any], query: str) -> list[tuple[Value, ...]]:
    """The rows of a query as PostgreSQL's own text output."""
    result = sql.execute(query.encode()).pgresult
    assert result is not None
    return [tuple(result.get_value(i, j) for j in range(result.nfields)) for i in range(result.ntuples)]


def assert_same(source: FeedSource, changes: list[Change], rows: list[tuple[Value, ...]]) -> None:
    """The rows of the stream are the rows of the table, save for what wal2json cannot distinguish."""
    assert len(changes) == len(rows)
    for change, expected in zip(changes, rows, strict=True):
        new = change.new()
        assert new is not None
        for column, got, want in zip(change.relation.columns, new, expected, strict=True):
            if got is UNKNOWN:
                assert source.decoder == "wal2json"
                assert column.type_oid in (700, 701, 1700), column
                assert want is None or want in (b"NaN", b"Infinity", b"-Infinity"), (column, want)
            else:
                assert got == want, column


async def test_every_builtin_type_and_its_array_come_as_a_query_prints_them(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute(OWN_TYPES)
        types = known_types(sql)
        columns = [(f"c{i}", name) for i, name in enumerate(types)]
        definition = ", ".join(f"{c} {t}, {c}_array {t}[]" for c, t in columns)
        sql.execute(f"create table everything (id int primary key, {definition})".encode())
        sql.execute("select realtime.expose('everything')")
        async with reading(source.dsn, source.settings()) as reader:
            for i in range(max(len(s) for s in SAMPLES.values()) + 1):
                names, values, parameters = ["id"], [str(i)], []
                for c, t in columns:
                    if i < len(SAMPLES[t]):
                        names += [c, f"{c}_array"]
                        values += [f"%s::{t}", f"array[%s::{t}, null, %s::{t}]"]
                        parameters += [SAMPLES[t][i]] * 3
                sql.execute(
                    f"insert into everything ({', '.join(names)}) values ({', '.join(values)})".encode(), parameters
                )
                assert_same(source, await reader.changes(), read_back(sql, f"select * from everything where id = {i}"))


def test_no_builtin_type_was_forgotten(source: FeedSource) -> None:
    with source.connect() as sql:
        names = {
            name
            for (name,) in sql.execute(
                "select format_type(oid, null) from pg_type where typnamespace = 'pg_catalog'::regnamespace "
                "and typtype in ('b', 'r', 'm') and typcategory <> 'A' and typisdefined"
            )
        }
        covered = {
            sql.execute("select format_type(to_regtype(%s), null)", [name]).fetchone()[0]  # type: ignore[index]
            for name in SAMPLES
        }
        assert names - covered - NOT_FOR_COLUMNS == set()


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
rows = st.tuples(
    st.none() | texts,
    st.none() | st.binary(max_size=40),
    st.none() | st.floats(),
    st.none() | st.decimals(allow_nan=False) | st.just(Decimal("NaN")),
    st.none() | st.booleans(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.lists(st.none() | texts, max_size=4),
)


async def test_any_row_comes_as_a_query_prints_it(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute(
            "create table t (id int primary key generated always as identity, "
            "s text, b bytea, f float8, n numeric, o bool, i int8, a text[])"
        )
        sql.execute("select realtime.expose('t')")
        samples: list[tuple[Any, ...]] = []

        @settings(max_examples=examples(150), database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(rows)
        def collect(sample: tuple[Any, ...]) -> None:
            samples.append(sample)

        collect()
        async with reading(source.dsn, source.settings()) as reader:
            with sql.transaction():
                for sample in samples:
                    sql.execute(
                        "insert into t (s, b, f, n, o, i, a) "
                        "values (%s, %s::bytea, %s::float8, %s::numeric, %s, %s::int8, %s)",
                        sample,
                    )
            assert_same(source, await reader.changes(), read_back(sql, "select * from t order by id"))
            sql.execute("update t set id = default")
            changes = await reader.changes()
            assert [c.old()[0] for c in changes] == [str(i + 1).encode() for i in range(len(samples))]  # type: ignore[index]
