"""Publishing by SQL: broadcast() and its relatives, ids, and what they wait for."""

from __future__ import annotations

import json

import psycopg
import pytest

from engine.channels.core.filters.filter import compile_filter
from engine.errors import InvalidQueryError
from tests.integration.sql.conftest import Connect, Connection, Stream, run, value
from tests.support import VECTORS


def stored(db: Connection, channel: str = "room") -> list[object]:
    rows = run(db, "select payload from realtime.messages where channel = %s order by xid, seq", channel)
    return [row["payload"] for row in rows]


def test_broadcast_stores_a_message_with_all_it_was_given(db: Connection) -> None:
    made = value(
        db,
        "select realtime.broadcast('room', 'hello', '{\"a\": 1}', sender => 'ann', id => 'm1',"
        """ audience => '{"exclude": {"sender": true}}', priority => 5)""",
    )
    assert made == "m1"
    [row] = run(db, "select * from realtime.messages")
    assert (row["channel"], row["event"], row["payload"], row["sender"]) == ("room", "hello", {"a": 1}, "ann")
    assert (row["id"], row["priority"], row["audience"]) == ("m1", 5, {"exclude": {"sender": True}})


VALUES: list[tuple[str, object]] = [
    ("row(1, 'x')", {"f1": 1, "f2": "x"}),
    ("d", {"a": 1, "b": None}),  # a row of a table
    ("(2, 3)::d", {"a": 2, "b": 3}),
    ("null::d", None),
    ("null", None),
    ("5", 5),
    ("1.50", 1.5),
    ("true", True),
    ("array[1, 2]", [1, 2]),
    ("date '2026-01-02'", "2026-01-02"),
    ("""'{"a": 1}'::varchar""", {"a": 1}),
    ("""'{"a": 1}'::name""", {"a": 1}),
]


@pytest.mark.parametrize(("payload", "expected"), VALUES)
def test_a_payload_of_any_type_is_delivered_as_json(
    db: Connection, stream: Stream, payload: str, expected: object
) -> None:
    run(db, "create table d (a int, b int); insert into d values (1)")
    run(db, "select realtime.create_channel('room:1')")
    for call in (
        f"realtime.broadcast('room:1', 'e', {payload})",
        f"realtime.broadcast('room:1', event => 'e', payload => {payload}, sender => 'ann')",
        f"realtime.broadcast_rooms('{{room:*}}', 'e', {payload})",
        f"realtime.broadcast_all('e', {payload}, priority => 1)",
        f"realtime.broadcast_users('{{ann}}', 'e', {payload})",
    ):
        run(db, f"select {call} from d")
    assert [row["payload"] for row in run(db, "select payload from realtime.messages")] == [expected] * 3
    assert [command["payload"] for command in stream.messages("realtime.command")] == [expected] * 2


def test_a_record_variable_and_the_row_of_a_trigger_are_payloads(db: Connection) -> None:
    run(db, "create table d (a int)")
    run(
        db,
        "create function announce() returns trigger language plpgsql as $$ declare r record; begin "
        "select new.a + 1 as b into r; perform realtime.broadcast('room', 'e', new), realtime.broadcast('room', 'e', r); "
        "return new; end $$; create trigger announce before insert on d for each row execute function announce()",
    )
    run(db, "insert into d values (1)")
    run(db, "set role realtime_publisher")
    run(db, "select realtime.broadcast('room', 'e', row(3)), realtime.broadcast('room', 'e', '{\"c\": 4}')")
    assert stored(db) == [{"a": 1}, {"b": 2}, {"f1": 3}, {"c": 4}]


@pytest.mark.parametrize(
    "call", ["broadcast('room', 'e', {})", "broadcast_all('e', {})", "broadcast_users('{{a}}', 'e', {})"]
)
@pytest.mark.parametrize("payload", ["'x'", "''", "'x'::text", r"""'"\u0000"'::json"""])
def test_text_that_is_no_json_is_refused_with_the_next_step(db: Connection, call: str, payload: str) -> None:
    with pytest.raises(psycopg.Error, match="the payload is not JSON") as refused:
        run(db, f"select realtime.{call.format(payload)}")
    assert refused.value.sqlstate == "RT007"
    assert "to_jsonb" in (refused.value.diag.message_hint or "")


