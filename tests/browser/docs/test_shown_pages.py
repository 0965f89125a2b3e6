"""The pages and the scripts for browsers that the documentation shows: they show what a server has."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.browsers import browser_environment, need_browser
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.processes import serving

TABLES = """
create table messages (id int primary key, room_id text, body text, created_at timestamptz not null default now());
select realtime.expose('messages', camel_case => true);
insert into messages values (1, 'general', 'Hello');
select realtime.broadcast('chat:1', 'new-message', '"Sent before"')
"""
EXPECTED = {
    ("html", "docs/sdk/js.md"): "Hello",
    ("html", "docs/reference/transports.md"): "Sent before",
    ("js", "docs/reference/transports.md"): '"body":"Hello"',
}
"""What is shown, by the language and the page of the block."""


@pytest.mark.own_database  # a browser, which `make check` does without
async def test_pages_show_what_the_server_has(database: str) -> None:
    need_browser("chromium")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
    async with serving(database, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        given = []
        for (language, page), expected in EXPECTED.items():
            [block] = blocks(language, page=page)
            html = block.text if language == "html" else f"<script>{block.text}</script>"
            given.append((html.replace("http://localhost:8000", server.url), expected))
        done = await asyncio.to_thread(
            subprocess.run,
            ["node", str(Path(__file__).with_name("shown_pages.mjs"))],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            env=os.environ | browser_environment(),
            check=False,
        )
    assert done.returncode == 0, done.stderr
