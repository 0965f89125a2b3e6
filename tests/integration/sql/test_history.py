"""Reading back in commit order, and keeping what has to be kept."""

from __future__ import annotations

import itertools
from datetime import timedelta

import psycopg
import pytest

from engine.postgres.statements.named_queries import query
from tests.integration.sql.conftest import Connect, Connection, named, record, run, value


def texts(db: Connection, arguments: str) -> list[object]:
    return [row["payload"] for row in run(db, f"select * from realtime.history({arguments})")]


def insert(db: Connection, channel: str, at: str, *payloads: int) -> None:
    """One transaction's messages as they would have been written at another time."""
    run(
        db,
        "insert into realtime.messages (channel, event, payload, inserted_at)"
        " select %s, 'e', to_jsonb(p), (now() at time zone 'UTC' + %s::interval) at time zone 'UTC'"
        " from unnest(%s::int[]) p",
        channel,
        at,
        list(payloads),
    )


def test_history_is_in_commit_order_and_pages_back_inside_a_transaction(db: Connection) -> None:
    for payloads in ((1, 2), (3,), (4, 5, 6)):
        insert(db, "r", "0", *payloads)
        insert(db, "other", "0", 9)
    assert texts(db, "'r'") == []  # no node has seen the commits
    record(db)
    run(
        db,
        "update realtime.commits set position = '0/10' where channel = 'r'"
        " and xid = (select xid from realtime.commits where channel = 'r' order by xid desc limit 1)",
    )
    assert texts(db, "'r'") == [4, 5, 6, 1, 2, 3]
    assert texts(db, "'r', null, 4") == [6, 1, 2, 3]
    before = run(db, "select position from realtime.history('r', null, 4)")[0]["position"]
    assert texts(db, f"'r', '{before}', 4") == [4, 5]
    assert texts(db, "'r', '0/10'") == [4, 5, 6]
    with pytest.raises(psycopg.Error, match="not a position"):
        texts(db, "'r', 'yesterday'")


def test_reading_back_is_not_compiled_with_any_setting_of_the_session(db: Connection) -> None:
    record(db)
    run(db, "select realtime.broadcast('room', 'sent', '1')")
    run(db, "set jit = on")
    run(db, "set jit_above_cost = 0")
    run(db, "load 'auto_explain'")
    for setting in ("log_min_duration = 0", "log_nested_statements = on", "log_analyze = on", "log_level = notice"):
        run(db, f"set auto_explain.{setting}")
    plans: list[str] = []
    db.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    run(db, "select * from realtime.history('room')")
    inner = [plan for plan in plans if "realtime.commits" in plan]
    assert inner
    assert not any("JIT:" in plan for plan in inner)


def test_history_shows_neither_what_is_over_nor_more_than_is_kept(db: Connection) -> None:
    run(db, "select realtime.create_channel('r', ttl => '2 hours', max_messages => 3)")
    insert(db, "r", "-3 hours", 1, 2, 3)
    record(db)
    insert(db, "r", "-1 hour", 4, 5)
    record(db)
    assert texts(db, "'r'") == [4, 5]
    insert(db, "r", "0", 6, 7)
    record(db)
    assert texts(db, "'r'") == [5, 6, 7]


