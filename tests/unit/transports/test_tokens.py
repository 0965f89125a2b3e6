"""Tokens over every transport: how they come, who is let in, what a refused client gets, and what happens at their end."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from engine.identity.principal import Principal
from server.auth.authenticator import AddressAuthenticator, TokenAuthenticator
from server.auth.identity import HandshakeRequest
from server.auth.tokens import TokenVerifier
from server.protocol.close_codes import CloseCode
from tests.support.clients.handshakes import answer_of
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import SECRET, claims, forged, issuer, pem, private_key, token

WAYS = ("address", "header", "subprotocol")
"""Only a WebSocket has subprotocols."""


def gate(*, allow_anonymous: bool = True, leeway: float = 0, trusted: bool = False) -> TokenAuthenticator:
    """Two issuers, one of which signs with RSA."""
    other = issuer(issuer="https://rsa.example", public_key=pem("RS256"))
    without = AddressAuthenticator(trust_user_parameter=trusted)
    return TokenAuthenticator(TokenVerifier([issuer(), other], leeway), without, allow_anonymous=allow_anonymous)


def credentials() -> dict[str, tuple[str | None, str | None]]:
    """Each credential, and the reason for which it is refused; None: it is accepted."""
    now = int(time.time())
    rsa: dict[str, Any] = {"iss": "https://rsa.example"}
    return {
        "anonymous": (None, None),
        "user": (token(), None),
        "user of the other issuer": (token("RS256", **rsa), None),
        "expired": (token(exp=now - 60), "token expired"),
        "not yet valid": (token(nbf=now + 3600), "token not valid yet"),
        "wrong issuer": (token(iss="https://evil.example"), "wrong issuer"),
        "wrong audience": (token(aud="billing"), "wrong audience"),
        "alg none": (forged('{"alg":"none"}', json.dumps(claims()), b""), "wrong algorithm: a signed token is needed"),
        "HS256 with the RSA public key": (
            token("HS256", "x" * 40, **rsa),
            "wrong algorithm: the issuer's tokens are signed with another",
        ),
        "the other issuer's key": (token("RS256", private_key("RS256", 1), **rsa), "wrong signature"),
        "the other issuer's name": (token("HS256", SECRET, iss="https://rsa.example"), "wrong algorithm: the issuer's"),
        "no token": ("nonsense", "not a JSON web token: three parts of base64url with dots between them"),
        "empty": ("", "not a JSON web token: three parts of base64url with dots between them"),
        "huge": ("a" * 8_500, "the token is longer than 8192 characters"),
    }


@pytest.mark.parametrize(
    ("transport", "way"),
    [(each, way) for each in TRANSPORTS for way in WAYS if way != "subprotocol" or each in ("websocket", "msgpack")],
)
async def test_each_credential_is_judged_alike_on_every_transport(transport: str, way: str) -> None:
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        for name, (text, reason) in credentials().items():
            if (name, way) in (("huge", "address"), ("empty", "header")):
                continue  # the address of a WebSocket has at most 8,192 bytes; httpx sends no header that ends in a space
            answer = await answer_of(server, transport, text, way)
            if reason is None:
                assert answer["type"] == "connected", name
            else:
                status = CloseCode.AUTHENTICATION_FAILED if transport in ("websocket", "msgpack") else 401
                assert (answer["type"], answer["code"], answer["status"]) == ("error", "RT_002", status), name
                assert answer["message"].startswith(reason), name
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_user_is_the_one_that_the_token_names(transport: str) -> None:
    async with (
        fake_server(authenticator=gate(trusted=True)) as server,
        transport_client(server.url, transport, token=token(sub="ada"), user="eve") as ada,
    ):
        await ada.join("chat:1")
        assert [one.member.user_id for one in server.rooms.of("chat:1")] == ["ada"], (
            "a token counts more than the address"
        )
        assert (await ada.join("private:user-ada"))["type"] == "subscribed"
        refused = await ada.join("private:user-eve")
        assert (refused["type"], refused["code"]) == ("error", "RT_003")
        await ada.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_anonymous_user_has_no_private_channel(transport: str) -> None:
    async with (
        fake_server(authenticator=gate()) as server,
        transport_client(server.url, transport, client="s" * 24) as nameless,
    ):
        await nameless.join("chat:1")
        [one] = server.rooms.of("chat:1")
        assert one.member.user_id is not None
        refused = await nameless.join(f"private:user-{one.member.user_id}")
        assert (refused["type"], refused["code"]) == ("error", "RT_003")
        await nameless.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_wants_a_token_reports_it(transport: str) -> None:
    async with fake_server(authenticator=gate(allow_anonymous=False)) as server, asyncio.timeout(GIVE_UP_AFTER):
        refused = await answer_of(server, transport, None)
        assert (refused["code"], refused["message"]) == (
            "RT_002",
            "a token is needed: this server accepts no anonymous clients (allow_anonymous)",
        )
        assert (await answer_of(server, transport, token()))["type"] == "connected"
        await server.left_alone()


class Brief(AddressAuthenticator):
    """Everyone is ada, whose proof of identity ends after ``seconds``, and can be renewed for an hour."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        return Principal("ada", expires_at=time.time() + self.seconds, authenticated=True)

    async def renew(self, token: str) -> Principal:
        return Principal("ada", expires_at=time.time() + 3600, authenticated=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("seconds", [-1.0, 0.05])
async def test_a_connection_ends_with_its_token(transport: str, seconds: float) -> None:
    async with fake_server(authenticator=Brief(seconds)) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with transport_client(server.url, transport) as ada:
            error = await ada.receive("error")
            assert (error["code"], error["message"]) == ("RT_002", "token expired")
            closed = await ada.receive("close")
            assert (closed["code"], closed["reason"]) == (CloseCode.TOKEN_EXPIRED, "token expired")
        await server.left_alone()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_is_warned_and_stays_connected_with_a_new_token(transport: str) -> None:
    now = int(time.time())
    async with (
        fake_server(authenticator=gate()) as server,
        transport_client(server.url, transport, token=token(exp=now + 3600)) as ada,
    ):
        [connection] = server.connections
        principal = connection.client._principal
        assert (await ada.join("chat:1"))["type"] == "subscribed"
        await ada.send(type="auth", token=token(exp=now + 7200), ref="7")
        renewed = await ada.receive("authenticated")
        assert renewed["ref"] == "7"
        assert 7000 < renewed["expiresIn"] <= 7200
        assert principal.expires_at == now + 7200, "the one principal of the connection has changed"
        assert len(server.rooms.of("chat:1")) == 1
        connection._expiry_timer._warn_at = 0.0
        connection._expiry_timer.beat()
        assert 7000 < (await ada.receive("auth:expiring"))["seconds"] <= 7200
        await ada.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_that_cannot_renew_changes_nothing(transport: str) -> None:
    now = int(time.time())
    cases = {
        token(sub="eve"): "the token is another user's: open a new connection for that user",
        token(exp=now - 60): "token expired",
        token(aud="billing"): "wrong audience",
        "nonsense": "not a JSON web token: three parts of base64url with dots between them",
    }
    async with (
        fake_server(authenticator=gate()) as server,
        transport_client(server.url, transport, token=token(exp=now + 3600)) as ada,
    ):
        [connection] = server.connections
        for text, reason in cases.items():
            refused = await ada.ask(type="auth", token=text, ref="7")
            found = refused["type"], refused["code"], refused["message"], refused["ref"]
            assert found == ("error", "RT_002", reason, "7")
            refused = await ada.join("chat:1", auth=text)
            assert (refused["code"], refused["message"], refused["channel"]) == ("RT_002", reason, "chat:1")
        principal = connection.client._principal
        assert (principal.user_id, principal.expires_at) == ("ada", now + 3600)
        assert server.rooms.of("chat:1") == []
        assert (await ada.join("chat:1", auth=token()))["type"] == "subscribed", "a token of its own user renews, too"
        await ada.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_anonymous_connection_stays_anonymous(transport: str) -> None:
    async with fake_server(authenticator=gate()) as server, transport_client(server.url, transport) as nameless:
        refused = await nameless.ask(type="auth", token=token())
        assert (refused["code"], refused["message"]) == (
            "RT_002",
            "this connection is anonymous: a token belongs to the request that opens it",
        )
        await nameless.leave()


async def test_a_token_on_an_anonymous_connection_is_refused_unread() -> None:
    asked: list[str] = []

    class Counting(AddressAuthenticator):
        async def renew(self, token: str) -> Principal:
            asked.append(token)
            return Principal("ada", authenticated=True)

    async with fake_server(authenticator=Counting()) as server, transport_client(server.url, "websocket") as nameless:
        refused = await nameless.ask(type="auth", token="junk")
        assert (refused["type"], refused["code"]) == ("error", "RT_002")
        assert asked == []
        await nameless.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_user_whose_role_changes_is_connected_anew(transport: str) -> None:
    async with (
        fake_server(authenticator=gate()) as server,
        transport_client(server.url, transport, token=token(role="editor")) as ada,
    ):
        await ada.join("chat:1")
        await ada.send(type="auth", token=token(role="reader"))
        await ada.receive("authenticated")
        assert (await ada.receive("close"))["code"] == CloseCode.RESUME
        await server.left_alone()
        assert server.rooms.of("chat:1") == []


async def test_renewals_are_bounded_and_in_order() -> None:
    class Slow(Brief):
        def __init__(self) -> None:
            super().__init__(3600)
            self.gate = asyncio.Event()

        async def renew(self, token: str) -> Principal:
            await self.gate.wait()
            return await super().renew(token)

    slow = Slow()
    async with fake_server(authenticator=slow) as server, transport_client(server.url, "websocket") as ada:
        for number in range(9):
            await ada.send(type="auth", token="t", ref=str(number))
        refused = await ada.receive("error")
        assert (refused["code"], refused["ref"]) == ("RT_006", "8")
        slow.gate.set()
        assert [(await ada.receive("authenticated"))["ref"] for _ in range(8)] == [str(number) for number in range(8)]
        await ada.leave()


async def test_the_answer_names_no_subprotocol_with_a_token_in_it() -> None:
    wrapped = urlsafe_b64encode(token().encode()).decode().rstrip("=")
    offered = [Subprotocol("bunbase"), Subprotocol(f"bunbase.token.{wrapped}")]
    async with (
        fake_server(authenticator=gate()) as server,
        connect(f"ws://127.0.0.1:{server.port}/realtime", subprotocols=offered) as socket,
    ):
        assert socket.subprotocol == "bunbase"
        assert wrapped not in str(socket.response)
        assert json.loads(await socket.recv())["type"] == "connected"


async def test_a_client_that_offers_other_subprotocols_agrees_on_none() -> None:
    async with (
        fake_server(authenticator=gate()) as server,
        connect(f"ws://127.0.0.1:{server.port}/realtime", subprotocols=[Subprotocol("chat")]) as socket,
    ):
        assert socket.subprotocol is None


async def test_more_than_one_token_is_refused() -> None:
    async with (
        fake_server(authenticator=gate()) as server,
        httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http,
    ):
        both = await http.post(
            "/poll", json={}, params={"token": token()}, headers={"Authorization": f"Bearer {token()}"}
        )
        assert (both.status_code, both.json()["detail"]) == (
            400,
            "token: one is accepted, in the header Authorization, as a subprotocol or in the address",
        )


async def test_the_header_of_a_proxy_in_front_is_no_token() -> None:
    async with (
        fake_server(authenticator=gate()) as server,
        httpx.AsyncClient(
            base_url=f"{server.url}/realtime", headers={"Authorization": "Basic dTpw"}, timeout=GIVE_UP_AFTER
        ) as http,
    ):
        answer = await http.post("/poll", json={})
        assert answer.status_code == 200
        await http.request("DELETE", "/session", json={"session": answer.json()["session"]})
        await server.left_alone()


@pytest.mark.parametrize(("method", "path"), [("GET", "/sse"), ("POST", "/poll")])
async def test_a_page_of_another_origin_may_send_the_header(method: str, path: str) -> None:
    """A browser asks first (a CORS preflight), as ``Authorization`` is not among the headers that any page may set."""
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    async with (
        fake_server(authenticator=gate()) as server,
        httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http,
    ):
        allowed = await http.options(path, headers=asked)
        assert allowed.status_code == 200
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in allowed.headers, "no cookie counts here"
