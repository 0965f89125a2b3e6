"""The demo's rows: enough of them, the same every time, exposed."""

from __future__ import annotations

import psycopg

from server.demo import seed


def counts(dsn: str) -> tuple[object, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select (select count(*) from messages), (select count(distinct room_id) from messages),"
            " (select count(*) from orders), (select count(*) from products), (select count(distinct region) from orders)"
        ).fetchone()
    assert row is not None
    return row


def content(dsn: str) -> tuple[object, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select (select md5(string_agg(room_id || author || body || likes, '|' order by id)) from messages),"
            " (select md5(string_agg(customer || amount || region, '|' order by id)) from orders)"
        ).fetchone()
    assert row is not None
    return row


def test_seeding_makes_rows_that_look_lived_in(database: str) -> None:
    seed(database)
    messages, rooms, orders, products, regions = counts(database)
    assert (messages, rooms, orders, products, regions) == (336, 4, 860, 24, 4)
    with psycopg.connect(database) as connection:
        days = connection.execute("select count(distinct created_at::date) from orders").fetchone()
        future = connection.execute("select count(*) from orders where created_at > now()").fetchone()
    assert days is not None
    assert days[0] >= 58
    assert future == (0,)


def test_seeding_again_changes_nothing_that_was_written_since(database: str) -> None:
    seed(database)
    with psycopg.connect(database) as connection:
        connection.execute("delete from messages where room_id = 'general'")
        connection.execute("update products set price = 1")
    before = content(database), counts(database)
    seed(database)
    assert (content(database), counts(database)) == before


def test_a_reset_brings_the_first_rows_back(database: str) -> None:
    seed(database)
    before = content(database)
    with psycopg.connect(database) as connection:
        connection.execute("delete from orders")
        connection.execute("update messages set body = upper(body)")
        connection.execute("select demo_reset()")
    assert content(database) == before


def test_the_tables_are_exposed_with_camel_case_names(database: str) -> None:
    seed(database)
    with psycopg.connect(database) as connection:
        exposed = connection.execute("select name, camel_case from realtime.collections order by name").fetchall()
    assert exposed == [("messages", True), ("orders", True), ("products", True)]


def test_seeding_works_on_the_oldest_server_too(database15: str) -> None:
    seed(database15)
    assert counts(database15) == (336, 4, 860, 24, 4)