def buffers(db: Connection, text: str) -> int:
    """How many pages a statement looked at."""
    plan = value(db, f"explain (analyze, buffers, format json) {text}")[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_the_last_messages_are_read_from_the_end_of_an_index_however_many_there_are(db: Connection) -> None:
    run(
        db,
        "do $$ begin for i in 1..3000 loop insert into realtime.messages (channel, event) values ('busy', 'e'),"
        " (case when i % 500 = 0 then 'quiet' else 'busy' end, 'e'); commit; end loop; end $$",
    )
    record(db)
    run(db, "select realtime.make_partitions(30)")
    for analysed in (False, True):
        if analysed:
            run(db, "vacuum analyze realtime.messages, realtime.commits")
        for channel, count in (("busy", 50), ("quiet", 6)):
            text = query("engine_replay_last").replace("$1", f"'{{{channel}}}'").replace("$2", "50")
            text = text.replace("$3", "'FFFFFFFF/FFFFFFFF'").replace("$4", "1000000").replace("$5", "1000000")
            assert len(run(db, text)) == count
            assert buffers(db, text) < 1000
        middle = value(
            db,
            "select position::text from realtime.commits where channel = 'busy' order by position offset 1500 limit 1",
        )
        text = query("engine_replay_since").replace("$1", "'{busy,quiet}'").replace("$2", f"'{middle}'")
        text = text.replace("$3", "0").replace("$4", "20").replace("$5", "1000000")
        rows = run(db, text)
        assert len(rows) == 20
        assert rows[0]["position"] == middle
        assert buffers(db, text) < 1000


def test_partitions_are_days_in_utc_whatever_the_time_zone(db: Connection) -> None:
    run(db, "set timezone = 'Pacific/Auckland'")
    assert value(db, "select realtime.make_partitions(10)") == 7
    assert value(db, "select realtime.make_partitions(10)") == 0
    days = run(
        db, "select from_at at time zone 'UTC' as a, to_at at time zone 'UTC' as b from realtime.partition_days()"
    )
    assert len(days) == 11
    assert all(day["a"].hour == 0 and (day["b"] - day["a"]).days == 1 for day in days)
    assert all(first["b"] == second["a"] for first, second in itertools.pairwise(days))
    insert(db, "r", "5 days", 1)
    found = value(db, "select tableoid::regclass::text from realtime.messages")
    assert found == value(
        db, "select 'realtime.messages_' || to_char(now() at time zone 'UTC' + interval '5 days', 'YYYYMMDD')"
    )


def test_a_message_without_partition_is_stored_and_its_day_left_alone(db: Connection) -> None:
    insert(db, "r", "8 days", 1)
    assert value(db, "select tableoid::regclass::text from realtime.messages") == "realtime.messages_default"
    assert value(db, "select realtime.make_partitions(9)") == 5
    assert value(db, "select count(*) from realtime.messages") == 1


def test_making_partitions_does_not_wait_for_publishers(connect: Connect) -> None:
    db, publisher = connect(), connect()
    run(publisher, "begin")
    run(publisher, "select realtime.broadcast('r', 'e')")
    assert value(db, "select realtime.make_partitions(5)") == 2
    run(publisher, "select realtime.broadcast('r', 'e')")
    run(publisher, "commit")


def old_partition(db: Connection, days: int) -> None:
    """A partition of some days ago, as it would be there had the server run then."""
    day = value(db, "select (now() at time zone 'UTC')::date - %s", days)
    run(
        db,
        f"create table realtime.messages_{day:%Y%m%d} partition of realtime.messages"
        f" for values from ('{day} 00:00Z') to ('{day + timedelta(1)} 00:00Z')",
    )


def test_expired_days_are_dropped_and_the_position_of_their_end_is_known(db: Connection) -> None:
    run(db, "select realtime.create_channel('long', ttl => '1 year')")
    for days in (9, 10, 12):
        old_partition(db, days)
        insert(db, "r", f"-{days} days", days)
    insert(db, "long", "-10 days", 100)
    insert(db, "r", "0", 1)
    record(db)
    assert [value(db, "select realtime.drop_partitions()") for _ in range(3)] == [1, 1, 0]
    assert value(db, "select count(*) from realtime.partition_days() where from_at < now() - interval '1 day'") == 1
    gone = value(
        db,
        "select max(position)::text from realtime.commits c where last_at < now() - interval '11 days' or "
        "last_at between now() - interval '9 days 1 minute' and now() - interval '8 days'",
    )
    assert value(db, "select position::text from realtime.expired where channel = ''") == gone
    assert value(db, "select realtime.expire_messages()") == 1  # the other message of the day that is kept
    assert texts(db, "'long'") == [100]
    assert texts(db, "'r'") == [1]
    assert (
        value(db, "select count(*) from realtime.messages") == value(db, "select count(*) from realtime.commits") == 2
    )


def test_dropping_gives_up_while_a_publishing_transaction_is_open(connect: Connect) -> None:
    db, publisher = connect(), connect()
    old_partition(db, 9)
    insert(db, "r", "-9 days", 1)
    record(db)
    run(publisher, "begin")
    run(publisher, "select realtime.broadcast('r', 'e')")
    assert value(db, "select realtime.drop_partitions()") == 0
    assert value(db, "select count(*) from realtime.expired") == 0
    run(db, "begin")  # it gives up without keeping others waiting, also if the caller goes on
    assert value(db, "select realtime.drop_partitions()") == 0
    run(publisher, "select realtime.broadcast('r', 'e')")
    run(connect(), "select realtime.broadcast('r', 'e')")
    run(db, "commit")
    run(publisher, "commit")
    assert value(db, "select realtime.drop_partitions()") == 1
    assert value(db, "select realtime.expire_messages()") == 1  # the commit of the message that is gone
    assert value(db, "select realtime.expire_messages()") == 0


def test_expiry_keeps_what_is_within_ttl_and_number(db: Connection) -> None:
    run(db, "select realtime.create_channel('short', ttl => '1 hour')")
    run(db, "select realtime.create_channel('few', max_messages => 3)")
    run(db, "insert into realtime.channel_defaults (pattern, max_messages) values ('d:*', 1)")
    insert(db, "short", "-2 hours", 1, 2)
    insert(db, "short", "-30 minutes", 3)
    for n in range(10):
        insert(db, "few", "0", n, n + 100)
    insert(db, "d:1", "0", 1, 2, 3)
    insert(db, "r", "-6 days", 1)
    record(db)
    while value(db, "select realtime.expire_messages(5)") >= 5:
        pass
    left = run(
        db, "select channel, array_agg(payload::int order by seq) as kept from realtime.messages group by 1 order by 1"
    )
    assert {row["channel"]: row["kept"] for row in left} == {"short": [3], "few": [108, 9, 109], "d:1": [3], "r": [1]}
    assert (
        value(
            db,
            "select count(*) from realtime.commits c where not exists"
            " (select 1 from realtime.messages m where m.channel = c.channel and m.xid = c.xid)",
        )
        == 0
    )
    marks = run(
        db,
        "select e.channel, e.seq = (select min(m.seq) - 1 from realtime.messages m where m.channel = e.channel) as exact"
        " from realtime.expired e where channel in ('short', 'd:1') order by 1",
    )
    assert [mark["exact"] for mark in marks] == [True, True]


def test_channels_without_history_are_emptied_and_ids_forgotten_with_the_messages(db: Connection) -> None:
    run(db, "select realtime.create_channel('quiet', history => false)")
    run(db, "insert into realtime.messages (channel, event) values ('quiet', 'e')")
    run(db, "select realtime.broadcast('r', 'e', id => 'old'), realtime.broadcast('r', 'e', id => 'new')")
    run(db, "update realtime.message_ids set inserted_at = now() - interval '8 days' where id = 'old'")
    run(db, "select realtime.expire_messages()")
    assert value(db, "select count(*) from realtime.messages where channel = 'quiet'") == 0
    assert [row["id"] for row in run(db, "select id from realtime.message_ids")] == ["new"]


def test_nothing_expires_where_messages_are_kept_for_ever(db: Connection) -> None:
    run(db, "update realtime.channel_defaults set ttl = null")
    old_partition(db, 400)
    insert(db, "r", "-400 days", 1)
    insert(db, "r", "-500 days", 2)
    record(db)
    assert value(db, "select realtime.drop_partitions()") == value(db, "select realtime.expire_messages()") == 0
    assert value(db, "select count(*) from realtime.messages") == 2


def test_after_a_restore_into_another_cluster_messages_are_kept_and_old_positions_are_over(db: Connection) -> None:
    insert(db, "r", "0", 1, 2)
    insert(db, "r", "0", 3)
    record(db)
    assert named(db, "engine_adopt_cluster") == [{"adopted": False}]
    epochs = [value(db, "select realtime.epoch()")]
    run(db, "select pg_create_logical_replication_slot('here', 'pgoutput')")
    for name in ("here", "gone"):
        run(db, "insert into realtime.nodes (id, lease_expires_at) values (%s, now() + '1 hour')", name)
        run(db, "insert into realtime.slots (name, node) values (%s, %s)", name, name)
        for node in (name, f"{name}_1"):  # a worker has no slot: it follows the one of its relay
            lives = (
                "insert into realtime.nodes (id, lease_expires_at) values (%s, now() + '1 hour') on conflict do nothing"
            )
            run(db, lives, node)
            run(db, "insert into realtime.connections (id, node_id, transport) values (%s, %s, 'x')", node, node)
    run(db, "update realtime.settings set system_identifier = '1'")
    assert named(db, "engine_adopt_cluster") == [{"adopted": True}]
    assert named(db, "engine_adopt_cluster") == [{"adopted": False}]
    epochs.append(value(db, "select realtime.epoch()"))
    assert epochs[0] != epochs[1]
    assert run(db, "select id from realtime.nodes order by id") == [{"id": "here"}, {"id": "here_1"}]
    assert run(db, "select name, node from realtime.slots") == [{"name": "here", "node": "here"}]
    assert run(db, "select id from realtime.connections order by id") == [{"id": "here"}, {"id": "here_1"}]
    run(db, "select pg_drop_replication_slot('here')")
    assert texts(db, "'r'") == [1, 2, 3]
    assert value(
        db, "select position < (select min(position) from realtime.commits) from realtime.expired where channel = ''"
    )


def test_another_timeline_begins_another_epoch_in_which_what_was_recorded_before_still_counts(db: Connection) -> None:
    insert(db, "r", "0", 1)
    record(db)
    assert named(db, "engine_adopt_cluster") == [{"adopted": False}]  # the first look only takes note of the timeline
    first = value(db, "select realtime.epoch()")
    run(db, "update realtime.settings set timeline = '000000FE'")
    assert named(db, "engine_adopt_cluster") == [{"adopted": True}]
    assert named(db, "engine_adopt_cluster") == [{"adopted": False}]
    assert value(db, "select realtime.epoch()") != first
    last = value(db, "select max(position)::text from realtime.commits")
    assert named(db, "engine_epochs_ended") == [{"epoch": first, "ended": last, "parted": last}]
    assert texts(db, "'r'") == [1]


def test_positions_before_the_place_where_timelines_parted_count_once_all_messages_have_theirs(db: Connection) -> None:
    def ends() -> tuple[str, str]:
        [row] = named(db, "engine_epochs_ended")
        return row["ended"], row["parted"]

    insert(db, "r", "0", 1)
    record(db)
    named(db, "engine_adopt_cluster")
    insert(db, "r", "0", 2)
    named(db, "feed_note_timelines", ended='{"000000FE": "F0/10"}')
    run(db, "update realtime.settings set timeline = '000000FE'")
    assert named(db, "engine_adopt_cluster") == [{"adopted": True}]
    last = value(db, "select max(position)::text from realtime.commits")
    insert(db, "r", "0", 3)  # of the new history
    named(db, "engine_extend_epochs", exact=True)
    assert ends() == (last, "F0/F")
    run(
        db,
        "insert into realtime.commits (channel, xid, position, first_at, last_at) "
        "select channel, xid, '0/20', inserted_at, inserted_at from realtime.messages where payload = '2'",
    )
    named(db, "engine_extend_epochs", exact=True)
    assert ends() == ("F0/F", "F0/F")
    run(db, "update realtime.epochs set ended = '0/1'")
    named(db, "engine_extend_epochs", exact=False)
    assert ends() == ("0/1", "0/1")
