"""The dashboard over a real node and a real PostgreSQL: every page, every action, long lists, hostile names.

The scenario itself is ``dashboard.mjs``; this seeds the database, holds the clients that are acted upon, and looks at what
became of them and of the rows.
"""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from server.protocol.close_codes import CloseCode
from tests.support.browsers import browser_environment, need_browser
from tests.support.clients.users import UserClient, running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER

HERE = Path(__file__).parent
SEED = HERE / "seed.sql"
SCENARIO = HERE / "dashboard.mjs"
KEY = "the key of these tests, of which nothing depends"
HOSTILE = "<img src=x onerror=alert(1)>" + "\u05d0\u05d1" * 100
"""Markup, and letters that are written from right to left."""
UNSEEN = "<img src=x onerror=alert(1)>\u202egnp.exe"
"""Markup, and a mark that turns what follows it."""
ROOM = "chat:to-be-closed"
LONG = UNSEEN + "x" * 2_000
QUERY = {"sql": "select kind, count(*) as number from dashboard_notes group by kind"}


@pytest.mark.long
@pytest.mark.own_database
async def test_the_dashboard_shows_what_is_there_and_does_what_is_asked(database: str, tmp_path: Path) -> None:
    need_browser("chromium")
    async with (
        running_server(database, rest_key=KEY, dashboard="true", alert_interval="300") as server,
        user_client(server, quote(HOSTILE)) as hostile,
        user_client(server, "ada") as ada,
    ):
        with psycopg.connect(database) as connection:
            connection.execute(SEED.read_bytes())
            [(seeded,)] = connection.execute(
                "select 1000 * extract(epoch from max(at) + interval '30 minutes')::bigint from realtime.usage_totals"
            ).fetchall()
        for client, channel, name in (
            (hostile, "chat:lounge", UNSEEN),
            (ada, "chat:lounge", "Ada"),
            (ada, ROOM, "Ada"),
        ):
            joined = await client.join(channel, presence={"name": name})
            assert joined["type"] == "subscribed", joined
        await ada.ask(type="message", channel="chat:lounge", event="posted", data={"html": LONG}, id="m1")
        await ada.join("db:collection:dashboard_notes", id="q", query=QUERY)
        acted_upon = {"hostile": HOSTILE, "connection": hostile.id, "room": ROOM}
        given = json.dumps({"url": server.url, "key": KEY, "seeded": seeded, **acted_upon})
        process = await asyncio.create_subprocess_exec(
            "node",
            str(SCENARIO),
            given,
            str(tmp_path),
            stdout=PIPE,
            stderr=STDOUT,
            env=os.environ | browser_environment(),
        )
        async with asyncio.timeout(6 * GIVE_UP_AFTER):
            report, _ = await process.communicate()
        assert process.returncode == 0, f"{report.decode()}\nscreenshots: {tmp_path}\n{''.join(server.lines)}"

        assert await close_code(hostile) == CloseCode.DISCONNECTED
        kicked = await ada.receive("error")
        assert (kicked["channel"], "too loud" in kicked["message"]) == ("chat:lounge", True), kicked
        with psycopg.connect(database, row_factory=dict_row) as connection:
            [room] = connection.execute("select closed_at from realtime.channels where name = %s", [ROOM]).fetchall()
            [rule] = connection.execute("select * from realtime.alert_rules where name = 'slow_delivery'").fetchall()
        assert room["closed_at"] is not None
        assert (rule["threshold"], rule["clear_at"], rule["enabled"]) == (2.5, 1.25, False)


@pytest.mark.own_database
async def test_without_the_setting_there_is_no_dashboard(database: str) -> None:
    async with (
        running_server(database) as server,
        httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
    ):
        for path in ("/dashboard", "/dashboard/static/app.js", "/dashboard/static/shared/lib/dom.js"):
            assert (await http.get(path)).status_code == 404, path


async def close_code(client: UserClient) -> int | None:
    """With which code the server has closed the connection."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        await client.socket.wait_closed()
    return client.socket.close_code
