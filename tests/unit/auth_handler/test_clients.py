"""Clients of a server with a handler of its operator, on every transport; the examples of the documentation run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.auth.authenticator import AddressAuthenticator, TokenAuthenticator
from server.protocol.close_codes import CloseCode
from tests.support.clients.handshakes import answer_of
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.doc_blocks import blocks
from tests.support.fakes.server import fake_server
from tests.support.ports import free_port
from tests.support.servers.auth_handlers import KNOWN, SECRET, UNKNOWN, judging
from tests.support.servers.processes import GIVE_UP_AFTER


def example(name: str) -> str:
    [block] = blocks("python", name)
    return block.text


@pytest.fixture(params=["function", "webhook"])
async def documented(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """The settings of an example of the documentation, which runs."""
    if request.param == "function":
        (tmp_path / "auth_handler.py").write_text(example("auth_handler.py"))
        yield {"function": f"{tmp_path}/auth_handler.py:authenticate"}
        return
    (tmp_path / "webhook.py").write_text(example("webhook.py"))
    port = free_port()
    environment = {**os.environ, "HANDLER_SECRET": SECRET, "PORT": str(port)}
    it = await asyncio.create_subprocess_exec(
        sys.executable, "-S", str(tmp_path / "webhook.py"), env=environment, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.02)
            writer.close()
        yield {"url": f"http://127.0.0.1:{port}/", "secret": SECRET}
    finally:
        it.kill()
        await it.wait()


async def test_the_examples_of_the_documentation_let_clients_in_on_every_transport(documented: dict[str, Any]) -> None:
    async with judging(**documented) as verifier:
        authenticator = TokenAuthenticator(verifier, AddressAuthenticator())
        async with fake_server(authenticator=authenticator) as server:
            for transport in TRANSPORTS:
                refused = await answer_of(server, transport, UNKNOWN)
                status = CloseCode.AUTHENTICATION_FAILED if transport in ("websocket", "msgpack") else 401
                assert (refused["code"], refused["status"]) == ("RT_002", status)
                assert refused["message"] in ("the token was refused", "log in again")
                async with transport_client(server.url, transport, token=KNOWN) as client:
                    assert (await client.join("private:user-user-456"))["type"] == "subscribed"
                    refused = await client.ask(type="auth", token=UNKNOWN)
                    assert refused["code"] == "RT_002"
                    await client.send(type="auth", token=KNOWN)
                    await client.receive("authenticated")
                    await client.leave()
            await server.left_alone()


async def test_a_client_that_cannot_be_judged_is_asked_to_try_again() -> None:
    async with (
        judging(url=f"http://127.0.0.1:{free_port()}/", secret=SECRET) as verifier,
        fake_server(authenticator=TokenAuthenticator(verifier, AddressAuthenticator())) as server,
    ):
        for transport in TRANSPORTS:
            answer = await answer_of(server, transport, KNOWN)
            status = CloseCode.TRY_AGAIN_LATER if transport in ("websocket", "msgpack") else 503
            assert (answer["code"], answer["status"]) == ("RT_001", status)
        await server.left_alone()
