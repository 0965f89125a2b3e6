"""The dashboard is sent what it shows instead of asking for it (``live.mjs``)."""

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
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, claims, token

SCENARIO = Path(__file__).parent / "live.mjs"
KEY = "the key of these tests, of which nothing depends"
SESSION = "of-ops"
SHOWN: dict[str, object] = {"dashboard": "true", "alert_interval": "300", "analytics_interval": "300"}
"""Of each node: one that looked at alerts meanwhile would clear that of the scenario, which nothing measures. What was
counted is written rarely, since a page of analytics asks again when it is.
"""
SETTINGS: dict[str, object] = SHOWN | {
    "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET, "admin_role": "admin"}],
    "auth_leeway": "0",
    "session_validation": "optional",
    "rest_key": KEY,
}
HANDLER = """
def authenticate(token):
    return {"userId": "ann", "role": "admin"} if token == "opaque" else None
"""
MANY = (
    "insert into realtime.nodes (id, host, pid, lease_expires_at, schema_version) "
    "select 'seeded', 'elsewhere', 1, now() + interval '1 day', max(schema_version) from realtime.nodes",
    "insert into realtime.connections (id, node_id, transport, connected_at) "
    "select 'seeded-' || lpad(n::text, 4, '0'), 'seeded', 'websocket', now() from generate_series(1, 1100) n",
)
ASKED: dict[bytes, tuple[str, ...]] = {
    b"now - an alert\n": (
        "insert into realtime.alerts (rule, measure, subject, severity, value, threshold) "
        "select name, measure, 'all', severity, 2, 1 from realtime.alert_rules where name = 'slot_lag'",
    ),
    b"now - many clients\n": MANY,
    b"now - no alert\n": ("update realtime.alerts set cleared_at = now(), cleared_because = 'measure'",),
}
"""What the scenario asks to be done, by the line it writes."""


@pytest.mark.long
@pytest.mark.own_database
async def test_an_operator_is_sent_what_the_pages_show_until_its_right_ends(database: str, tmp_path: Path) -> None:
    need_browser("chromium")
    (tmp_path / "handler.py").write_text(HANDLER)
    handler = {"function": f"{tmp_path / 'handler.py'}:authenticate", "admin_role": "admin"}
    async with (
        asyncio.timeout(6 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), **SETTINGS) as server,
        serving(database, free_port(), slot_name=slot_name(), **SHOWN, auth_handler=handler) as unkeyed,
    ):
        write(database, f"insert into realtime.sessions (id, user_id) values ('{SESSION}', 'ops')")
        administrator = token(sub="ops", role="admin", sid=SESSION)
        given: dict[str, object] = {
            "url": server.url,
            "key": KEY,
            "token": administrator,
            "session": SESSION,
            "client": token(sub="ada"),
        }
        given |= {
            "opaque": "opaque",
            "unkeyed": unkeyed.url,
            "secret": SECRET,
            "claims": claims(sub="ops", role="admin"),
        }
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
            write(database, *ASKED.get(line, ()))
        assert await process.wait() == 0, f"{report}\nscreenshots: {tmp_path}\n{''.join(server.lines)}"
