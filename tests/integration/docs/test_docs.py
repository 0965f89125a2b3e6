"""What the documentation states can be done can be done: its messages, queries and SQL are tried.

A fenced block's title names what it is: ``client to server`` and ``server to client`` are messages, ``query: STRATEGY`` is
the query of a subscription and what becomes of it, ``refused`` is SQL that PostgreSQL must not accept. Every ``sql``
block of a page is run in order on a fresh database; what takes a place of its own (ALTER SYSTEM) is ``postgresql``. Which
test has which block is in ``tests/unit/docs/test_every_block.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.errors import QueryRejectedError
from engine.postgres.connections.session_settings import connection_options
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_query
from server.app.settings import Settings
from server.protocol import client_messages
from tests.support.built_site import built_site
from tests.support.doc_blocks import Block, blocks

ROOT = Path(__file__).parents[3]
MESSAGE_KEYS = {
    "connected": {"type", "connectionId", "epoch", "pingInterval", "limits", "session"},
    "reconnect": {"type", "delay"},
    "authenticated": {"type", "expiresIn", "ref"},
    "auth:expiring": {"type", "seconds"},
    "close": {"type", "code", "reason"},
    "subscribed": {
        "type",
        "channel",
        "id",
        "position",
        "strategy",
        "reason",
        "recovered",
        "since",
        "epoch",
        "presence",
    },
    "ack": {"type", "channel", "ref", "id", "position"},
    "message": {"type", "meta", "channel", "event", "data", "timestamp", "sender", "id", "position"},
    "gap": {"type", "channel"},
    "presence:join": {"type", "channel", "count", "user"},
    "presence:leave": {"type", "channel", "count", "user"},
    "room:updated": {"type", "channel", "room"},
    "unsubscribed": {"type", "channel", "id"},
    "snapshot": {"type", "meta", "channel", "id", "position", "reset", "changes"},
    "error": {"type", "code", "message", "channel", "id", "ref", "retryAfter"},
    "pong": {"type"},
    "seen": {"type", "position", "ref"},
    "history": {"type", "channel", "ref", "messages", "before"},
}


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert (built_site(tmp_path_factory) / "index.html").exists()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("json", "client to server"), ids=str)
def test_client_messages_are_those_of_the_protocol(block: Block) -> None:
    client_messages.decode(block.text.encode())


@pytest.mark.parametrize("block", blocks("json", "server to client"), ids=str)
def test_server_messages_have_the_fields_of_the_protocol(block: Block) -> None:
    message = json.loads(block.text)
    assert message.keys() <= MESSAGE_KEYS[message["type"]]


async def test_queries_get_the_documented_strategy(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for block in blocks("sql", page="docs/guides/live-queries.md"):
            connection.execute(block.text.encode())
    asked = blocks("json", "query: ")
    assert asked
    async with await psycopg.AsyncConnection.connect(database, options=connection_options()) as connection:
        catalog = await load_catalog(connection)
        for block in asked:
            client_messages.decode(
                json.dumps({"type": "subscribe", "channel": "c", "query": json.loads(block.text)}).encode()
            )
            try:
                plan = await plan_query("messages", json.loads(block.text), catalog, connection)
            except QueryRejectedError as refused:
                outcome = f"refused {refused.code}"
            else:
                outcome = "re-read" if isinstance(plan, ReReadPlan) else "incremental"
            assert f"query: {outcome}" == block.title, block


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("sql")}))
def test_sql_can_be_run(page: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for block in blocks("sql"):
            if block.page != page:
                continue
            if block.title == "refused":
                with pytest.raises(psycopg.Error):
                    connection.execute(block.text.encode())
            else:
                connection.execute(block.text.encode())


def test_the_page_for_dbas_names_the_tables_of_the_schema_that_are_published(database: str) -> None:
    page = (ROOT / "docs/operations/replication-slots.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| publication `bunbase_realtime`")]
    listed = row.split("of the schema `realtime`")[1].split(";")[0]
    with psycopg.connect(database) as connection:
        published = connection.execute(
            "select tablename from pg_publication_tables where pubname = 'bunbase_realtime' and schemaname = 'realtime'"
        ).fetchall()
    assert set(re.findall(r"`(\w+)`", listed)) == {name for (name,) in published}


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, field in Settings.model_fields.items():
        [row] = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert re.search(rf"\b{int(field.default)}\b", row.split("|")[2]), row