PAYLOADS = ["json_build_object('a', 1)", "jsonb_build_object('a', 1)", "'{\"a\": 1}'", "'{\"a\": 1}'::text", "$1"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_can_be_json_jsonb_text_a_literal_or_a_parameter(
    db: Connection, stream: Stream, payload: str
) -> None:
    run(db, "create table d (a int); insert into d values (1)")
    run(db, "select realtime.create_channel('room:1')")
    for call in (
        f"realtime.broadcast('room:1', 'e', {payload})",
        f"realtime.broadcast('room:1', event => 'e', payload => {payload}, sender => 'ann')",
        f"realtime.broadcast_rooms('{{room:*}}', 'e', {payload})",
        f"realtime.broadcast_all('e', {payload}, priority => 1)",
        f"realtime.broadcast_users('{{ann}}', 'e', {payload})",
    ):
        psycopg.RawCursor(db).execute(f"select {call}".encode(), ['{"a": 1}'] if "$1" in payload else None)
    assert [row["payload"] for row in run(db, "select payload from realtime.messages")] == [{"a": 1}] * 3
    assert [command["payload"] for command in stream.messages("realtime.command")] == [{"a": 1}] * 2


def test_a_payload_can_be_left_out_or_null(db: Connection) -> None:
    for call in ("'room', 'e'", "'room', 'e', null", "'room', 'e', id => 'x'", "'room', 'e', payload => null::json"):
        run(db, f"select realtime.broadcast({call})")
    run(db, "select realtime.broadcast_all('e')")
    assert run(db, "select distinct payload::text as p from realtime.messages") == [{"p": "null"}]


def test_users_that_are_null_or_in_two_dimensions_are_still_users(db: Connection, stream: Stream) -> None:
    for users in ("'{ann,NULL}'", "'{{ann,bob},{cat,NULL}}'", "null"):
        run(db, f"select realtime.broadcast_users({users}, 'e')")
    assert [c["users"] for c in stream.messages("realtime.command")] == [["ann"], ["ann", "bob", "cat"], []]


def test_a_rolled_back_transaction_sends_nothing(connect: Connect, stream: Stream) -> None:
    db = connect()
    run(db, "insert into realtime.channels (name, history) values ('quiet', false)")
    run(db, "begin")
    run(db, "select realtime.broadcast('room', 'e'), realtime.broadcast('quiet', 'e'), realtime.broadcast_all('e')")
    run(db, "rollback")
    assert stored(db) == []
    assert stream.messages("realtime.message") == stream.messages("realtime.command") == []


def test_a_channel_without_history_is_only_in_the_stream(db: Connection, stream: Stream) -> None:
    run(db, "select realtime.create_channel('quiet', history => false)")
    run(db, "select realtime.broadcast('quiet', 'move', '{\"x\": 1}', id => 'a')")
    run(db, "select realtime.broadcast('quiet', 'move', '{\"x\": 2}', id => 'a')")
    assert stored(db, "quiet") == []
    [message] = stream.messages("realtime.message")
    assert (message["channel"], message["event"], message["payload"], message["id"]) == ("quiet", "move", {"x": 1}, "a")
    assert message["key"] == value(db, "select stream_key from realtime.settings")


def test_a_broadcast_to_all_or_to_users_is_a_control_message(db: Connection, stream: Stream) -> None:
    run(db, 'select realtime.broadcast_all(\'news\', \'1\', audience => \'{"where": [["plan", "==", "pro"]]}\')')
    run(db, "select realtime.broadcast_users('{ann,bob}', 'news', '2')")
    run(db, "select realtime.broadcast_users(null, 'news', '3')")
    everybody, two, none = stream.messages("realtime.command")
    assert everybody["command"] == "broadcast"
    assert everybody["users"] is None
    assert everybody["audience"]["where"]
    assert two["users"] == ["ann", "bob"]
    assert none["users"] == []


def test_broadcast_to_rooms_goes_to_each_and_to_open_rooms_by_pattern(db: Connection) -> None:
    run(db, "select realtime.create_channel(n) from unnest('{chat:1,chat:2,chat:3,other}'::text[]) n")
    run(db, "select realtime.close_channel('chat:3')")
    assert value(db, "select realtime.broadcast_rooms('{chat:*,chat:1,free}', 'e', '1')") == 3
    channels = run(db, "select channel from realtime.messages order by 1")
    assert [row["channel"] for row in channels] == ["chat:1", "chat:2", "free"]


DEEP = "(repeat('[', 600) || repeat(']', 600))::jsonb"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("realtime.broadcast('closed', 'e')", "RT004"),
        ("realtime.broadcast('made-first:1', 'e')", "RT004"),
        ("realtime.broadcast('room', 'e', to_jsonb(repeat('x', 131072)))", "RT005"),
        ("realtime.broadcast_all('e', to_jsonb(repeat('x', 131072)))", "RT005"),
        ("realtime.broadcast('room', '')", "RT007"),
        ("realtime.broadcast('', 'e')", "RT007"),
        ("realtime.broadcast(null, 'e')", "RT007"),
        ("realtime.broadcast('room', 'e', id => '')", "RT007"),
        ("realtime.broadcast('room', 'e', priority => 40000)", "RT007"),
        ("realtime.broadcast_all('e', priority => null)", "RT007"),
        ("realtime.broadcast_users('{ann}', 'e', priority => null)", "RT007"),
        ("realtime.broadcast('room', 'e', audience => '{\"user\": []}')", "RT007"),
        ("realtime.broadcast('room', 'e', audience => '{\"users\": \"ann\"}')", "RT007"),
        ("realtime.broadcast('room', 'e', audience => '{\"exclude\": {\"all\": true}}')", "RT007"),
        ("realtime.broadcast('room', 'e', audience => '[]')", "RT007"),
        (f"realtime.broadcast('room', 'e', {DEEP})", "RT007"),
        (f"realtime.broadcast('passing:x', 'e', {DEEP})", "RT007"),
        (f"realtime.broadcast_rooms('{{room}}', 'e', {DEEP})", "RT007"),
        (f"realtime.broadcast_all('e', {DEEP})", "RT007"),
        (f"realtime.broadcast_users('{{ann}}', 'e', {DEEP})", "RT007"),
        (f"realtime.broadcast_all('e', audience => jsonb_build_object('users', {DEEP}))", "RT007"),
    ],
)
def test_data_that_cannot_be_sent_is_refused_with_its_code(db: Connection, call: str, code: str) -> None:
    run(db, "select realtime.create_channel('closed')")
    run(db, "select realtime.close_channel('closed')")
    run(db, "insert into realtime.channel_defaults (pattern, dynamic) values ('made-first:*', false)")
    run(db, "insert into realtime.channel_defaults (pattern, history) values ('passing:*', false)")
    with pytest.raises(psycopg.Error) as refused:
        run(db, f"select {call}")
    assert refused.value.sqlstate == code
    assert stored(db) == []


