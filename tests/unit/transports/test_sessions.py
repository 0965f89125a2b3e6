"""Sessions of users over every transport: whose token is accepted, and what ends with a session that is revoked."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from engine.channels.core.messages.decode import RowChange
from engine.channels.core.watched_rows import WatchedRows
from engine.identity.principal import Principal
from engine.transaction import Kind
from server.auth.authenticator import AddressAuthenticator, TokenAuthenticator
from server.auth.identity import HandshakeRequest
from server.auth.sessions import SessionGate
from server.auth.tokens import TokenVerifier
from server.client.credential_watch import CredentialWatch
from server.protocol.close_codes import CloseCode
from tests.support.clients.handshakes import answer_of
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.values.tokens import issuer, token

EVERY_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS)
PAST = "2026-01-01 00:00:00+00"
Row = dict[str, str | None]


def session_row(id: str, user_id: str = "ada", **columns: str | None) -> Row:
    return {"id": id, "user_id": user_id, "expires_at": None, "revoked_at": None} | columns


class Sessions:
    """The rows as of the stream, and the gate before them. ``coming``: rows that the stream brings when it is waited for."""

    def __init__(self, *rows: Row) -> None:
        self.rows = WatchedRows("id")
        self.rows.load(rows)
        self.coming: list[RowChange] = []
        self.waits = 0
        tokens = TokenAuthenticator(TokenVerifier([issuer()], 0), AddressAuthenticator())
        self.gate = SessionGate(self.rows, self.caught_up, tokens)
        self.watch = CredentialWatch(lambda session: self.gate.judge(session.name, session.user_id))
        self.rows.changed = self.watch.changed

    async def caught_up(self) -> None:
        self.waits += 1
        for change in self.coming:
            self.rows.apply(change)
        self.coming.clear()

    def set(self, id: str, **columns: str | None) -> None:
        """The row is updated, or inserted."""
        before = self.rows.get(id)
        kind = Kind.INSERT if before is None else Kind.UPDATE
        self.rows.apply(RowChange(kind, "sessions", None, dict(before or session_row(id)) | columns))

    def delete(self, id: str) -> None:
        self.rows.apply(RowChange(Kind.DELETE, "sessions", session_row(id), None))


async def ends(client: TransportClient, reason: str) -> None:
    error = await client.receive("error")
    assert (error["code"], error["message"]) == ("RT_002", reason)
    assert (await client.receive("close"))["code"] == CloseCode.AUTHENTICATION_FAILED


async def refused(server: FakeServer, transport: str, text: str) -> str:
    """The reason, which comes with the status of a failed authentication."""
    answer = await answer_of(server, transport, text)
    status = CloseCode.AUTHENTICATION_FAILED if transport in ("websocket", "msgpack") else 401
    assert (answer["type"], answer["code"], answer["status"]) == ("error", "RT_002", status)
    return str(answer["message"])


@EVERY_TRANSPORT
async def test_a_token_is_accepted_as_long_as_its_session_lasts(transport: str) -> None:
    later = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat(" ")
    known = Sessions(
        session_row("lasting", expires_at=later),
        session_row("endless"),
        session_row("revoked", revoked_at=PAST),
        session_row("expired", expires_at=PAST),
        session_row("of bob", "bob"),
        session_row("7"),
    )
    async with fake_server(authenticator=known.gate, session_watch=known.watch) as server, asyncio.timeout(240):
        for sid in ("lasting", "endless", None, 7):
            assert (await answer_of(server, transport, token(sid=sid)))["type"] == "connected"
        assert known.waits == 0, "a session that is known costs no round trip"
        assert (await answer_of(server, transport, None))["type"] == "connected", "an anonymous client has no session"
        for sid, reason in {
            "revoked": "session revoked",
            "expired": "session expired",
            "never": "unknown session",
            "of bob": "the session is another user's",
        }.items():
            assert await refused(server, transport, token(sid=sid)) == reason
        await server.left_alone()
    strict = SessionGate(known.rows, known.caught_up, known.gate._within, required=True)
    async with fake_server(authenticator=strict, session_watch=known.watch) as server, asyncio.timeout(60):
        assert await refused(server, transport, token()) == (
            "the token names no session, and this server requires one (session_validation)"
        )
        assert (await answer_of(server, transport, token(sid="endless")))["type"] == "connected"
        await server.left_alone()
    assert not known.watch._entries, "closed connections are no longer watched"


@EVERY_TRANSPORT
async def test_a_session_that_ends_ends_its_connections_and_no_others(transport: str) -> None:
    known = Sessions(*map(session_row, ("revoked", "deleted", "expiring", "given away", "other")))
    async with fake_server(authenticator=known.gate, session_watch=known.watch) as server, asyncio.timeout(240):
        async with transport_client(server.url, transport, token=token(sid="other")) as other:
            for sid, reason in {
                "revoked": "session revoked",
                "deleted": "unknown session",
                "expiring": "session expired",
                "given away": "the session is another user's",
            }.items():
                async with transport_client(server.url, transport, token=token(sid=sid)) as client:
                    match sid:
                        case "deleted":
                            known.delete(sid)
                        case "revoked":
                            known.set(sid, revoked_at=PAST)
                        case "expiring":
                            soon = datetime.fromtimestamp(time.time() + 0.05, UTC).isoformat(" ")
                            known.set(sid, expires_at=soon)
                        case _:
                            known.set(sid, user_id="bob")
                    await ends(client, reason)
            assert (await other.join("chat:1"))["type"] == "subscribed"
            await other.leave()
        await server.left_alone()
    known.watch.stop()


@EVERY_TRANSPORT
async def test_a_session_of_a_moment_ago_is_waited_for(transport: str) -> None:
    """The application commits the session and makes the token; the client may be faster than the stream."""
    known = Sessions(session_row("prolonged", expires_at=PAST))
    async with fake_server(authenticator=known.gate, session_watch=known.watch) as server, asyncio.timeout(240):
        known.coming = [
            RowChange(Kind.INSERT, "sessions", None, session_row("new")),
            RowChange(Kind.UPDATE, "sessions", None, session_row("prolonged", expires_at="2999-01-01 00:00:00+00")),
        ]
        for sid in ("new", "prolonged"):
            assert (await answer_of(server, transport, token(sid=sid)))["type"] == "connected"
        assert known.waits == 1
        await server.left_alone()


class Delayed(SessionGate):
    """The session is revoked between its check and the opening of the connection."""

    known: Sessions
    late = False

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        return None if self.late else self._meanwhile(super().identify(handshake))

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        principal = self._meanwhile(await super().authenticate(handshake))
        assert principal is not None
        return principal

    def _meanwhile(self, principal: Principal | None) -> Principal | None:
        if principal is not None and principal.session_id == "doomed":
            self.known.set("doomed", revoked_at=PAST)
        return principal


@EVERY_TRANSPORT
@pytest.mark.parametrize("late", [False, True])
async def test_a_session_revoked_while_its_client_is_let_in_does_not_slip_through(transport: str, late: bool) -> None:
    known = Sessions(session_row("doomed"))
    gate = Delayed(known.rows, known.caught_up, known.gate._within)
    gate.known, gate.late = known, late
    async with fake_server(authenticator=gate, session_watch=known.watch) as server, asyncio.timeout(60):
        answer = await answer_of(server, transport, token(sid="doomed"))
        assert (answer["code"], answer["message"]) == ("RT_002", "session revoked")
        assert server.rooms.members == {}
        await server.left_alone()
    assert not known.watch._entries


class Late(SessionGate):
    """The session is revoked between the check of a renewal and what follows it."""

    known: Sessions

    async def renew(self, token: str) -> Principal:
        principal = await super().renew(token)
        self.known.set("doomed", revoked_at=PAST)
        return principal


@EVERY_TRANSPORT
async def test_a_session_revoked_while_its_token_is_renewed_does_not_slip_through(transport: str) -> None:
    known = Sessions(session_row("first"), session_row("doomed"))
    gate = Late(known.rows, known.caught_up, known.gate._within)
    gate.known = known
    async with fake_server(authenticator=gate, session_watch=known.watch) as server, asyncio.timeout(60):
        async with transport_client(server.url, transport, token=token(sid="first")) as ada:
            await ada.send(type="auth", token=token(sid="doomed"))
            await ends(ada, "session revoked")
        await server.left_alone()
    assert not known.watch._entries


@EVERY_TRANSPORT
async def test_a_renewed_token_is_held_to_its_own_session(transport: str) -> None:
    known = Sessions(session_row("first"), session_row("second"), session_row("gone", revoked_at=PAST))
    async with fake_server(authenticator=known.gate, session_watch=known.watch) as server, asyncio.timeout(240):
        async with transport_client(server.url, transport, token=token(sid="first")) as ada:
            refused = await ada.ask(type="auth", token=token(sid="gone"), ref="7")
            assert (refused["code"], refused["message"], refused["ref"]) == ("RT_002", "session revoked", "7")
            refused = await ada.ask(type="auth", token=token(sid="never"), ref="8")
            assert (refused["code"], refused["message"], refused["ref"]) == ("RT_002", "unknown session", "8")
            await ada.send(type="auth", token=token(sid="second"))
            await ada.receive("authenticated")
            known.set("first", revoked_at=PAST)
            assert (await ada.join("chat:1"))["type"] == "subscribed", "the former session counts no more"
            known.set("second", revoked_at=PAST)
            await ends(ada, "session revoked")
        await server.left_alone()
    assert not known.watch._entries
