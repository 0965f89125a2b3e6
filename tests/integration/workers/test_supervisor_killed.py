"""Workers whose supervisor is killed, on a port that the system chose, with TLS."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.integration.workers.conftest import Workers
from tests.support.clients.list_client import slot_name
from tests.support.postgres.sql import read, until
from tests.support.servers.processes import GIVE_UP_AFTER, start
from tests.support.values.certificates import Authority

STATES = "select node, state from realtime.stat_nodes order by node"


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the server makes the folder of its sockets: a path that is short enough for them."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.mark.long
async def test_they_end_by_themselves_and_leave_nothing(database: str, tmp_path: Path, sockets: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.certify()
    slot = slot_name()
    config = {
        "workers": 2,
        "slot_name": slot,
        "ephemeral": True,
        "log_format": "json",
        "tls_certificate": str(chain),
        "tls_key": str(key),
    }
    server = await start("serve", "--dsn", database, port=0, config=config)
    workers = Workers(server, slot)
    url = (await workers.event("serving"))["url"]
    await workers.event("worker_ready", 2)
    trusting = authority.client()
    async with httpx.AsyncClient(verify=trusting, base_url=url, timeout=GIVE_UP_AFTER) as http:
        assert (await http.get("/health/ready")).json() == {"status": "ok"}
    async with connect(f"{url.replace('https', 'wss')}/realtime", ssl=trusting) as client:
        assert json.loads(await client.recv())["type"] == "connected"
        expected = [(slot, "relay"), (f"{slot}_1", "ok"), (f"{slot}_2", "ok")]
        await until(lambda: read(database, STATES) == expected)
        await until(lambda: any(sockets.iterdir()))
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        owned = "select from pg_replication_slots where database = current_database()"
        await until(lambda: read(database, owned) == [])
        await until(lambda: read(database, "select from realtime.nodes") == [])
        assert read(database, "select from realtime.connections") == []
    await until(lambda: not any(sockets.iterdir()))
