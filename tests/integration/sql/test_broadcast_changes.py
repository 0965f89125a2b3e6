"""The trigger for business tables: every kind of change, on tables of every kind, without standing in their way."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.sql.conftest import Connect, Connection, run

TRIGGER = (
    "create trigger t after insert or update or delete on {}"
    " for each row execute function realtime.broadcast_changes({})"
)


def sent(db: Connection) -> list[tuple[str, str, dict[str, Any]]]:
    rows = run(db, "select channel, event, payload from realtime.messages order by xid, seq")
    return [(row["channel"], row["event"], row["payload"]) for row in rows]


def table(db: Connection, definition: str, *arguments: str, name: str = "orders") -> None:
    run(db, f"create table {name} ({definition})")
    run(db, TRIGGER.format(name, ", ".join(f"'{each}'" for each in arguments)))


def test_insert_update_and_delete_arrive_with_both_rows(db: Connection) -> None:
    table(db, "id int primary key, customer int, total numeric", "orders:{customer}")
    run(db, "insert into orders values (1, 7, 9.90)")
    run(db, "update orders set total = 12")
    run(db, "delete from orders")
    first, second = {"id": 1, "customer": 7, "total": 9.90}, {"id": 1, "customer": 7, "total": 12}
    base = {"schema": "public", "table": "orders"}
    assert sent(db) == [
        ("orders:7", "INSERT", {**base, "operation": "INSERT", "record": first, "old": None}),
        ("orders:7", "UPDATE", {**base, "operation": "UPDATE", "record": second, "old": first}),
        ("orders:7", "DELETE", {**base, "operation": "DELETE", "record": None, "old": second}),
    ]


def test_event_and_columns_can_be_chosen(db: Connection) -> None:
    table(db, "id int, secret text, status text", "orders", "order-changed", "id, status")
    run(db, "insert into orders values (1, 'x', 'new')")
    [(channel, event, payload)] = sent(db)
    assert (channel, event, payload["record"]) == ("orders", "order-changed", {"id": 1, "status": "new"})


@pytest.mark.parametrize(
    "columns", ['"Order Id", "a, b" ,amount', '{"Order Id","a, b",amount}', ' Order Id,"a, b",\r\n  amount\r\n']
)
def test_columns_with_blanks_and_commas_in_their_names_can_be_chosen(db: Connection, columns: str) -> None:
    table(db, '"Order Id" int, "a, b" int, amount int, secret text', "orders", "", columns)
    run(db, "insert into orders values (1, 2, 3, 'x')")
    [(_, event, payload)] = sent(db)
    assert (event, payload["record"]) == ("INSERT", {"Order Id": 1, "a, b": 2, "amount": 3})


def test_a_column_to_be_shown_that_the_table_lacks_is_an_error_that_names_it(db: Connection) -> None:
    table(db, "id int, amount int", "orders", "", "id,amuont")
    for write in ("insert into orders values (1, 2)",):
        with pytest.raises(psycopg.errors.UndefinedColumn, match="it has no 'amuont'"):
            run(db, write)
    for number, columns in enumerate(('id,"amount', "{}", "{NULL}", "{id,null}")):
        table(db, "id int", "orders", "", columns, name=f"bills{number}")
        with pytest.raises(psycopg.Error, match="not a list of columns"):
            run(db, f"insert into bills{number} values (1)")


def test_values_are_written_the_same_way_whatever_the_session_has_set(db: Connection) -> None:
    table(
        db,
        "id int, f float8, g float4, b bytea, i interval, t timestamptz, d daterange, tr tstzrange, m money, ts timestamp[]",
        "orders",
    )
    row = (
        "values (1, 0.1::float8 + 0.2, 1.2345678, '\\x00ff41', '1 year 2 days', '2026-01-01 00:00+00',"
        " '[2026-01-02,2026-02-03)', '[2026-01-01 00:00+00,)', 1234.5, '{2026-01-02 03:04:05}')"
    )
    run(db, "set timezone = 'UTC'")
    run(db, f"insert into orders {row}")
    for setting in (
        "extra_float_digits = -3", "bytea_output = escape", "intervalstyle = iso_8601", "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'", "xmlbinary = hex", "quote_all_identifiers = on",
    ):  # fmt: skip
        run(db, f"set {setting}")
    run(db, f"insert into orders {row}".replace("2026-01-02,2026-02-03", "02.01.2026,03.02.2026"))
    (_, _, plain), (_, _, odd) = sent(db)
    assert odd["record"] == plain["record"]
    assert plain["record"]["f"] == 0.30000000000000004
    assert plain["record"]["b"] == "\\x00ff41"
    assert plain["record"]["i"] == "1 year 2 days"
    assert plain["record"]["t"] == "2026-01-01T00:00:00+00:00"
    assert plain["record"]["tr"] == '["2026-01-01 00:00:00+00",)'


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_nulls_in_arrays_are_null_although_the_writer_reads_none(db: Connection, isolation: str) -> None:
    run(db, "create type kind as enum ('a'); create type pair as (k kind, n numeric)")
    table(db, "id int, k kind, n numeric[], x text[], j json[], p pair[]", "orders")
    run(db, "set array_nulls = off")
    run(db, f"set default_transaction_isolation = '{isolation}'")
    run(db, "insert into orders values (1, 'a', array[1, null], array['x', null], array['{}'::json, null],"
            " array[row('a', 1)::pair, null])")  # fmt: skip
    [(_, _, payload)] = sent(db)
    expected = {"n": [1, None], "x": ["x", None], "j": [{}, None], "p": [{"k": "a", "n": 1}, None]}
    assert {name: payload["record"][name] for name in expected} == expected


def test_a_row_that_moves_is_sent_to_both_channels(db: Connection) -> None:
    table(db, "id int, room text", "room:{room}")
    run(db, "insert into orders values (1, 'a')")
    run(db, "update orders set room = 'b'")
    assert [(channel, event) for channel, event, _ in sent(db)] == [
        ("room:a", "INSERT"),
        ("room:b", "UPDATE"),
        ("room:a", "UPDATE"),
    ]


def test_null_in_the_channel_is_no_channel(db: Connection) -> None:
    table(db, "id int, room text", "room:{room}")
    run(db, "insert into orders values (1, null), (2, 'a')")
    assert [payload["record"]["id"] for _, _, payload in sent(db)] == [2]


def test_an_unknown_column_in_the_channel_is_an_error_that_names_it(db: Connection) -> None:
    table(db, "id int", "room:{rom}")
    with pytest.raises(psycopg.errors.UndefinedColumn, match="'rom'"):
        run(db, "insert into orders values (1)")


def test_tables_with_odd_names_columns_and_types(db: Connection) -> None:
    run(db, """create schema "Odd-One"; create type mood as enum ('ok'); create type pair as (a int, b text)""")
    table(
        db,
        '"Key Col" int, gone int, "sp{ace" text, m mood, p pair, a int[], t timestamptz, b bytea,'
        ' twice int generated always as ("Key Col" * 2) stored, v jsonb',
        "odd:{Key Col}",
        name='"Odd-One"."My ""Table"""',
    )
    odd = '"Odd-One"."My ""Table"""'
    run(db, f"alter table {odd} drop column gone")
    run(
        db,
        f"insert into {odd} values (1, 's', 'ok', (1, 'x'), '{{1,2}}', '2026-01-01Z', '\\x01', default, '{{\"k\": null}}')",
    )
    [(channel, _, payload)] = sent(db)
    assert channel == "odd:1"
    assert payload["schema"] == "Odd-One"
    assert payload["table"] == 'My "Table"'
    record = payload["record"]
    assert record["twice"] == 2
    assert record["p"] == {"a": 1, "b": "x"}
    assert record["a"] == [1, 2]
    assert record["m"] == "ok"
    assert record["v"] == {"k": None}
    assert "gone" not in record


