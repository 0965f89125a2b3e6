"""Schemathesis asks the REST API what its OpenAPI document describes, and what it does not: of a real server, over HTTP.

Its checks: no failure of the server, only statuses and bodies that the document has, what violates a schema is refused, no
operation without the key. ``--fuzz-minutes N`` goes on with random requests for N minutes. The program has an environment of
its own (``make test`` installs it, ``requirements.in`` has the reason): elsewhere the test is skipped, under CI it fails.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from server.rest import ENDPOINTS
from tests.support.clients.list_client import write
from tests.support.ports import free_port
from tests.support.servers.installed import installed
from tests.support.servers.processes import ROOT, serving
from tests.support.servers.rest_api import FIGURES, KEY, USER_ROWS

HERE: Final = Path(__file__).parent
PROGRAM: Final = ROOT / ".realtime/schemathesis/bin/schemathesis"


@pytest.mark.long
async def test_every_request_is_answered_as_the_description_announces(
    database: str, fuzz_minutes: float, tmp_path: Path
) -> None:
    write(database, USER_ROWS, *FIGURES.split(";\n"))
    write(database, "insert into realtime.sessions (id, user_id) values ('s1', 'ada')")
    few = ["--phases", "coverage,fuzzing", "--max-examples", "2", "--generation-deterministic", "--no-shrink"]
    many = ["--phases", "fuzzing", "--max-examples", "1000000", "--max-time", str(round(60 * fuzz_minutes))]
    port = free_port()
    async with serving(database, port, rest_key=KEY) as server:
        await server.healthy()
        asked = await asyncio.create_subprocess_exec(
            installed(str(PROGRAM)),
            *("--no-color", "--config-file", str(HERE / "schemathesis.toml"), "run"),
            f"{server.url}/realtime/openapi.json",
            *("--header", f"Authorization: Bearer {KEY}"),
            *(many if fuzz_minutes else few),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asked.communicate()
        sys.stdout.write(printed.decode())
        failures = [line for line in server.lines if '"level": "error"' in line]
    assert asked.returncode == 0, printed.decode()
    assert failures == []
    assert f"Tested: {len(ENDPOINTS)}" in printed.decode()