@pytest.mark.parametrize("levels", [64, 511])
def test_data_within_the_depth_limit_can_be_sent(db: Connection, levels: int) -> None:
    nested = "[" * levels + "]" * levels
    run(db, "select realtime.broadcast('room', 'e', jsonb_build_array(%s::jsonb, repeat('x', 2000)))", nested[1:-1])
    assert len(stored(db)) == 1


@pytest.mark.parametrize("name", ["", "*", "db:x", "db:collection:messages", "a\nb", "a\x7f", "x" * 256])
def test_names_that_no_client_can_subscribe_to_are_refused(db: Connection, name: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        run(db, "select realtime.broadcast(%s, 'e')", name)
    assert refused.value.sqlstate == "RT007"


CONDITIONS = [
    [],
    [["a", "==", 1]],
    [["a.b", "in", [1, 2]], {"or": [["a", "is-null"], {"not": ["a", "like", "x%"]}]}],
    [["a", "=", 1]],
    [["a", "==", None]],
    [["a", "=="]],
    [["a", "is-null", 1]],
    [["a", "in", 1]],
    [["a", "<", [1]]],
    [["a", "like", 1]],
    [[1, "==", 1]],
    ["a"],
    [{}],
    [{"and": []}],
    [{"and": [["a", "==", 1]], "or": []}],
    [{"not": [["a", "==", 1]]}],
    [{"xor": [["a", "==", 1]]}],
    [1],
    [["a", "==", 1]] * 100,
    [["a", "==", 1]] * 101,
    [{"or": [["a", "==", 1]] * 60}, {"not": {"and": [["a", "==", 1]] * 41}}],
    [["a", "in", list(range(1000))]],
    [["a", "in", list(range(999))], ["a", "==", 1], ["a", "is-null"]],
    [["a", "in", list(range(999))], {"not": ["a", "array-contains", 1]}, ["a", "==", 1]],
    [["a", "in", [1, None]]],
    [["a", "in", [1, [None]]]],
    [["a", "array-contains-any", [None]]],
    [["a", "like", "é" * 500], {"or": [["b", "ilike", "x" * 500]]}],
    [["a", "like", "x" * 500], {"or": [["b", "ilike", "x" * 501]]}],
    [["a", "like", "x\\"]],
    [["a", "like", "x\\\\"]],
    [["a", "like", "x\n\\"]],
    [["a", "like", "x\n\\\ny"]],
    [[".".join(["a"] * 16), "==", 1]],
    [[".".join(["a"] * 17), "==", 1]],
    [["", "==", 1]],
    [["a..b", "==", 1]],
    [["a.", "==", 1]],
    [["a.\n.é", "==", 1]],
]


@pytest.mark.parametrize("where", CONDITIONS, ids=lambda where: json.dumps(where)[:60])
def test_sql_takes_the_conditions_that_servers_can_read_and_no_others(db: Connection, where: list[object]) -> None:
    try:
        compile_filter(where)
        readable = True
    except InvalidQueryError:
        readable = False
    for statement, conditions in (
        ("select realtime.broadcast('c', 'e', audience => %s::jsonb)", {"where": where}),
        ("insert into realtime.routes (from_channel, to_channel, match) values ('a', 'b', %s::jsonb)", where),
    ):
        if readable:
            run(db, statement, json.dumps(conditions))
            continue
        with pytest.raises(psycopg.Error) as refused:
            run(db, statement, json.dumps(conditions))
        assert refused.value.sqlstate == "RT007"


def test_the_largest_payload_fits(db: Connection) -> None:
    run(db, "select realtime.broadcast('room', 'e', to_jsonb(repeat('x', 131070)))")
    assert len(str(stored(db)[0])) == 131070


def test_two_transactions_that_broadcast_to_the_same_channels_in_opposite_order_do_not_wait(connect: Connect) -> None:
    a, b = connect(), connect()
    for each in (a, b):
        run(each, "set lock_timeout = '1ms'")
        run(each, "begin")
    for each, order in ((a, ("x", "y")), (b, ("y", "x"))):
        run(each, "select realtime.broadcast(%s, 'e', '1')", order[0])
    for each, order in ((a, ("x", "y")), (b, ("y", "x"))):
        run(each, "select realtime.broadcast(%s, 'e', '2')", order[1])
    run(a, "commit")
    run(b, "commit")
    assert sorted(map(str, stored(a, "x"))) == sorted(map(str, stored(a, "y"))) == ["1", "2"]


def test_conditions_of_routes_are_those_of_builder_queries_and_filters(db: Connection) -> None:
    conditions = json.loads((VECTORS / "conditions.json").read_text())
    for verdict in ("valid", "invalid"):
        for condition in conditions[verdict]:
            found = value(db, "select realtime.is_condition(%s::jsonb)", json.dumps(condition))
            assert found is (verdict == "valid"), condition
