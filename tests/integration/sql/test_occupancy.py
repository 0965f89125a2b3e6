"""Rooms announce when they become occupied and vacated: once for each transition, whatever happens at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from server.cli.migration.migrate import migrate
from tests.integration.sql.conftest import Connect, Connection, named, run, value
from tests.integration.sql.test_rooms import connection, join, node

ROOM = "game:1"
OCCUPIED, VACATED = ("room:occupied", 1), ("room:vacated", 0)


@pytest.fixture
def rooms(db: Connection) -> Connection:
    run(db, "select realtime.announce_occupancy('game:*')")
    node(db)
    return db


def announced(db: Connection, channel: str = "occupancy", room: str = ROOM) -> list[tuple[str, Any]]:
    found = run(db, "select event, payload from realtime.messages where channel = %s order by seq", channel)
    assert all(row["payload"].keys() == {"channel", "count"} and row["payload"]["channel"] == room for row in found)
    return [(row["event"], row["payload"]["count"]) for row in found]


def triggers(db: Connection) -> list[str]:
    found = run(db, "select tgenabled::text as state from pg_trigger where tgname in ('room_occupied', 'room_vacated')")
    return [row["state"] for row in found]


def test_the_first_connection_occupies_a_room_and_the_last_one_vacates_it(rooms: Connection) -> None:
    for name in ("c1", "c2", "elsewhere"):
        connection(rooms, name, "ann")
    assert join(rooms, ROOM, "c1", "ann")
    assert join(rooms, ROOM, "c1", "ann")  # again: an update
    assert join(rooms, ROOM, "c2", "ann")
    assert join(rooms, "lobby", "elsewhere", "ann")
    run(rooms, "delete from realtime.presence where connection_id = 'c1'")
    assert announced(rooms) == [OCCUPIED]
    run(rooms, "delete from realtime.connections where id = 'c2'")
    assert announced(rooms) == [OCCUPIED, VACATED]


def test_a_statement_with_several_first_members_announces_them_once(rooms: Connection) -> None:
    for name in ("c1", "c2", "c3"):
        connection(rooms, name, name)
    run(rooms, "insert into realtime.presence (channel, connection_id, user_id)"
               " select %s, c, u from (values ('c1', 'ann'), ('c2', 'ann'), ('c3', 'bob')) v (c, u)", ROOM)  # fmt: skip
    assert announced(rooms) == [("room:occupied", 2)]
    run(rooms, "delete from realtime.presence")
    assert announced(rooms) == [("room:occupied", 2), VACATED]


def test_a_connection_that_broke_occupies_its_room_until_its_timeout(rooms: Connection) -> None:
    connection(rooms, "c1", "ann")
    assert join(rooms, ROOM, "c1", "ann")
    run(rooms, "update realtime.presence set left_at = now()")
    assert join(rooms, ROOM, "c1", "ann")  # it is back
    assert announced(rooms) == [OCCUPIED]


def test_a_transaction_that_is_rolled_back_announces_nothing(rooms: Connection) -> None:
    connection(rooms, "c1", "ann")
    with rooms.transaction(force_rollback=True):
        assert join(rooms, ROOM, "c1", "ann")
        assert announced(rooms) == [OCCUPIED]
    assert announced(rooms) == []


def test_a_node_that_is_removed_vacates_its_rooms(rooms: Connection) -> None:
    for name in ("c1", "c2"):
        connection(rooms, name, name)
        assert join(rooms, ROOM, name, name)
    run(rooms, "delete from realtime.nodes")
    assert announced(rooms) == [OCCUPIED, VACATED]


def test_the_events_alternate_when_many_come_and_go_at_once(rooms: Connection, connect: Connect) -> None:
    names = [f"c{n}" for n in range(6)]
    for name in names:
        connection(rooms, name, name)
    sessions = {name: connect() for name in names}

    def come_and_go(name: str) -> None:
        for _ in range(10):
            assert join(sessions[name], ROOM, name, name)
            run(sessions[name], "delete from realtime.presence where connection_id = %s", name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(come_and_go, names))
    events = announced(rooms)
    assert events
    assert events == [OCCUPIED, VACATED] * (len(events) // 2)


def test_the_most_specific_pattern_names_the_channel(rooms: Connection) -> None:
    run(rooms, "select realtime.announce_occupancy('game:*', 'games'), realtime.announce_occupancy('game:1', 'first')")
    for name, room in (("c1", ROOM), ("c2", "game:2")):
        connection(rooms, name, name)
        assert join(rooms, room, name, name)
    assert announced(rooms, "first") == [OCCUPIED]
    assert announced(rooms, "games", "game:2") == [OCCUPIED]
    assert announced(rooms) == []


def test_a_room_can_be_joined_while_the_channel_of_its_events_is_closed(rooms: Connection) -> None:
    run(rooms, "select realtime.create_channel('occupancy')")
    run(rooms, "select realtime.close_channel('occupancy')")
    connection(rooms, "c1", "ann")
    assert join(rooms, ROOM, "c1", "ann")
    assert announced(rooms) == []


def test_triggers_are_enabled_while_there_is_a_pattern_also_after_a_migration(db: Connection, dsn: str) -> None:
    assert triggers(db) == ["D", "D"]
    assert named(db, "doctor_triggers") == []
    run(db, "select realtime.announce_occupancy('game:*')")
    assert triggers(db) == ["A", "A"]
    run(db, "alter table realtime.presence disable trigger room_vacated")
    assert [(row["name"], row["what"]) for row in named(db, "doctor_triggers")] == [("room_vacated", "is disabled")]
    migrate(dsn)
    assert triggers(db) == ["A", "A"]
    assert value(db, "select realtime.silence_occupancy('other:*')") is False
    assert triggers(db) == ["A", "A"]
    assert value(db, "select realtime.silence_occupancy('game:*')") is True
    assert triggers(db) == ["D", "D"]
    migrate(dsn)
    assert triggers(db) == ["D", "D"]


@pytest.mark.parametrize("arguments", ["null", "''", "'game:*', 'db:todos'", "'game:*', null"])
def test_what_cannot_be_announced_is_refused(db: Connection, arguments: str) -> None:
    with pytest.raises(psycopg.Error, match=r"character|name"):
        run(db, f"select realtime.announce_occupancy({arguments})")
