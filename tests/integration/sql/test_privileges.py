"""Who may do what by SQL, and that functions which run as their owner cannot be turned against him."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.postgres.statements.named_queries import query
from server.cli.migration.migrate import migrate
from tests.integration.sql.conftest import Connection, named, run, value

CALLS = [
    "select realtime.broadcast('r', 'e', '1', id => 'x')",
    "select realtime.broadcast('quiet', 'e')",
    "select realtime.broadcast_all('e')",
    "select realtime.broadcast_users('{ann}', 'e')",
    "select realtime.broadcast_rooms('{r,q*}', 'e')",
    "select realtime.create_channel('mine')",
    "select realtime.update_channel('quiet', '{\"capacity\": 2}')",
    "select realtime.close_channel('quiet')",
    "select realtime.kick('r', 'ann')",
    "select realtime.disconnect('c')",
    "select * from realtime.history('r')",
    "select * from realtime.presence_now, realtime.connection_list, realtime.channel_list",
    "insert into realtime.messages (channel, event, payload, sender, id) values ('r', 'e', '1', 'ann', 'y')",
    "delete from realtime.messages where channel = 'r'",
    "delete from realtime.connections where user_id = 'ann'",
    "insert into realtime.routes (from_channel, to_channel) values ('r', 'all')",
    "insert into realtime.preferences (user_id, channel) values ('ann', 'r')",
    "create trigger t after insert on own for each row execute function realtime.broadcast_changes('r')",
]
NEVER = [
    "select realtime.send('r', 'e', '1', null, null, null, 0)",
    "select realtime.send_change('r', 'e', '1')",
    "select realtime.emit('realtime.command', '{}')",
    "select realtime.direct(null, 'e', '1', null, null, 0)",
    "select realtime.note_expired('r', '0/1', 1)",
    "select realtime.drop_partitions()",
    "select realtime.expire_messages()",
    "select realtime.expire_kicks()",
    "select realtime.adopt_cluster()",
    "select stream_key from realtime.settings",
    "insert into realtime.messages (channel, event, xid) values ('r', 'e', '3')",
    "insert into realtime.messages (channel, event, inserted_at) values ('r', 'e', now())",
    "update realtime.messages set payload = '1'",
    "insert into realtime.presence (channel, connection_id, user_id) values ('r', 'c', 'ann')",
    "update realtime.channels set capacity = 5",
    "delete from realtime.nodes",
    "insert into realtime.commits select * from realtime.commits",
]


@pytest.fixture
def caller(db: Connection) -> Iterator[Connection]:
    """A connection as an ordinary role that has its own table and nothing else."""
    run(db, "drop role if exists ordinary; create role ordinary")
    run(db, "grant create on schema public to ordinary")
    run(db, "select realtime.create_channel('quiet', history => false)")
    run(db, "set role ordinary; create table own (x int)")
    yield db
    run(db, "reset role; drop owned by ordinary cascade; drop role ordinary")


@pytest.mark.parametrize("call", CALLS)
def test_an_ordinary_role_may_with_realtime_publisher_and_not_without(caller: Connection, call: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(caller, call)
    run(caller, "reset role; grant realtime_publisher to ordinary; set role ordinary")
    run(caller, call)


@pytest.mark.parametrize("call", NEVER)
def test_publishers_cannot_write_the_columns_of_order_and_trust(caller: Connection, call: str) -> None:
    run(caller, "reset role; grant realtime_publisher to ordinary; set role ordinary")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(caller, call)


PUBLISHERS = {
    "annotate(jsonb)",
    "broadcast(text,text,jsonb,text,text,jsonb,integer)",
    "broadcast_all(text,jsonb,text,jsonb,integer)",
    "broadcast_changes()",
    "broadcast_rooms(text[],text,jsonb,text,jsonb,integer)",
    "broadcast_users(text[],text,jsonb,text,jsonb,integer)",
    "close_channel(text)",
    "create_channel(text,jsonb,jsonb,integer,boolean,interval,integer,interval,interval,text)",
    "disconnect(text,text)",
    "epoch()",
    "history(text,text,integer)",
    "kick(text,text,text)",
    "update_channel(text,jsonb)",
}
OURS = {
    "broadcast_alert()",
    "adopt_cluster()",
    "check_channel()",
    "check_default()",
    "check_content_policy()",
    "check_route()",
    "check_rule()",
    "check_size()",
    "direct(text[],text,jsonb,text,jsonb,integer)",
    "drop_partitions()",
    "emit(text,jsonb)",
    "expire_kicks(integer)",
    "expire_messages(integer)",
    "extend_epochs(boolean)",
    "make_partitions(integer)",
    "node_removed()",
    "note_timelines(jsonb)",
    "note_ddl()",
    "occupancy_changed()",
    "presence_removed()",
    "send(text,text,jsonb,text,text,jsonb,integer,text,text,text)",
    "send_change(text,text,jsonb)",
    "serve_collection_call()",
    "try_send(text,text,jsonb,text,text,jsonb,integer,text,text,text)",
    "update_alert_rule(text,jsonb)",
}


def test_functions_that_run_as_their_owner_are_those_we_know_and_look_only_where_listed(db: Connection) -> None:
    """By signature: an overload with the name of a known function is another function."""
    found = run(
        db,
        "select substr(p.oid::regprocedure::text, length('realtime.') + 1) as f, p.proconfig::text as config,"
        " pg_get_userbyid(p.proowner)::text as owner, pg_get_userbyid(n.nspowner)::text as ours, array(select distinct"
        " case x.grantee when 0 then 'public' else pg_get_userbyid(x.grantee)::text end"
        " from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x where x.grantee <> p.proowner) as open_to"
        " from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'realtime' and p.prosecdef",
    )
    [reading] = [row for row in found if row["f"].startswith("read_as_reader(")]
    assert (reading["owner"], reading["open_to"]) == ("realtime_reader", [])  # with the path of its caller, itself
    others = [row for row in found if row is not reading]
    assert {row["f"] for row in others if "search_path=pg_catalog, pg_temp" not in (row["config"] or "")} == set()
    assert {row["f"] for row in others if row["owner"] != row["ours"]} == set()
    assert {row["f"] for row in others if row["open_to"] == ["realtime_publisher"]} == PUBLISHERS
    assert {row["f"] for row in others if row["open_to"] == ["public"]} == {"partition_truncated()"}
    assert {row["f"] for row in others if not row["open_to"]} == OURS


def test_the_function_that_sets_the_path_of_clients_is_for_the_reader_alone(db: Connection) -> None:
    allowed = run(
        db,
        "select x.grantee::regrole::text as role from pg_proc p cross join aclexplode(p.proacl) x"
        " where p.oid = 'realtime.use_path_of_role()'::regprocedure and x.grantee <> p.proowner",
    )
    assert [row["role"] for row in allowed] == ["realtime_reader"]


def test_an_overload_of_a_function_for_publishers_is_not_for_publishers(db: Connection, dsn: str) -> None:
    signature = "realtime.broadcast(integer)"
    run(db, f"create function {signature} returns integer language sql security definer as 'select 1'")
    run(db, "create function realtime.expose(integer) returns integer language sql security definer as 'select 1'")
    migrate(dsn)
    for role, name in (
        ("realtime_publisher", signature),
        ("public", signature),
        ("public", "realtime.expose(integer)"),
    ):
        assert not value(db, f"select has_function_privilege('{role}', '{name}', 'execute')")


def test_objects_that_a_caller_puts_in_the_way_are_not_used(caller: Connection) -> None:
    run(caller, "reset role; grant realtime_publisher to ordinary; set role ordinary")
    run(caller, "create table public.seen (who text)")
    run(
        caller,
        "create function public.trap(text) returns bigint language plpgsql as"
        " $$ begin insert into public.seen values (current_user); return 1; end $$",
    )
    run(caller, "create function public.length(text) returns int language sql as $$ select public.trap($1)::int $$")
    run(
        caller,
        "create function public.evil(jsonb, jsonb) returns boolean language sql as $$ select public.trap('') = 1 $$",
    )
    run(caller, "create operator public.<> (leftarg = jsonb, rightarg = jsonb, function = public.evil)")
    for name in ("messages", "channels", "settings", "pg_proc", "pg_cast", "pg_class", "removed"):
        run(caller, f"create temporary view {name} as select public.trap('{name}') as oid")
    run(caller, "set search_path = public, pg_temp, pg_catalog")
    for call in CALLS:
        run(caller, call.replace("t after", "t2 after"))
    run(caller, "insert into own values (1)")
    run(caller, "reset search_path; reset role")
    assert value(caller, "select count(*) from public.seen where who <> 'ordinary'") == 0


def test_no_other_role_may_call_anything_of_ours_but_what_live_queries_need(db: Connection) -> None:
    open_to_all = run(
        db,
        "select p.proname::text as f from pg_proc p where p.pronamespace = 'realtime'::regnamespace"
        " and has_function_privilege('public', p.oid, 'execute') order by 1",
    )
    assert {row["f"] for row in open_to_all} == {
        "expose", "identity_problem", "is_schema_owner", "leaves", "limit_to_owner", "missing_privileges",
        "owner_only_comment", "partition_truncated", "privileges_for", "refuse_owner_only", "served_roles", "unexpose",
        "unwatched_partitions", "watch_partitions",
    }  # fmt: skip


def test_a_server_that_is_neither_superuser_nor_owner_gets_by_with_the_documented_grants(db: Connection) -> None:
    page = (Path(__file__).parents[3] / "docs/operations/replication-slots.md").read_text()
    [grants] = re.findall(r"```sql\n(create role realtime_server login replication;.*?)```", page, re.S)
    run(db, "drop role if exists realtime_server")
    run(db, grants)
    try:
        run(db, "set role realtime_server")
        named(db, "feed_node_register", node="n", slot="s", ephemeral=True, host="h", pid=1, schema_version=1, lease=60)
        named(db, "engine_connect", id="c", node="n", user="ann", attributes="{}", transport="websocket", ip=None)
        who = {"channel": "r", "connection": "c"}
        named(db, "engine_room_lock", **who)
        named(db, "engine_join", user="ann", metadata="{}", state="{}", capacity=None, typing=None, **who)
        run(db, "select realtime.broadcast('r', 'e', id => 'x')")
        for table in ("channels", "channel_defaults", "routes", "preferences", "settings", "expired", "last_seen"):
            run(db, f"select 1 from realtime.{table}")
        run(
            db,
            "insert into realtime.commits select channel, xid, '0/1', inserted_at, inserted_at from realtime.messages",
        )
        run(
            db,
            query("engine_replay_last")
            .replace("$1", "'{r}'")
            .replace("$2", "5")
            .replace("$3", "'F/0'")
            .replace("$4", "9")
            .replace("$5", "1000"),
        )
        named(db, "engine_make_partitions", days=5)
        for name in ("engine_drop_partitions", "engine_adopt_cluster"):
            named(db, name)
        named(db, "engine_flush", prefix="realtime.heartbeat")
        named(db, "engine_outcome", channels=["r"], ids=["x"], scopes=[""], ages=[60])
        named(db, "engine_release_ids", channels=["r"], ids=["x"], scopes=[""])
        named(db, "engine_emit", notes=['{"payload": 1}'])
        named(db, "engine_epochs_ended")
        named(db, "engine_extend_epochs", exact=True)
        named(db, "feed_note_timelines", ended="{}")
        nothing: list[str] = []
        commits = dict.fromkeys(("channels", "xids", "first", "last"), nothing)
        named(db, "engine_remove_refused", epoch="e", **commits)
        names = (
            "targets",
            "sources",
            "source_xids",
            "events",
            "payloads",
            "senders",
            "connections",
            "ids",
            "audiences",
        )
        copies = dict.fromkeys((*names, "priorities"), nothing)
        named(db, "engine_record_and_route", epoch="e", **commits, positions=nothing, **copies, careful=False)
        named(db, "engine_expire_messages", most=10)
        named(db, "engine_expire_kicks", most=10)
        named(db, "engine_leave", **who)
        named(db, "feed_node_remove", node="n", always=True)
    finally:
        run(db, "reset role; drop owned by realtime_server; drop role realtime_server")


def test_the_guide_names_exactly_the_tables_that_publishers_may_read_and_owners_of_tables_read_none(
    caller: Connection,
) -> None:
    page = (Path(__file__).parents[3] / "docs/guides/sql.md").read_text()
    sentence = page.split("Members of [`realtime_publisher`](#roles) may read ")[1].split(".\n")[0]
    readable = (
        "select c.relname::text as name from pg_class c where c.relnamespace = 'realtime'::regnamespace"
        " and c.relkind in ('r', 'p', 'v') and has_table_privilege(%s, c.oid, 'select')"
        " and c.relname <> 'collection_calls'"  # what expose and unexpose insert into; it has no rows
    )
    assert {row["name"] for row in run(caller, readable, "realtime_publisher")} == set(re.findall(r"`(\w+)`", sentence))
    assert run(caller, readable, "ordinary") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(caller, "select name, relation, columns, camel_case from realtime.collections order by name")
