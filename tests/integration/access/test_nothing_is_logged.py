"""Tokens, keys and secrets of sessions are in no log, error or address: not of the server, and not of PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from server.cli.local_postgres import LocalPostgres
from server.logs.clients import KINDS
from tests.conftest import database_on
from tests.integration.access.judged import REST_KEY, credentials, prepare, remove, settings
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import SECRET

CLIENT = "the-secret-of-an-anonymous-client"


TRIED = frozenset(
    (
        "ada",
        "expired",
        "of a revoked session",
        "wrong audience",
        "alg none",
        "HS256 with the PEM itself",
        "the key id of one issuer, signed by the other",
        "no token",
        "publishable key",
        "revoked key",
        "unknown key",
        "secret key",
        "secret key for history",
    )
)
"""One of each kind of failure, and some that are accepted."""


class Attempts:
    """Every way to send a credential, and all that is answered."""

    def __init__(self, server: ServerProcess, http: httpx.AsyncClient) -> None:
        self.server = server
        self.http = http
        self.answers: list[str] = []
        self.sessions: list[str] = []

    async def connect(self, parameters: dict[str, str], headers: dict[str, str], *protocols: str) -> None:
        """A WebSocket that sends what is no message, with the credential in it."""
        offered = [Subprotocol(each) for each in protocols] or None
        address = f"{self.server.websocket}?{httpx.QueryParams(parameters)}"
        texts = [*parameters.values(), *headers.values(), *protocols]
        async with connect(
            address, additional_headers=headers, subprotocols=offered, open_timeout=GIVE_UP_AFTER
        ) as socket:
            try:
                for text in texts:
                    for sent in (
                        text,
                        '{"type":"auth","token":"' + text,
                        json.dumps({"type": "auth", "token": [text]}),
                    ):
                        await socket.send(sent)
                    await socket.send(json.dumps({"type": "auth", "token": text}))
                    await socket.send(json.dumps({"type": "subscribe", "channel": "chat:1", "auth": text}))
                await socket.send(json.dumps({"type": "ping"}))
                while '"pong"' not in (answer := str(await socket.recv())):
                    self.answers.append(answer)
            except ConnectionClosed as closed:
                self.answers.append(str(closed))
        self.answers.append(str(socket.response))

    async def request(self, method: str, path: str, parameters: dict[str, str], headers: dict[str, str]) -> None:
        body: dict[str, str] | None = None if method == "GET" else {}
        async with self.http.stream(method, path, params=parameters, headers=headers, json=body) as answer:
            if answer.status_code == 200 and path.endswith("sse"):
                return
            await answer.aread()
        if path.endswith("poll") and answer.status_code == 200:
            self.sessions.append(answer.json()["session"])
            return
        self.answers.append(f"{answer.headers} {answer.text}")

    async def raw(self, text: str) -> None:
        """What is no HTTP, or breaks off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(text.encode("latin-1"))
        if "Content-Length" not in text:
            self.answers.append((await reader.readuntil(b"}")).decode("latin-1"))
        writer.close()

    async def authenticate(self, transport: str, good: str, texts: Sequence[str]) -> None:
        """Renewals on an open connection."""
        async with transport_client(self.server.url, transport, token=good) as client:
            self.sessions += filter(None, [client.connected.get("session")])
            for number, text in enumerate(texts):
                await client.send(type="auth", token=text, ref="r")
                self.answers.append(str(await client.receive("authenticated", "error")))
                self.answers.append(str(await client.join(f"chat:{number}", auth=text)))
            await client.leave()


PATHS = ("/health", "/nowhere", "/realtime/connections", "/realtime/sse")


async def attempt_all(attempts: Attempts, secrets: Sequence[str]) -> None:
    for text in secrets:
        wrapped = "bunbase.token." + urlsafe_b64encode(text.encode()).decode().rstrip("=")
        bearer, named = {"Authorization": f"Bearer {text}"}, {"apikey": text}
        ways: list[tuple[dict[str, str], dict[str, str]]] = [
            ({}, bearer),
            ({}, named),
            ({"token": text}, {}),
            ({"apikey": text}, {}),
            ({"token": text}, bearer),
            ({"apikey": text}, named),
            ({"user": text}, {}),
            ({"format": text}, {}),
        ]
        opening = ways[:4]
        await asyncio.gather(
            *(attempts.connect(*way) for way in opening),
            attempts.connect({}, {}, "bunbase", wrapped),
            *(
                attempts.request(method, path, *way)
                for way, (method, path) in (
                    *product(opening, (*product(("GET",), PATHS), ("POST", "/realtime/poll"))),
                    *product(ways, [("POST", "/realtime/poll")]),
                )
            ),
            *(
                attempts.raw(head)
                for head in (
                    f"GET /realtime?token={text} HTTP/9.9\r\n\r\n",
                    f"GET /realtime?token={text}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
                    f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\r\n broken\x00\r\n\r\n",
                    f'POST /realtime/send HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{"session":"{text}',
                    f"{text} / HTTP/1.1\r\n\r\n",
                )
            ),
        )


async def test_no_credential_is_in_any_log_or_answer(own18: LocalPostgres) -> None:
    log = Path(own18.data_dir) / "server.log"
    with database_on(
        own18, "do $$ begin execute format('alter database %I set log_statement = ''all''', current_database()); end $$"
    ) as dsn:
        prepare(dsn)
        known = {name: each for name, each in credentials(dsn).items() if name in TRIED}
        begin = log.stat().st_size
        tokens = {str(each.token) for each in known.values() if each.token is not None}
        keys = {str(each.key) for each in known.values() if each.key is not None and each.key != REST_KEY}
        good = str(known["ada"].token)
        options = {**settings(), "log_level": "debug", "log_format": "console", "max_rest_rate": 100_000}
        options["log_events"] = list(KINDS)
        try:
            async with (
                asyncio.timeout(6 * GIVE_UP_AFTER),
                serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
                httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
            ):
                attempts = Attempts(server, http)
                await attempt_all(attempts, [*sorted(tokens), *sorted(keys), REST_KEY])
                for transport in TRANSPORTS:
                    await attempts.authenticate(transport, good, sorted(tokens - {good}))
                    async with transport_client(server.url, transport, client=CLIENT) as nameless:
                        attempts.answers.append(str(await nameless.join("private:other")))
                        await nameless.leave()
                for session in attempts.sessions:
                    await attempts.request("DELETE", f"/realtime/session?session={session}", {}, {})
                health = (await http.get("/health", headers={"Authorization": f"Bearer {REST_KEY}"})).text
                revoked = realtime("keys", "revoke", str(known["publishable key"].key), "--dsn", dsn)
                assert (revoked.returncode, revoked.stdout) == (0, "it is revoked\n")
                await server.end()
        finally:
            remove(dsn)
        secrets = {SECRET, CLIENT, REST_KEY, *tokens, *keys, *attempts.sessions}
        statements = log.read_bytes()[begin:].decode(errors="replace")
        for name, text in {
            "the server's log": "".join(server.lines),
            "PostgreSQL's log": statements,
            "the health": health,
        }.items():
            assert len(text) > 100, name
            assert [secret for secret in secrets if secret in text] == [], name
        assert [each for each in attempts.answers if any(secret in each for secret in secrets)] == []
        assert statements.count("LOG:  execute") + statements.count("LOG:  statement") > 100
