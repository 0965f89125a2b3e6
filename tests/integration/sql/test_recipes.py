"""The recipes of the documentation do what their page states, also when several sessions are at it at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.sql.conftest import Connect, Connection, run, value
from tests.integration.sql.test_rooms import connection, join, node
from tests.support.doc_blocks import blocks

PAGE = "docs/guides/recipes.md"
ROOM = "game:1"


@pytest.fixture
def recipes(db: Connection) -> Connection:
    for block in blocks("sql", page=PAGE):
        run(db, block.text)
    return db


def announced(db: Connection) -> list[str]:
    found = run(db, "select event, payload from realtime.messages where channel = 'occupancy' order by seq")
    assert all(row["payload"] == {"room": ROOM} for row in found)
    return [row["event"] for row in found]


def test_the_first_connection_occupies_a_room_and_the_last_one_vacates_it(recipes: Connection) -> None:
    node(recipes)
    for name in ("c1", "c2", "elsewhere"):
        connection(recipes, name, "ann")
    assert join(recipes, ROOM, "c1", "ann")
    assert join(recipes, ROOM, "c1", "ann")  # again: an update
    assert join(recipes, ROOM, "c2", "ann")
    assert join(recipes, "lobby", "elsewhere", "ann")
    run(recipes, "delete from realtime.presence where connection_id = 'c1'")
    assert announced(recipes) == ["room:occupied"]
    run(recipes, "delete from realtime.connections where id = 'c2'")
    assert announced(recipes) == ["room:occupied", "room:vacated"]


def test_a_node_that_is_removed_vacates_its_rooms(recipes: Connection) -> None:
    node(recipes)
    for name in ("c1", "c2"):
        connection(recipes, name, name)
        assert join(recipes, ROOM, name, name)
    run(recipes, "delete from realtime.nodes")
    assert announced(recipes) == ["room:occupied", "room:vacated"]


def test_the_events_alternate_when_many_come_and_go_at_once(recipes: Connection, connect: Connect) -> None:
    node(recipes)
    names = [f"c{n}" for n in range(6)]
    for name in names:
        connection(recipes, name, name)
    sessions = {name: connect() for name in names}

    def come_and_go(name: str) -> None:
        for _ in range(10):
            assert join(sessions[name], ROOM, name, name)
            run(sessions[name], "delete from realtime.presence where connection_id = %s", name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(come_and_go, names))
    events = announced(recipes)
    assert events
    assert events == ["room:occupied", "room:vacated"] * (len(events) // 2)


def test_messages_are_edited_by_their_author_alone(recipes: Connection) -> None:
    message = "6b8a7e6e-5b1c-4f0e-9c3e-2f1f0f6f6f01"
    run(recipes, "insert into chat_messages (id, room_id, author, body) values (%s, 'lounge', 'ada', 'Hallo')", message)
    assert value(recipes, "select chat_edit('bob', %s, 'Bye')", message) is False
    assert value(recipes, "select chat_edit('ada', %s, 'Hello')", message) is True
    [row] = run(recipes, "select body, edited_at is not null as edited from chat_messages")
    assert row == {"body": "Hello", "edited": True}
    for author in ("ada", "bob", "bob"):
        run(recipes, "select chat_react(%s, %s, '+1')", author, message)
    assert run(recipes, "select author, room_id from chat_reactions") == [{"author": "ada", "room_id": "lounge"}]


def test_a_read_cursor_moves_on_only(recipes: Connection) -> None:
    for day in ("2026-01-02", "2026-01-01"):
        run(recipes, "select chat_read('ada', 'lounge', %s)", day)
    assert value(recipes, "select read_until::date::text from chat_reads") == "2026-01-02"
