"""The served process with issuers configured: who gets in, and what its log and its health report of that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

HANDLER = """
async def authenticate(token):
    if "fail" in token:
        raise ValueError(token)
    return {"userId": "eve", "sessionId": "s-1"} if token == "of-the-handler" else None
"""


async def test_clients_are_let_in_by_token_and_no_token_is_logged(database: str, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    options = {"auth_issuers": issuers, "allow_anonymous": False, "log_level": "debug"}
    options["auth_handler"] = {"function": f"{tmp_path / 'handler.py'}:authenticate"}
    texts = [token(sub="ada"), token(aud="billing"), "a-text-that-is-no-token"]
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        for transport in TRANSPORTS:
            async with transport_client(server.url, transport, token=texts[0]) as ada:
                assert (await ada.join("private:user-ada"))["type"] == "subscribed"
                assert (await ada.join("private:user-bob"))["code"] == "RT_003"
                await ada.leave()
        async with transport_client(server.url, "websocket", token="of-the-handler") as eve:
            assert (await eve.join("private:user-eve"))["type"] == "subscribed"
        failed = await http.post("/poll", json={}, headers={"Authorization": "Bearer made-to-fail"})
        assert (failed.status_code, failed.json()["code"]) == (503, "RT_001")
        for text in (*texts[1:], None):
            headers = {} if text is None else {"Authorization": f"Bearer {text}"}
            for answer in (
                await http.get("/sse", headers=headers),
                await http.get("/sse", params={"token": text} if text else {}),
                await http.post("/poll", json={}, headers=headers),
                await http.post("/nowhere", json={}, params={"token": text} if text else {}),
            ):
                assert answer.status_code in (401, 404)
                assert text is None or text not in answer.text
        await server.end()
    log = "".join(server.lines)
    assert log, "the log is not empty"
    assert SECRET not in log
    assert "auth_handler_failed" in log
    for text in (*texts, "of-the-handler", "made-to-fail"):
        assert text not in log
