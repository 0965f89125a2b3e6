"""What nodes have counted, in PostgreSQL: added once, made hours and days, and removed; by the clock of the test."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.analytics.distinct import HASHES, SAMPLE, DistinctUsers
from tests.integration.analytics.books import NOON, Books
from tests.support.postgres.sql import read, run_each

VIEWS = ("minutes", "hours", "days", "channels", "countries", "peaks")


def test_sums_of_nodes_are_added_and_messages_that_all_nodes_see_count_once(books: Books) -> None:
    seen: dict[str, Any] = {"channels": {"chat:1": 3, "chat:2": 1}, "active_channels": 2}
    counted: dict[str, Any] = {
        "sessions": 2,
        "sessions_ended": 1,
        "session_seconds": 2.5,
        "connections": 2,
        "messages_in": 5,
        "messages_out": 8,
    }
    books.add("a", NOON, hashes=[1, 2], countries={"DE": 2}, **counted, **seen)
    books.add("b", NOON, hashes=[2, 3], countries={"DE": 1, "FR": 1}, **counted, **seen)
    [minute] = books.level("minutes")
    assert minute == {
        "at": NOON,
        "users": 3,
        "sessions": 4,
        "sessions_ended": 2,
        "session_seconds": 5.0,
        "connections": 4,
        "messages_in": 10,
        "messages_out": 16,
        "published": 4,
        "channels": 2,
    }
    channels = books.rows("select channel, messages, subscribers from realtime.analytics_channels order by channel")
    assert [tuple(each.values()) for each in channels] == [("chat:1", 3, 2), ("chat:2", 1, 2)]
    countries = books.rows("select country, sessions from realtime.analytics_countries order by country")
    assert [tuple(each.values()) for each in countries] == [("DE", 3), ("FR", 1)]


def test_a_write_that_is_repeated_after_its_commit_is_not_added_again(books: Books) -> None:
    assert books.add("a", NOON, batch=1, sessions=2, connections=2, channels={"chat:1": 2})
    assert not books.add("a", NOON, batch=1, sessions=2, connections=2, channels={"chat:1": 2})
    assert books.add("a", NOON, batch=2, sessions=1, connections=1, channels={"chat:1": 1})
    [minute] = books.level("minutes")
    assert (minute["sessions"], minute["connections"], minute["published"]) == (3, 2, 3)
    assert not books.add("a", NOON, batch=1, sessions=100)


def test_minutes_become_hours_and_hours_days_also_when_some_come_late(books: Books) -> None:
    for minute in range(90):
        books.add(
            "a",
            NOON + timedelta(minutes=minute),
            sessions=1,
            connections=minute % 7,
            hashes=[minute % 20],
            channels={"c": 2},
        )
    books.add("b", NOON + timedelta(minutes=6), connections=10, countries={"FR": 4})
    now = NOON + timedelta(minutes=91)
    assert books.roll_up(now)
    first, second = books.level("hours")
    assert (first["at"], first["sessions"], first["users"], first["connections"], first["published"]) == (
        NOON,
        60,
        20,
        16,
        120,
    )
    assert (second["at"], second["sessions"], second["published"]) == (NOON + timedelta(hours=1), 30, 60)
    [day] = books.level("days")
    assert (day["at"], day["sessions"], day["users"], day["connections"]) == (NOON - timedelta(hours=12), 90, 20, 16)
    assert day["published"] == 180
    books.add("b", NOON + timedelta(minutes=7), sessions=5, hashes=[100], countries={"FR": 1}, now=now)
    assert books.roll_up(now)
    assert [each["sessions"] for each in books.level("hours")] == [65, 30]
    [day] = books.level("days")
    assert (day["sessions"], day["users"]) == (95, 21)
    countries = books.rows("select bucket, country, sessions from realtime.analytics_countries order by 1, 3")
    assert [tuple(each.values()) for each in countries] == [
        ("day", "FR", 5), ("hour", "FR", 5), ("minute", "FR", 1), ("minute", "FR", 4)
    ]  # fmt: skip
    before = books.rows("select xmin::text from realtime.usage_totals where bucket <> 'minute'")
    assert books.roll_up(now)
    assert books.rows("select xmin::text from realtime.usage_totals where bucket <> 'minute'") == before


def test_hours_list_the_busiest_channels_and_one_row_has_the_rest(books: Books) -> None:
    for minute in range(3):
        at = NOON + timedelta(minutes=minute)
        for node in ("a", "b"):
            books.add(node, at, channels={"big": 10, f"small:{minute}": 2, "middle": 3}, published=16)
    books.roll_up(NOON + timedelta(minutes=5), channels=2)
    text = "select channel, messages from realtime.analytics_channels where bucket = %s order by messages desc"
    for bucket in ("hour", "day"):
        assert [tuple(each.values()) for each in books.rows(text, bucket)] == [("big", 30), ("middle", 9), (None, 9)]
    rest = "select sum(messages) as n from realtime.analytics_channels where bucket = 'minute' and channel is null"
    assert books.rows(rest) == [{"n": 3}]


def test_what_is_older_than_its_level_is_kept_is_removed_and_later_levels_stay(books: Books) -> None:
    books.add("a", NOON, sessions=1, hashes=[5], channels={"c": 1}, countries={"DE": 1})
    tables = ("usage_totals", "usage_users", "usage_channels", "usage_countries")
    for later, buckets in (
        (timedelta(minutes=5), {"minute", "hour", "day"}),
        (timedelta(days=1, hours=23), {"minute", "hour", "day"}),
        (timedelta(days=2, hours=1), {"hour", "day"}),
        (timedelta(days=90), {"hour", "day"}),
        (timedelta(days=91), {"day"}),
        (timedelta(days=3 * 366), set()),
    ):
        books.roll_up(NOON + later)
        for table in tables:
            assert {each["bucket"] for each in books.rows(f"select bucket from realtime.{table}")} == buckets, (
                later,
                table,
            )


def test_hashes_of_users_and_their_salt_are_dropped_when_the_day_is_over(books: Books) -> None:
    before = books.rows("select * from realtime.daily_salts(%s)", NOON)
    assert [each["day"] for each in before] == [NOON.date(), NOON.date() + timedelta(days=1)]
    assert books.rows("select * from realtime.daily_salts(%s)", NOON + timedelta(hours=11)) == before
    books.add("a", NOON, hashes=[5, 6])
    books.roll_up(NOON + timedelta(hours=1))
    assert len(books.rows("select from realtime.usage_users where hashes is not null")) == 3
    midnight = NOON + timedelta(hours=12)
    assert books.rows("select * from realtime.daily_salts(%s)", midnight)[0] == before[1]
    assert books.rows("select count(*) as n from realtime.usage_salts where salt = %s", before[0]["salt"]) == [{"n": 0}]
    books.roll_up(midnight + timedelta(hours=6))
    assert books.rows("select from realtime.usage_users where hashes is not null") == []
    assert [each["users"] for view in ("minutes", "hours", "days") for each in books.level(view)] == [2, 2, 2]


def test_sums_that_are_too_old_to_be_rolled_up_are_not_added(books: Books) -> None:
    books.add("a", NOON - timedelta(hours=6, minutes=1), sessions=1, now=NOON)
    books.add("a", NOON - timedelta(hours=5), sessions=1, now=NOON)
    assert [each["at"] for each in books.level("minutes")] == [NOON - timedelta(hours=5)]


def test_one_node_rolls_up_at_a_time_and_not_again_at_once(books: Books) -> None:
    books.add("a", NOON, sessions=1)
    with psycopg.connect(books.dsn) as other:
        other.execute("select realtime.roll_up_usage('0', '2 days', '90 days', '3 years', 9, %s)", [NOON])
        assert not books.roll_up(NOON)
    assert books.roll_up(NOON)
    books.add("a", NOON, sessions=1)
    assert not books.roll_up(NOON + timedelta(minutes=3), every="4 minutes")
    assert books.roll_up(NOON + timedelta(minutes=5), every="4 minutes")
    assert [each["sessions"] for each in books.level("hours")] == [2]


def test_estimates_of_users_are_the_same_in_sql_and_on_nodes(database: str) -> None:
    numbers = random.Random(13)
    for size in (0, 5, SAMPLE - 1, SAMPLE, 20_000):
        hashes = [numbers.randrange(HASHES) for _ in range(size)]
        users = DistinctUsers()
        users.add(hashes)
        text = "select s, realtime.distinct_users(s) from realtime.smallest_hashes(%s::bigint[]) s"
        [(sample, count)] = read(database, text, hashes)
        assert (sample, count) == (users.sample, users.count)


def test_peak_times_are_averages_of_hours_of_the_week(books: Books) -> None:
    for week, connections in enumerate((10, 20)):
        at = NOON + timedelta(weeks=week)
        books.add("a", at, connections=connections, hashes=[1], channels={"c": connections}, messages_out=4)
    books.add("a", NOON + timedelta(hours=1), connections=1)
    books.roll_up(NOON + timedelta(weeks=1, hours=2))
    peaks = books.rows("select * from realtime.analytics_peaks order by weekday, hour")
    assert peaks[0] == {
        "weekday": 7,
        "hour": 12,
        "hours": 2,
        "users": 1.0,
        "connections": 15.0,
        "most_connections": 20,
        "published": 15.0,
        "messages_out": 4.0,
    }
    assert [(each["weekday"], each["hour"]) for each in peaks] == [(7, 12), (7, 13)]


def test_all_of_it_can_be_cleared(books: Books) -> None:
    books.add("a", NOON, sessions=1, hashes=[5], channels={"c": 1}, countries={"DE": 1})
    books.roll_up(NOON)
    books.rows("select * from realtime.daily_salts(%s)", NOON)
    run_each(books.dsn, "select realtime.clear_analytics()")
    for table in ("usage_totals", "usage_users", "usage_channels", "usage_countries", "usage_salts"):
        assert books.rows(f"select from realtime.{table}") == []


def test_the_tables_are_not_published_salts_are_unlogged_and_every_column_is_described(database: str) -> None:
    tables = read(
        database,
        "select relname, relpersistence::text, realtime.is_published(oid) from pg_class "
        "where relnamespace = 'realtime'::regnamespace and relname like 'usage\\_%' and relkind = 'r' order by 1",
    )
    logged = ("usage_channels", "usage_countries", "usage_nodes", "usage_salts", "usage_totals", "usage_users")
    assert tables == [(name, "u" if name == "usage_salts" else "p", False) for name in logged]
    undescribed = read(
        database,
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 "
        "where c.relnamespace = 'realtime'::regnamespace and c.relname like 'analytics\\_%' and "
        "(col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)",
    )
    assert undescribed == []


def test_the_documentation_names_every_column_of_each_view(database: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations" / "analytics.md").read_text()
    for view in VIEWS:
        columns = read(
            database,
            f"select attname from pg_attribute where attrelid = 'realtime.analytics_{view}'::regclass and attnum > 0 "
            "order by attnum",
        )
        [documented] = re.findall(rf"^\|.*`realtime\.analytics_{view}`.*\| ([^|]*) \|$", page, re.MULTILINE)
        assert re.findall(r"`(\w+)`", documented) == [name for (name,) in columns]


def test_members_of_pg_monitor_read_the_views_and_no_hashes(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create role analyst in role pg_monitor")
        connection.execute("set local role analyst")
        for view in VIEWS:
            connection.execute(f"select * from realtime.analytics_{view}".encode())
        for table in ("usage_users", "usage_salts"):
            connection.execute("savepoint before")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from realtime.{table}".encode())
            connection.execute("rollback to before")
        connection.rollback()
