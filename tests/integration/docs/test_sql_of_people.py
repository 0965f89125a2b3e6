"""SQL of pages that a person runs, in psql or on a server of one's own: blocks of ``postgresql``."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.support.doc_blocks import Block, blocks

BEFORE = {
    "docs/guides/chat-tutorial.md": "select realtime.create_channel('chat:lounge')",
    "docs/getting-started.md": "create table messages (id serial primary key, room_id text, author text, body text)",
    "docs/guides/quickstart.md": "create table todos (id uuid primary key, title text, done boolean default false)",
    "docs/guides/sql.md": "create role my_app",
    "docs/operations/backup.md": "create schema shop",
    "docs/security.md": "create table note (id int primary key, owner text); alter table note enable row level security",
}
"""What is there before, by page."""
AFTER = {
    "docs/guides/sql.md": "drop owned by my_app; drop role my_app",
    "docs/security.md": """
        select realtime.unserve_role('authenticated'); drop owned by authenticated; drop role authenticated""",
}
"""What belongs to the whole server is taken back."""


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("postgresql")}))
def test_it_can_be_run(page: str, database: str) -> None:
    of_page: list[Block] = blocks("postgresql", page=page)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(BEFORE.get(page, "select").encode())
        try:
            for block in of_page:
                for statement in statements(block.text):
                    connection.execute(statement.encode())
        finally:
            for setting in re.findall(r"alter system set (\w+)", "".join(block.text for block in of_page)):
                connection.execute(f"alter system reset {setting}".encode())
            connection.execute(b"select pg_reload_conf()")
            connection.execute(AFTER.get(page, "select").encode())


def statements(text: str) -> list[str]:
    """One at a time, as psql sends them: ALTER SYSTEM is refused in a transaction."""
    return [each for each in text.split(";\n") if each.strip()]