def test_a_partitioned_table_without_key_is_sent_by_partition(db: Connection) -> None:
    run(db, "create table logs (at date, x text) partition by range (at)")
    run(db, "create table logs_1 partition of logs for values from ('2026-01-01') to ('2027-01-01')")
    run(db, TRIGGER.format("logs", "'logs'"))
    run(db, "insert into logs values ('2026-05-05', 'a')")
    run(db, "update logs set x = 'b'")
    run(db, "delete from logs")
    assert [payload["operation"] for _, _, payload in sent(db)] == ["INSERT", "UPDATE", "DELETE"]


def test_truncate_is_sent_by_a_statement_trigger(db: Connection) -> None:
    run(db, "create table logs (x int)")
    run(
        db,
        "create trigger t after truncate on logs for each statement execute function realtime.broadcast_changes('logs')",
    )
    run(db, "truncate logs")
    [(channel, event, payload)] = sent(db)
    assert (channel, event, payload["record"]) == ("logs", "TRUNCATE", None)


def test_a_row_too_large_for_a_message_is_announced_without_its_values(db: Connection) -> None:
    table(db, "id int, body text", "room")
    run(db, "insert into orders values (1, repeat('x', 200000))")
    [(_, _, payload)] = sent(db)
    assert payload["tooLarge"] is True
    assert payload["record"] is None
    assert payload["table"] == "orders"


@pytest.mark.parametrize("history", [True, False])
def test_a_row_nested_too_deeply_is_announced_without_its_values(db: Connection, history: bool) -> None:
    run(db, "select realtime.create_channel('room', history => %s)", history)
    table(db, "id int, body jsonb", "room")
    run(db, "insert into orders values (1, (repeat('[', 3000) || repeat(']', 3000))::jsonb)")
    assert len(run(db, "select 1 from orders")) == 1
    if history:
        [(_, _, payload)] = sent(db)
        assert (payload["tooDeep"], payload["record"], payload["table"]) == (True, None, "orders")


def test_a_closed_channel_does_not_make_the_write_fail(db: Connection) -> None:
    table(db, "id int, room text", "room:{room}")
    run(db, "select realtime.create_channel('room:a')")
    run(db, "select realtime.close_channel('room:a')")
    run(db, "insert into orders values (1, 'a'), (2, %s)", "x" * 400)
    assert sent(db) == []
    assert len(run(db, "select 1 from orders")) == 2


