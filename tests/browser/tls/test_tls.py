"""Chromium over wss and https, with a certificate that it accepts for the key alone."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from server.app.tls import Certificate
from tests.support.browsers import browser_environment, need_browser
from tests.support.clients.users import running_server
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.certificates import Authority, key_hash

SCENARIO = Path(__file__).with_name("tls.mjs")


@pytest.mark.long
async def test_a_page_connects_over_tls_to_the_key_that_it_trusts_and_to_no_other(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_browser("chromium")
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    chain, key = authority.certify()
    other = Certificate(*authority.certify("other"))
    imposter = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=other.context)
    imposter_url = f"https://localhost:{imposter.sockets[0].getsockname()[1]}"
    async with imposter, running_server(database, tls_certificate=str(chain), tls_key=str(key)) as server:
        given = (f"https://localhost:{server.port}", key_hash(chain), imposter_url)
        process = await asyncio.create_subprocess_exec(
            "node", str(SCENARIO), *given, stdout=PIPE, stderr=STDOUT, env=os.environ | browser_environment()
        )
        async with asyncio.timeout(3 * GIVE_UP_AFTER):
            reported, _ = await process.communicate()
        assert process.returncode == 0, reported.decode() + "".join(server.lines)
