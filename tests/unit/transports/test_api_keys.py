"""API keys over every transport: how they come, who is let in, and what a refused client gets."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from engine.channels.core.messages.decode import RowChange
from engine.channels.core.watched_rows import WatchedRows
from engine.transaction import Kind
from server.auth.api_keys import KeyRing
from server.auth.authenticator import AddressAuthenticator, Authenticator, TokenAuthenticator
from server.auth.identity import HandshakeRejectedError, handshake_of
from server.auth.key_gate import KeyGate
from server.auth.tokens import TokenVerifier
from server.client.credential_watch import CredentialWatch
from server.protocol.close_codes import CloseCode
from tests.support.clients.handshakes import answer_of
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.fakes.server import fake_server
from tests.support.values.api_keys import api_key, key_row, ring_of
from tests.support.values.tokens import issuer, token

GOOD, REVOKED, EXPIRED, LASTING = (api_key(number) for number in range(1, 5))
SECRET = api_key(5, "sk_")
UNKNOWN, FORGED, MIXED = api_key(9), api_key(1, secret="guessed"), api_key(1)[:16] + api_key(8)[16:]
NO_KEY = "not an API key: one is pk_ or sk_"
MISTYPED = "the API key is mistyped: its checksum is wrong"

CREDENTIALS: dict[str, tuple[str | None, str | None, str | None]] = {
    "no key": (None, None, None),
    "publishable": (GOOD, None, None),
    "publishable, with a user's token": (GOOD, "token", None),
    "publishable, with a wrong token": (GOOD, "nonsense", "not a JSON web token"),
    "not yet expired": (LASTING, None, None),
    "revoked": (REVOKED, None, "API key revoked"),
    "expired": (EXPIRED, None, "API key expired"),
    "revoked, with a user's token": (REVOKED, "token", "API key revoked"),
    "unknown": (UNKNOWN, None, "unknown API key"),
    "known prefix, other secret": (FORGED, None, "unknown API key"),
    "revoked prefix, other secret": (api_key(2, secret="guessed"), None, "unknown API key"),
    "known prefix, secret of another": (MIXED, None, MISTYPED),
    "mistyped": (GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), None, MISTYPED),
    "mistyped secret": (GOOD[:20] + ("0" if GOOD[20] != "0" else "1") + GOOD[21:], None, MISTYPED),
    "cut off": (GOOD[:-3], None, NO_KEY),
    "longer": (GOOD + "0", None, NO_KEY),
    "upper case": (GOOD.upper(), None, NO_KEY),
    "something else": ("your-api-key", None, NO_KEY),
    "secret": (SECRET, None, "a secret API key is for the REST API, and never for a browser or an address"),
}


def gate(*, required: bool = False) -> Authenticator:
    ring = ring_of(
        key_row(GOOD),
        key_row(REVOKED, revoked_at="2026-01-01 00:00:00+00"),
        key_row(EXPIRED, expires_at="2026-01-01 00:00:00.5+00"),
        key_row(LASTING, expires_at="2999-01-01 00:00:00+00"),
        key_row(SECRET),
    )
    tokens = TokenAuthenticator(TokenVerifier([issuer()], 0), AddressAuthenticator())
    return KeyGate(ring, tokens, required=required)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", ["address", "header"])
async def test_each_key_is_judged_alike_on_every_transport(transport: str, way: str) -> None:
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(4 * 60):
        for name, (key, bearer, reason) in CREDENTIALS.items():
            text = token() if bearer == "token" else bearer
            answer = await answer_of(server, transport, text, key=key, key_in=way)
            if reason is None:
                assert answer["type"] == "connected", name
            else:
                status = CloseCode.AUTHENTICATION_FAILED if transport in ("websocket", "msgpack") else 401
                assert (answer["type"], answer["code"], answer["status"]) == ("error", "RT_002", status), name
                assert answer["message"].startswith(reason), name
                assert key is None or key not in answer["message"]
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_requires_a_key_reports_it(transport: str) -> None:
    async with fake_server(authenticator=gate(required=True)) as server, asyncio.timeout(60):
        for text in (None, token()):
            refused = await answer_of(server, transport, text)
            assert (refused["code"], refused["message"]) == (
                "RT_002",
                "an API key is needed: this server requires one (require_api_key)",
            )
        assert (await answer_of(server, transport, token(), key=GOOD, key_in="address"))["type"] == "connected"
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_key_gives_no_rights_and_a_token_beside_it_gives_the_users(transport: str) -> None:
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(60):
        async with transport_client(server.url, transport, apikey=GOOD) as nameless:
            assert (await nameless.join("private:user-ada"))["code"] == "RT_003"
            await nameless.leave()
        async with transport_client(server.url, transport, apikey=GOOD, token=token(sub="ada")) as ada:
            assert (await ada.join("private:user-ada"))["type"] == "subscribed"
            await ada.leave()
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_key_is_for_its_addresses_and_a_change_of_them_acts_at_once(transport: str) -> None:
    here, elsewhere = (
        key_row(GOOD, allowed_ips="{127.0.0.0/8,2001:db8::/32}"),
        key_row(GOOD, allowed_ips="{10.0.0.0/8}"),
    )
    rows = WatchedRows("id")
    rows.load([here])
    ring = KeyRing()
    ring.follow(rows)
    key_gate = KeyGate(ring, AddressAuthenticator())
    watch = CredentialWatch(lambda key: key_gate.judge(key.name, key.address))
    rows.changed = lambda _: watch.changed(None)
    reason = "the API key may not be used from your address (its allowed_ips and denied_ips)"
    async with fake_server(authenticator=key_gate, key_watch=watch) as server, asyncio.timeout(60):
        async with transport_client(server.url, transport, apikey=GOOD) as client:
            rows.apply(RowChange(Kind.UPDATE, "api_keys", here, elsewhere))
            await _ends(client, reason)
        refused = await answer_of(server, transport, None, key=GOOD, key_in="address")
        assert (refused["code"], refused["message"].startswith(reason)) == ("RT_002", True)
        denied = key_row(GOOD, allowed_ips="{127.0.0.0/8}", denied_ips="{127.0.0.1}")
        rows.apply(RowChange(Kind.UPDATE, "api_keys", elsewhere, denied))
        assert (await answer_of(server, transport, None, key=GOOD, key_in="address"))["type"] == "error"
        rows.apply(RowChange(Kind.UPDATE, "api_keys", denied, here))
        assert (await answer_of(server, transport, None, key=GOOD, key_in="address"))["type"] == "connected"
        watch.stop()
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_connection_ends_when_its_key_is_revoked_or_expires(transport: str) -> None:
    soon = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat(" ")
    rows = WatchedRows("id")
    rows.load([key_row(GOOD), key_row(LASTING, expires_at=soon)])
    ring = KeyRing()
    ring.follow(rows)
    key_gate = KeyGate(ring, AddressAuthenticator())
    watch = CredentialWatch(lambda key: key_gate.judge(key.name, key.address))
    rows.changed = lambda _: watch.changed(None)
    async with fake_server(authenticator=key_gate, key_watch=watch) as server, asyncio.timeout(60):
        async with (
            transport_client(server.url, transport, apikey=GOOD) as revoked,
            transport_client(server.url, transport, apikey=LASTING) as expiring,
            transport_client(server.url, transport) as keyless,
        ):
            rows.apply(RowChange(Kind.UPDATE, "api_keys", key_row(GOOD), key_row(GOOD, revoked_at=soon)))
            await _ends(revoked, "API key revoked")
            assert len(server.connections) == 2
            now = datetime.fromtimestamp(time.time() + 0.05, UTC).isoformat(" ")
            rows.apply(RowChange(Kind.UPDATE, "api_keys", key_row(LASTING), key_row(LASTING, expires_at=now)))
            await _ends(expiring, "API key expired")
            assert (await keyless.join("chat:1"))["type"] == "subscribed"
            await keyless.leave()
        watch.stop()
        await server.left_alone()


async def _ends(client: TransportClient, reason: str) -> None:
    error = await client.receive("error")
    assert (error["code"], error["message"]) == ("RT_002", reason)
    assert (await client.receive("close"))["code"] == CloseCode.AUTHENTICATION_FAILED


def test_two_keys_are_refused_and_a_handshake_does_not_show_its_key() -> None:
    handshake = handshake_of(None, [("apikey", GOOD), ("x", "1")], None, ())
    assert (handshake.api_key, dict(handshake.query)) == (GOOD, {"x": "1"})
    assert GOOD not in repr(handshake)
    with pytest.raises(HandshakeRejectedError, match="apikey: one is accepted"):
        handshake_of(None, [("apikey", GOOD)], None, (), api_keys=[GOOD])


@pytest.mark.parametrize("name", ["apikey", "token"])
def test_a_credential_that_an_address_has_twice_is_refused_in_any_order(name: str) -> None:
    for values in (("a", "b"), ("b", "a"), ("a", "a"), ("", "a")):
        with pytest.raises(HandshakeRejectedError, match=f"{name}: one is accepted") as refused:
            handshake_of(None, [(name, value) for value in values], None, ())
        assert refused.value.status == 400
