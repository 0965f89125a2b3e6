"""The dashboard of an administrator is sent clients, members and alerts instead of asking for them (``live.mjs``)."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.support.browsers import browser_environment, need_browser
from tests.support.clients.list_client import slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

SCENARIO = Path(__file__).parent / "live.mjs"
KEY = "the key of these tests, of which nothing depends"
SESSION = "of-ops"
SETTINGS: dict[str, object] = {
    "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET, "admin_role": "admin"}],
    "session_validation": "optional",
    "rest_key": KEY,
    "dashboard": "true",
    "alert_interval": "300",
}
MANY = (
    "insert into realtime.nodes (id, host, pid, lease_expires_at, schema_version) "
    "select 'seeded', 'elsewhere', 1, now() + interval '1 day', max(schema_version) from realtime.nodes",
    "insert into realtime.connections (id, node_id, transport, connected_at) "
    "select 'seeded-' || lpad(n::text, 4, '0'), 'seeded', 'websocket', now() from generate_series(1, 1100) n",
)


@pytest.mark.long
@pytest.mark.own_database
async def test_an_administrator_sees_clients_members_and_alerts_without_asking_until_its_session_is_revoked(
    database: str, tmp_path: Path
) -> None:
    need_browser("chromium")
    async with (
        asyncio.timeout(6 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **SETTINGS) as server,
    ):
        write(database, f"insert into realtime.sessions (id, user_id) values ('{SESSION}', 'ops')")
        administrator = token(sub="ops", role="admin", sid=SESSION)
        given = {"url": server.url, "key": KEY, "token": administrator, "session": SESSION, "client": token(sub="ada")}
        process = await asyncio.create_subprocess_exec(
            "node",
            str(SCENARIO),
            json.dumps(given),
            str(tmp_path),
            stdout=PIPE,
            stderr=STDOUT,
            env=os.environ | browser_environment(),
        )
        assert process.stdout is not None
        report = ""
        async for line in process.stdout:
            report += line.decode()
            if line == b"now - many clients\n":
                write(database, *MANY)
        assert await process.wait() == 0, f"{report}\nscreenshots: {tmp_path}\n{''.join(server.lines)}"