def test_writers_that_lock_rows_in_different_transactions_never_wait_for_the_trigger(connect: Connect) -> None:
    a, b = connect(), connect()
    table(a, "id int primary key, room text", "room:{room}")
    run(a, "insert into orders values (1, 'x'), (2, 'y')")
    for each in (a, b):
        run(each, "set lock_timeout = '1ms'")
        run(each, "begin")
    run(a, "update orders set room = 'y' where id = 1")
    run(b, "update orders set room = 'x' where id = 2")
    run(a, "insert into orders values (3, 'x'), (5, 'y')")
    run(b, "insert into orders values (4, 'y'), (6, 'x')")
    run(b, "commit")
    run(a, "commit")
    assert len(sent(a)) == 10


def test_writers_to_the_table_need_no_privilege_on_realtime(db: Connection) -> None:
    run(db, "drop role if exists plain_writer; create role plain_writer")
    table(db, "id int", "room")
    run(db, "grant insert on orders to plain_writer")
    run(db, "set role plain_writer")
    run(db, "insert into orders values (1)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(db, "select realtime.broadcast('room', 'e')")
    run(db, "reset role; drop owned by plain_writer; drop role plain_writer")
    assert len(sent(db)) == 1


def test_a_cast_to_json_made_by_a_table_owner_is_not_run_with_our_privileges(db: Connection) -> None:
    run(db, "drop role if exists schemer; create role schemer in role realtime_publisher")
    run(db, "create schema lair authorization schemer; set role schemer; set search_path = lair")
    run(db, "create type trap as (a int)")
    run(db, "create domain named as text; create table caught (who text)")
    run(
        db,
        "create function spring(trap) returns json language plpgsql as"
        " $$ begin insert into lair.caught values (current_user); return '1'; end $$",
    )
    run(db, "create cast (trap as json) with function spring(trap)")
    table(db, "id int, t trap, l int[], n named, nothing trap", "room:{id}")
    run(db, "insert into orders values (1, row(5), '{1}', 'x', null)")
    run(db, "reset role; set search_path = public")
    assert run(db, "select who from lair.caught where who <> 'schemer'") == []
    [(channel, _, payload)] = sent(db)
    assert channel == "room:1"
    assert payload["record"] == {"id": 1, "t": {"a": 5}, "l": [1], "n": "x", "nothing": None}
    run(db, "drop owned by schemer cascade; drop role schemer")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_cast_made_after_the_writers_snapshot_is_not_run_with_our_privileges(
    connect: Connect, isolation: str
) -> None:
    db, other = connect(), connect()
    run(db, "create type kind as enum ('a', 'b')")
    run(
        db,
        "create function spring(kind) returns json language plpgsql as"
        " $$ begin raise exception 'ran as %', current_user; end $$",
    )
    table(db, "kind kind, id int", "room")
    run(db, f"begin isolation level {isolation}")
    run(db, "select 1")
    run(other, "create cast (kind as json) with function spring(kind)")
    run(db, "insert into orders values ('b', 1)")
    run(db, "commit")
    assert [payload["record"] for _, _, payload in sent(db)] == [{"kind": "b", "id": 1}]


def test_values_of_types_of_ones_own_are_written_as_to_jsonb_writes_them(db: Connection) -> None:
    run(db, """create type kind as enum ('a', 'b c', '"\\,')""")
    run(db, "create domain few as numeric(9,2); create domain fewer as few; create type nothing as ()")
    run(
        db,
        'create type part as (kind kind, n fewer, "odd, ""name" text, at timestamptz, list kind[], ok bool, f float8)',
    )
    table(
        db,
        'id int, j json, part part, parts part[], n fewer[], days date[], many kind[], boxes box[], empty nothing, c "char",'
        " r daterange, x text, t timestamp, d date, i int2vector",
        "room",
    )
    part = """row('"\\,', 1.50, e'a "q" \\\\ (,)\n', '2026-01-01Z', '{a,"b c",null}', true, 1e20)::part"""
    rows = [
        f"1, '{{\"a\": [1]}}', {part},"
        f" array[{part}, null, row(null, null, '', null, '{{}}', false, 'NaN')::part], '{{1.5,null}}',"
        " '{2026-01-02}', '{{a},{b c}}', array[box '((1,2),(3,4))', box '((1,2),(3,4))'], row(), 'x',"
        " '[2026-01-01,2026-02-01)', '', '2026-01-01 10:00', 'infinity', '1 2'",
        "2, null, null, '{}', '{}', null, null, null, null, null, 'empty', ',', null, null, null",
        f"3, '[]', row(null, null, null, null, null, null, null), array[array[{part}], array[{part}]], '{{NaN}}', null,"
        " null, null, null, '', null, '\"', null, null, ''",
    ]
    for row in rows:
        run(db, f"insert into orders values ({row})")
    settings = "set timezone = 'UTC'; set extra_float_digits = 1"
    run(db, settings)
    wanted = [row["doc"] for row in run(db, "select to_jsonb(o) as doc from orders o order by id")]
    assert [payload["record"] for _, _, payload in sent(db)] == wanted
