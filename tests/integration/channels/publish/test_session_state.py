"""What a function of others leaves in a session of ours is gone before the next statement over it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.channels.publish import publisher, publisher_session
from engine.channels.publish.queue import PublishQueue
from engine.postgres.connections.opening import Connection, connect
from engine.postgres.statements.named_queries import query
from engine.tasks import end
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, until
from tests.support.servers.rest_api import started_api

ROLE = "left_behind"
LEFT = {
    "read-only": "set_config('default_transaction_read_only', 'on', false)",
    "role": f"set_config('role', '{ROLE}', false)",
    "session": f"set_config('session_authorization', '{ROLE}', false)",
    "nulls": "set_config('array_nulls', 'off', false)",
    "names": "set_config('search_path', 'trap, pg_catalog', false)",
    "own": "set_config('app.tenant', '7', false)",
    "replica": "set_config('session_replication_role', 'replica', false)",
    "lock_timeout_set": "set_config('lock_timeout', '1', false)",
    "lock": "pg_advisory_lock(4711)",
}
TRAP = f"""
do $$ begin create role {ROLE}; exception when duplicate_object then null; end $$;
grant usage on schema realtime to {ROLE};
create schema trap;
create function trap.octet_length(text) returns int language sql as 'select 1 / 0';
create table public.seen (what text, state jsonb);
create function public.leave() returns trigger language plpgsql security invoker as $f$
declare what text := to_jsonb(new) ->> tg_argv[0];
begin
  insert into public.seen values (what, jsonb_build_object(
    'user', current_user, 'session', session_user, 'names', current_setting('search_path'),
    'read-only', current_setting('default_transaction_read_only'), 'nulls', current_setting('array_nulls'),
    'own', coalesce(current_setting('app.tenant', true), ''), 'listens', array(select pg_listening_channels()),
    'temporary', exists (select from pg_class where relname = 'left_here' and relnamespace = pg_my_temp_schema()),
    'lock_timeout_set', current_setting('lock_timeout'),
    'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and objid = 4711)));
  case what
    {{cases}}
    when 'listen' then listen somewhere;
    when 'table' then create temporary table left_here (x int);
    else null;
  end case;
  return null;
end $f$;
create constraint trigger leave after insert on {{table}} deferrable initially deferred for each row
  execute function public.leave('{{column}}')
"""
CASES = "\n    ".join(f"when '{what}' then perform {call};" for what, call in LEFT.items())
KINDS = [*LEFT, "listen", "table"]
NOTE = """
create table public.noted (own text);
create function public.note(what text) returns boolean language plpgsql as $f$
begin
  insert into public.noted values (coalesce(current_setting('app.tenant', true), ''));
  if what = 'own' then perform set_config('app.tenant', '7', false); end if;
  return true;
end $f$;
alter table realtime.messages add constraint noted check (public.note(event))
"""
"""A condition of the table that calls a function of others, which leaves something behind."""


def trap(dsn: str, table: str, column: str) -> None:
    """A trigger on ``table`` that writes down its session's state, and leaves what ``column`` of the new row holds."""
    run(dsn, TRAP.format(cases=CASES, table=table, column=column))


def states(dsn: str) -> list[dict[str, Any]]:
    """The state that each run of the trigger has found, without repetitions."""
    return [state for (state,) in read(dsn, "select distinct state from public.seen")]


async def test_session_state_of_a_trigger_does_not_reach_the_next_message(database: str) -> None:
    trap(database, "realtime.messages", "event")
    async with channel_node(database) as one:
        live = await one.listen("room")
        for kind in KINDS:
            assert (await one.publish("room", kind, kind)).position is not None
            ack = await one.publish("room", f"after {kind}", "plain")
            assert ack.position is not None, kind
        await live.until(lambda: len(live.messages) == 2 * len(KINDS))
        assert {message["sender"] for message in live.messages} == {None}
        [state] = states(database)
        assert (state["own"], state["listens"], state["temporary"], state["locks"]) == ("", [], False, 0)
        assert (state["names"], state["lock_timeout_set"]) == ("pg_catalog, pg_temp", "100ms")
        assert one.channels.problems == []


async def test_session_is_restored_also_if_a_trigger_appears_between_two_messages(database: str) -> None:
    async with channel_node(database) as one:
        await one.publish("room", "without a trigger", "plain")
        trap(database, "realtime.messages", "event")
        for event in ("own", "plain"):
            await one.publish("room", "with one", event)
        [state] = states(database)
        assert (state["own"], state["lock_timeout_set"]) == ("", "100ms")


async def test_session_in_which_no_trigger_of_others_runs_is_restored_at_intervals(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, NOTE)
    restored: list[None] = []
    restore = Connection.restore

    async def noted(connection: Connection[Any], more: str = "") -> None:
        await restore(connection, more)
        if more:  # the publisher's
            restored.append(None)

    monkeypatch.setattr(Connection, "restore", noted)
    monkeypatch.setattr(publisher_session, "RESTORE_EVERY", 3600.0)
    async with channel_node(database) as one:
        for event in ("plain", "own", "plain"):
            await one.publish("room", "text", event)
        assert read(database, "select own from public.noted") == [("",), ("",), ("7",)]
        assert not restored
        monkeypatch.setattr(publisher_session, "RESTORE_EVERY", 0.01)
        await one.publish("room", "text", "own")  # it is due
        assert read(database, "select own from public.noted offset 3") == [("",)]
        await until(lambda: len(restored) > 1)  # also without another message


async def test_session_is_restored_while_the_next_messages_gather(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap(database, "realtime.messages", "event")
    gathered: list[None] = []
    second = asyncio.Event()
    gather, restore = PublishQueue.fill, Connection.restore

    async def noted(self: PublishQueue, seconds: float) -> None:
        gathered.append(None)
        second.set()
        await gather(self, seconds)

    async def held(connection: Connection[Any], more: str = "") -> None:
        if more:  # the publisher's
            await second.wait()
        await restore(connection, more)

    monkeypatch.setattr(publisher, "_CROWD", 1)  # messages gather behind each commit
    monkeypatch.setattr(PublishQueue, "fill", noted)
    monkeypatch.setattr(Connection, "restore", held)
    async with channel_node(database) as one:
        async with asyncio.timeout(GIVE_UP_AFTER):
            for event in ("own", "plain"):
                assert (await one.publish("room", "text", event)).position is not None
        assert len(gathered) == 1
        [state] = states(database)
        assert (state["own"], state["lock_timeout_set"]) == ("", "100ms")


async def test_session_state_of_a_trigger_on_presence_does_not_reach_the_next_member(database: str) -> None:
    trap(database, "realtime.presence", "user_id")
    async with channel_node(database, connections=1) as one:
        for kind in KINDS:
            for user in (kind, f"after {kind}"):
                assert (await one.listen("room", user=user, presence={})).presence is not None
        [state] = states(database)
        assert (state["own"], state["listens"], state["temporary"], state["locks"]) == ("", [], False, 0)
        assert state["names"] == "pg_catalog, pg_temp"
        assert len(read(database, "select from realtime.presence")) == 2 * len(KINDS)


async def test_session_state_of_a_trigger_does_not_reach_the_next_request(database: str) -> None:
    trap(database, "realtime.messages", "event")
    async with started_api(database) as http:
        for kind in KINDS:
            for event in (kind, "plain"):
                answer = await http.post("/realtime/channels/room/broadcast", json={"event": event})
                assert answer.status_code == 201, (kind, answer.text)
        [state] = states(database)
        assert (state["own"], state["listens"], state["temporary"], state["locks"]) == ("", [], False, 0)
        assert state["names"] == "pg_catalog, pg_temp"


async def test_a_connection_that_is_given_up_while_its_session_begins_is_closed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection[Any]] = []

    async def noted(*arguments: Any, **options: Any) -> Connection[Any]:
        opened.append(await connect(*arguments, **options))
        return opened[-1]

    def sleeping(name: str) -> str:
        return "select pg_sleep(600)" if name == "engine_backend" else query(name)

    monkeypatch.setattr(publisher_session, "connect", noted)
    monkeypatch.setattr(publisher_session, "query", sleeping)
    session = publisher_session.PublishSession(database, "given up", store=None)  # type: ignore[arg-type]
    asking = asyncio.create_task(session.ask("engine_flush", prefix="x"))
    sleeps = "select from pg_stat_activity where application_name = 'given up' and wait_event = 'PgSleep'"
    await until(lambda: read(database, sleeps))
    await end([asking])
    assert [each.closed for each in opened] == [True]
