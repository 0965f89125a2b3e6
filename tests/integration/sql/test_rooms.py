"""Rooms, who is in them, and how connections end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.integration.sql.conftest import Connect, Connection, Stream, named, run, value


def node(db: Connection, name: str = "n1") -> None:
    run(
        db,
        "insert into realtime.nodes (id, lease_expires_at) values (%s, now() + interval '1 minute')",
        name,
    )


def connection(db: Connection, name: str, user: str | None = None, node: str = "n1") -> None:
    named(db, "engine_connect", id=name, node=node, user=user, attributes="{}", transport="websocket", ip="10.0.0.1")


def join(db: Connection, channel: str, connection_id: str, user: str) -> bool:
    """What the engine does for a user who is to be present."""
    values = {"channel": channel, "connection": connection_id, "user": user, "metadata": '{"name": "N"}', "state": "{}"}
    with db.transaction():
        room = named(db, "engine_room_lock", channel=channel)
        capacity = room[0]["capacity"] if room else None
        return bool(named(db, "engine_join", capacity=capacity, typing=None, **values))


def test_a_room_is_made_changed_closed_and_made_again(db: Connection) -> None:
    made = run(
        db, "select * from realtime.create_channel('r', '{\"topic\": \"x\"}', capacity => 2, created_by => 'ann')"
    )
    assert made[0]["metadata"] == {"topic": "x"}
    assert made[0]["capacity"] == 2
    with pytest.raises(psycopg.errors.DuplicateObject):
        run(db, "select realtime.create_channel('r')")
    [changed] = run(db, """select * from realtime.update_channel('r', '{"capacity": null, "ttl": "1 hour"}')""")
    assert changed["capacity"] is None
    assert changed["metadata"] == {"topic": "x"}
    assert changed["ttl"].seconds == 3600
    assert value(db, "select realtime.close_channel('r')") is True
    assert value(db, "select realtime.close_channel('r')") is False
    with pytest.raises(psycopg.Error) as refused:
        run(db, """select realtime.update_channel('r', '{"capacity": 3}')""")
    assert refused.value.sqlstate == "RT004"
    [again] = run(db, "select * from realtime.create_channel('r')")
    assert again["closed_at"] is None
    assert again["metadata"] == {}
    assert again["created_by"] is None


def test_the_pattern_that_is_the_name_counts_more_than_one_of_the_same_length_or_longer(db: Connection) -> None:
    run(
        db,
        "insert into realtime.channel_defaults (pattern, dynamic) "
        "values ('x', true), ('a:', true), ('abc', true), ('a:*', false), ('ab*', false)",
    )
    run(db, "update realtime.channel_defaults set dynamic = false where pattern = '*'")
    rules = run(db, "select name, available from realtime.channel_rules('{x,a:,abc,y,a:b,abx}')")
    assert {row["name"] for row in rules if row["available"]} == {"x", "a:", "abc"}
    for channel in ("x", "a:", "abc"):
        run(db, "select realtime.broadcast(%s, 'e', '1')", channel)
    with pytest.raises(psycopg.Error) as refused:
        run(db, "select realtime.broadcast('abx', 'e', '1')")
    assert refused.value.sqlstate == "RT004"


@pytest.mark.parametrize(
    "call",
    [
        "realtime.update_channel('r', '{\"name\": \"x\"}')",
        "realtime.create_channel('db:collection:x')",
        "realtime.create_channel('')",
        "realtime.create_channel('x', capacity => 0)",
        "realtime.create_channel('x', ttl => '-1 day')",
        "realtime.create_channel('x', metadata => '[]')",
        "realtime.create_channel('x', max_messages => 0)",
        "realtime.create_channel('x', history => null)",
        "realtime.create_channel('x', presence_timeout => '-1 s')",
        "realtime.create_channel('x', typing_timeout => '0')",
        "realtime.create_channel('x', ttl => '1000000 years')",
        "realtime.create_channel('x', presence_timeout => '1000000 years')",
        "realtime.create_channel('x', typing_timeout => '1001 years')",
        "realtime.create_channel(null)",
        "realtime.create_channel('*')",
        "realtime.create_channel(e'a\\nb')",
        "realtime.update_channel('r', '{\"metadata\": null}')",
        "realtime.update_channel('r', '{\"capacity\": \"many\"}')",
        "realtime.update_channel('r', '{\"capacity\": 1e20}')",
        "realtime.update_channel('r', '{\"ttl\": \"soon\"}')",
        "realtime.update_channel('r', '{\"history\": null}')",
        "realtime.update_channel('r', '[]')",
        "realtime.update_channel('r', null)",
    ],
)
def test_a_room_that_makes_no_sense_is_refused_in_words(db: Connection, call: str) -> None:
    run(db, "select realtime.create_channel('r')")
    with pytest.raises(psycopg.Error) as refused:
        run(db, f"select {call}")
    assert refused.value.sqlstate == "RT007"


@pytest.mark.parametrize(
    "write",
    [
        "update realtime.channels set capacity = 0",
        "update realtime.channels set metadata = null",
        "update realtime.channels set name = ''",
        "update realtime.channel_defaults set ttl = '0'",
        "update realtime.channel_defaults set dynamic = null",
        "insert into realtime.channel_defaults (pattern) values ('')",
        """insert into realtime.routes (from_channel, to_channel) values ('a', 'a')""",
        """insert into realtime.routes (from_channel, to_channel) values ('a', 'db:b')""",
        """insert into realtime.routes (from_channel, to_channel) values ('', 'b')""",
        """insert into realtime.routes (from_channel, to_channel, match) values ('a', 'b', '{}')""",
        """insert into realtime.routes (from_channel, to_channel, match) values ('a', 'b', null)""",
        """insert into realtime.routes (from_channel, to_channel, match) values ('a', 'b', '["event", "==", "x"]')""",
        """insert into realtime.routes (from_channel, to_channel, match) values ('a', 'b', '[["event", "=", "x"]]')""",
        """update realtime.routes set match = '[["event", "=="]]'""",
        """update realtime.routes set match = jsonb_build_array(jsonb_build_array('data', '==',
             (repeat('[', 200) || repeat(']', 200))::jsonb))""",
    ],
)
def test_rows_written_to_the_tables_obey_the_same_rules(db: Connection, write: str) -> None:
    run(db, "select realtime.create_channel('r')")
    run(
        db,
        """insert into realtime.routes (from_channel, to_channel, match)
           values ('a', 'b', '[["data.n", ">", 1], {"or": [["event", "in", ["x"]], {"not": ["sender", "is-null"]}]}]')""",
    )
    with pytest.raises(psycopg.Error) as refused:
        run(db, write)
    assert refused.value.sqlstate == "RT007"


def test_the_longest_pattern_decides_for_a_channel_without_row(db: Connection) -> None:
    run(
        db,
        "insert into realtime.channel_defaults (pattern, history, ttl) values ('a:*', false, null), ('a:b:*', true, '1 h')",
    )
    rules = run(db, "select name, history, ttl from realtime.channel_rules('{a:b:c,a:x,z}') order by 1")
    assert [(rule["name"], rule["history"], str(rule["ttl"])) for rule in rules] == [
        ("a:b:c", True, "1:00:00"),
        ("a:x", False, "None"),
        ("z", True, "7 days, 0:00:00"),
    ]


def test_twenty_concurrent_joins_fill_a_room_exactly(connect: Connect) -> None:
    db = connect()
    node(db)
    run(db, "select realtime.create_channel('r', capacity => 7)")
    connections = [connect() for _ in range(20)]
    for n in range(20):
        connection(db, f"c{n}", f"u{n}")
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(join, c, "r", f"c{n}", f"u{n}") for n, c in enumerate(connections)]
        assert sum(done.result(20) for done in asked) == 7
    [inside] = run(db, "select user_id from realtime.presence where channel = 'r' limit 1")
    connection(db, "second", inside["user_id"])
    assert join(db, "r", "second", inside["user_id"])
    assert value(db, "select users from realtime.channel_list where name = 'r'") == 7


def test_closing_a_room_makes_its_members_leave_and_remembers_when(db: Connection) -> None:
    node(db)
    connection(db, "c1", "ann")
    run(db, "select realtime.create_channel('r')")
    assert join(db, "r", "c1", "ann")
    run(db, "select realtime.close_channel('r')")
    assert run(db, "select 1 from realtime.presence_now") == []
    assert value(db, "select count(*) from realtime.last_seen where user_id = 'ann' and channel = 'r'") == 1


def test_several_connections_of_a_user_are_one_line_of_presence(db: Connection) -> None:
    node(db)
    for name in ("c1", "c2"):
        connection(db, name, "ann")
        assert join(db, "r", name, "ann")
    [row] = run(db, "select * from realtime.presence_now")
    assert (row["connections"], row["name"], row["connected"], row["typing"]) == (2, "N", True, False)
    rows = run(db, "select * from realtime.connection_list order by id")
    assert [(row["id"], row["present_in"], str(row["ip"])) for row in rows] == [
        ("c1", ["r"], "10.0.0.1"),
        ("c2", ["r"], "10.0.0.1"),
    ]
    [channel] = run(db, "select * from realtime.channel_list")
    assert (channel["name"], channel["room"], channel["users"], channel["connections"]) == ("r", False, 1, 2)


def test_a_node_that_is_removed_takes_its_connections_and_their_presence_along(db: Connection) -> None:
    for name in ("n1", "n2"):
        node(db, name)
        connection(db, f"c-{name}", "ann", name)
        assert join(db, "r", f"c-{name}", "ann")
    named(db, "feed_node_remove", node="n1", always=True)
    assert [row["id"] for row in run(db, "select id from realtime.connections")] == ["c-n2"]
    assert [row["connection_id"] for row in run(db, "select connection_id from realtime.presence")] == ["c-n2"]
    assert value(db, "select count(*) from realtime.last_seen") == 1


def test_two_nodes_with_the_same_users_can_be_removed_at_once(connect: Connect) -> None:
    db = connect()
    for n, users in (("n1", range(100)), ("n2", range(99, -1, -1))):
        node(db, n)
        for user in users:
            connection(db, f"{n}-{user}", f"u{user}", n)
            assert join(db, "r", f"{n}-{user}", f"u{user}")
    others = [connect(), connect()]
    with ThreadPoolExecutor(2) as pool:
        removed = [
            pool.submit(named, c, "feed_node_remove", node=n, always=True)
            for c, n in zip(others, ("n1", "n2"), strict=True)
        ]
        for done in removed:
            done.result(20)
    assert run(db, "select 1 from realtime.connections") == run(db, "select from realtime.presence") == []
    assert value(db, "select count(*) from realtime.last_seen") == 100


def test_disconnect_removes_one_connection_or_all_of_a_user(db: Connection) -> None:
    node(db)
    for name, user in (("c1", "ann"), ("c2", "bob"), ("c3", "bob")):
        connection(db, name, user)
        assert join(db, "r", name, user)
    assert value(db, "select realtime.disconnect('c1')") == 1
    assert value(db, "select realtime.disconnect('c1')") == 0
    assert value(db, "select realtime.disconnect(user_id => 'bob')") == 2
    assert run(db, "select 1 from realtime.presence") == []
    for call in ("realtime.disconnect()", "realtime.disconnect('c1', 'ann')"):
        with pytest.raises(psycopg.Error, match="give a connection or a user"):
            run(db, f"select {call}")


def test_kick_ends_presence_and_notifies_the_nodes(db: Connection, stream: Stream) -> None:
    node(db)
    connection(db, "c1", "ann")
    assert join(db, "r", "c1", "ann")
    assert value(db, "select realtime.kick('r', 'ann', 'rude')") == 1
    [command] = stream.messages("realtime.command")
    assert command.pop("key")
    [kept] = run(
        db, "select id::text, channel, user_id, reason, kicked_at > now() - interval '1 h' as now from realtime.kicks"
    )
    assert command == {"command": "kick", "id": kept.pop("id"), "channel": "r", "user_id": "ann", "reason": "rude"}
    assert kept == {"channel": "r", "user_id": "ann", "reason": "rude", "now": True}
    assert value(db, "select realtime.kick('r', null)") == 0
    assert len(run(db, "select 1 from realtime.kicks")) == 1
    assert len(run(db, "select 1 from realtime.connections")) == 1


def test_deleting_a_row_of_connections_is_enough_to_disconnect(db: Connection) -> None:
    node(db)
    connection(db, "c1", "ann")
    assert join(db, "r", "c1", "ann")
    run(db, "delete from realtime.connections where user_id = 'ann'")
    assert run(db, "select 1 from realtime.presence") == []


def test_kicks_are_kept_for_a_day_and_read_no_longer(db: Connection) -> None:
    for _ in range(3):
        run(db, "select realtime.kick('r', 'ann', 'rude')")
    run(db, "update realtime.kicks set kicked_at = kicked_at - interval '23 hours'")
    assert named(db, "engine_expire_kicks", most=10) == [{"removed": 0}]
    rows = named(db, "engine_kicks")
    ages = run(db, "select (extract(epoch from kicked_at) * 1000000)::bigint as at from realtime.kicks")
    assert [row["at"] for row in rows] == [row["at"] for row in ages]
    run(db, "update realtime.kicks set kicked_at = kicked_at - interval '1 hour'")
    run(db, "select realtime.kick('r', 'bob')")
    assert [row["user_id"] for row in named(db, "engine_kicks")] == ["bob"], "also where nothing removes the others"
    assert [named(db, "engine_expire_kicks", most=2) for _ in range(2)] == [[{"removed": 2}], [{"removed": 1}]]
    assert [row["user_id"] for row in run(db, "select user_id from realtime.kicks")] == ["bob"]
