"""Databases in other encodings than UTF-8, as an operator serves them: migrated, exposed, checked, followed by a client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from websockets.asyncio.client import connect

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from tests.conftest import drop_database
from tests.integration.server.test_replica_database import answer
from tests.support.clients.list_client import ListClient, slot_name
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving

ENCODINGS = [
    ("WIN1252", "Œuvre™ €", "Straße", "日"),
    ("LATIN9", "Žlu €", "œil", "™"),
    ("EUC_JP", "日本語 表", "漢字カナ", "€"),
]
"""Encoding; a table's name, a column's and value there; what the encoding lacks."""


@pytest.fixture
def encoded(request: pytest.FixtureRequest, pg18: LocalPostgres) -> Iterator[str]:
    """A database in the encoding of the parameter, whose sessions speak another one: Shift-JIS for Japanese."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(pg18.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name} encoding '{request.param}' template template0 locale 'C'".encode())
        spoken = "SJIS" if request.param == "EUC_JP" else request.param
        connection.execute(f"alter database {name} set client_encoding = '{spoken}'".encode())
    dsn = pg18.dsn_for(name)
    yield dsn
    drop_database(pg18, dsn)


def run(dsn: str, statement: str, *values: object) -> None:
    with psycopg.connect(dsn, autocommit=True, client_encoding="UTF8") as connection:
        connection.execute(statement.encode(), values or None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("encoded", "table", "text", "foreign"), ENCODINGS, ids=[e[0] for e in ENCODINGS], indirect=["encoded"]
)
async def test_a_database_in_another_encoding_is_migrated_exposed_served_and_followed(
    encoded: str, table: str, text: str, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "SJIS")
    done = realtime("migrate", "--dsn", encoded)
    assert done.returncode == 0, done.stderr
    run(encoded, f'create table "{table}" (id int primary key, "{text}" text, hidden text)')
    done = realtime("expose", table, "--columns", f"id,{text}", "--name", "t", "--dsn", encoded)
    assert done.returncode == 0, done.stderr
    refused = realtime("expose", foreign, "--dsn", encoded)
    assert (refused.returncode, f"there is no table {foreign}" in refused.stderr) == (1, True), refused.stderr
    found = diagnose(encoded, Settings())
    assert [finding for finding in found if finding.level == "problem"] == []
    assert not any("COLLATE" in finding.remedy for finding in found)  # it would not help there
    run(encoded, f'alter table "{table}" rename to "{text}"')
    assert any(f'public."{text}"' in finding.remedy for finding in diagnose(encoded, Settings()))
    async with serving(encoded, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        async with connect(server.websocket) as client:
            listener = ListClient(client)
            query = {"where": [[text, "in", [text, "x"]]]}
            await answer(
                client, {"type": "subscribe", "channel": "db:collection:t", "id": "q", "query": query}, "subscribed"
            )
            await listener.event()
            run(encoded, f'insert into "{text}" values (1, %s, %s)', text, text)
            await listener.until(["1"])
            assert listener.list[0][1] == {"id": 1, text: text}
            lacking = {"where": [[text, "==", foreign]]}
            await client.send(
                json.dumps({"type": "subscribe", "channel": "db:collection:t", "id": "r", "query": lacking})
            )
            refusal = json.loads(await client.recv())
            assert (refusal["code"], foreign in refusal["message"]) == ("RT_007", True), refusal
            sent = {"type": "message", "channel": "c", "event": text, "data": {text: text}, "ref": "m", "id": text}
            await answer(
                client, {"type": "subscribe", "channel": "c", "history": 1, "presence": {"data": text}}, "subscribed"
            )
            await answer(client, sent, "ack")
        assert not any("Traceback" in line for line in server.lines)
    done = realtime("unexpose", text, "--dsn", encoded)
    assert (done.returncode, done.stdout) == (0, "t is closed\n"), done.stderr
