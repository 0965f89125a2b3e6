"""Databases that are not UTF-8: text that cannot be sent ends only what shows it, and text is compared as it is there."""

from __future__ import annotations

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.integration.feed.test_obstacle import encoded_database
from tests.support.nodes.live_node import json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

TABLE = (
    "create table t (id int primary key, n int, s text, list text[], doc jsonb)",
    "insert into t values (1, 1, 'a', '{b}', '{\"c\": 1}')",
    "select realtime.expose('t')",
)
SHOWN = ("s", "list", "doc")


def selected(columns: str, rest: str = "order by id") -> Query:
    select = f"select {columns} from t {rest}"
    return Query("t", {"sql": select}, json_rows(select))


UNCONCERNED = (
    selected("id, n"),
    selected("id, n", "where n > 0 order by n desc, id limit 3"),
    selected("id, n", "where s <> 'b' order by id"),
)


@pytest.mark.parametrize(
    ("encoding", "torn"),
    [("SQL_ASCII", rb"caf\xe9"), ("WIN1252", rb"\x81"), ("EUC_JP", rb"\xa9\xa1")],
)
async def test_a_value_that_cannot_be_sent_ends_only_the_queries_that_show_it(
    pg18: LocalPostgres, encoding: str, torn: bytes
) -> None:
    with encoded_database(pg18, encoding) as dsn:
        run_each(dsn, *TABLE)
        async with live_node(dsn) as play:
            unconcerned = [await play.follow(query) for query in UNCONCERNED]
            showing = [await play.follow(selected(f"id, {column}")) for column in SHOWN]
            with psycopg.connect(dsn, autocommit=True, client_encoding=encoding) as sql:
                sql.execute(
                    b"insert into t values (2, 2, E'" + torn + b"', array[E'" + torn + b"'], "
                    b"jsonb_build_object('d', E'" + torn + b"'))"
                )
            for follower in showing:
                await follower.until(lambda: follower.error is not None)
                assert 'encoding "UTF8"' in str(follower.error)
            for follower in unconcerned:
                await follower.until(lambda: "2" in follower.ids)
            newcomers = [await play.follow(query) for query in UNCONCERNED]
            run_each(dsn, "update t set n = 5 where id = 1", "insert into t (id, n, s) values (3, 3, 'c')")
            await play.check(*unconcerned, *newcomers)
            run_each(dsn, "delete from t where id = 2", "insert into t (id, n, s) values (4, 4, 'd')")
            await play.check(*unconcerned, *newcomers, *[await play.follow(query) for query in UNCONCERNED])


@pytest.mark.parametrize(
    ("encoding", "keys"),
    [("WIN1252", "a€éÿ"), ("LATIN9", "aŒéÿ"), ("EUC_JP", "a日アЖ"), ("LATIN1", "aéãÿ"), ("SQL_ASCII", "a€é日")],
)
async def test_keys_are_ordered_as_the_encoding_of_the_database_has_them(
    pg18: LocalPostgres, encoding: str, keys: str
) -> None:
    ordered = json_rows('select * from k order by n, id collate "C"')
    with encoded_database(pg18, encoding) as dsn:
        run_each(dsn, "create table k (id text primary key, n int)", "select realtime.expose('k')")
        async with live_node(dsn) as play:
            follower = await play.follow(Query("k", {"orderBy": [["n", "asc"]]}, ordered))
            for key in keys:
                run_each(dsn, f"insert into k values ('{key}', 1)")
            await play.check(follower)


async def test_an_underscore_in_a_pattern_is_a_byte_where_the_database_knows_no_characters(pg18: LocalPostgres) -> None:
    with encoded_database(pg18, "SQL_ASCII") as dsn:
        run_each(dsn, *TABLE)
        async with live_node(dsn) as play:
            followers = [
                await play.follow(
                    Query(
                        "t",
                        {"where": [["s", "like", like]]},
                        json_rows(f"select * from t where s like '{like}' order by id"),
                    )
                )
                for like in ("caf_", "caf__", "%é")
            ]
            run_each(dsn, "insert into t (id, s) values (2, 'café'), (3, 'cafe')")
            await play.check(*followers)
            assert [follower.ids for follower in followers] == [["3"], ["2"], ["2"]]


async def test_two_characters_that_are_sent_as_the_same_one_are_not_equal(pg18: LocalPostgres) -> None:
    with encoded_database(pg18, "EUC_JP") as dsn:
        run_each(dsn, *TABLE)
        async with live_node(dsn) as play:
            followers = [
                await play.follow(
                    Query("t", {"where": [condition]}, json_rows(f"select * from t where {sql} order by id"))
                )
                for condition, sql in (
                    (["s", "==", "√"], "s = '√'"),
                    (["s", "like", "√%"], "s like '√%'"),
                    (["list", "array-contains", "√"], "'√' = any (list)"),
                )
            ]
            with psycopg.connect(dsn, autocommit=True, client_encoding="EUC_JP") as sql:
                for number, root in ((2, rb"\xa2\xe5"), (3, rb"\xad\xf5")):
                    sql.execute(b"insert into t (id, s, list) values (%d, E'%b', array[E'%b'])" % (number, root, root))
            await play.check(*followers)
            assert all(len(follower.ids) == 1 for follower in followers)
