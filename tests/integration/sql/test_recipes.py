"""The recipes of the documentation do what their page states."""

from __future__ import annotations

import pytest

from tests.integration.sql.conftest import Connection, run, value
from tests.support.doc_blocks import blocks

PAGE = "docs/guides/recipes.md"


@pytest.fixture
def recipes(db: Connection) -> Connection:
    for block in blocks("sql", page=PAGE):
        run(db, block.text)
    return db


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
