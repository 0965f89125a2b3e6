"""The common part of the connections of all transports: state, authentication, the client, and its send queue.

A transport writes the bytes: it takes frames from ``queue`` when it can write, and reports them with ``_wrote``.
When more than ``buffer_size`` bytes wait, the connection is congested: its live queries are paused and nothing more is read
from the client, so a client that does not read its answers cannot send more requests. Below a quarter of that both resume.
Messages of channels cannot be paused: they are queued up to ``backlog`` bytes, and past that the connection is closed. Each
client can thus make the server hold ``backlog`` bytes plus one event at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from engine.errors import ErrorCode, RealtimeError
from engine.identity.principal import Principal
from server.analytics.counter import Visit
from server.auth.refusal import REFUSALS, AuthenticationError
from server.client.admission import Admission
from server.client.client import Client
from server.client.credential_watch import Credential, CredentialWatch
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference
from server.protocol.close_codes import CloseCode
from server.session.actions import Output
from server.session.lifecycle import State, advance
from server.transports.base.backpressure import NO_PAUSE, Pause, Writing
from server.transports.base.expiry import ExpiryTimer
from server.wire.encoder import Wire
from server.wire.frame import Frame
from server.wire.send_queue import SendQueue

__all__ = ["ClientConnection", "close_code_of"]

_PAUSES_AT_THE_END: Final = frozenset({Pause.TURN})
_NOTHING_HELD: Final[frozenset[tuple[CredentialWatch, Credential]]] = frozenset()

# Members that each message looks at: an attribute of an enumeration is slow to find.
_OPEN: Final = State.OPEN
_FLOWING: Final = Writing.FLOWING


class ClientConnection:
    """A base. The theory of operation of ``state`` is in :mod:`server.session.lifecycle`, that of ``writing`` and ``pauses``
    in :mod:`server.transports.base.backpressure`.

    A transport calls ``_authenticate`` when it is ready, ``_open`` when that has succeeded, ``_release`` when it is closed.

    With its transport it has 30 attributes at most: CPython lets the instances of a class share the names of so many, and
    one with more takes a kilobyte more. What few connections have is a default of the class.
    """

    _close_code: int = CloseCode.ABNORMAL  # until there is one

    def __init__(self, admission: Admission, wire: Wire) -> None:
        self.state = State.CONNECTING
        self.writing = Writing.FLOWING
        self.pauses = NO_PAUSE
        self.session = admission.session
        self.wire = wire
        self.queue = SendQueue()
        self._admission = admission
        self._limits = admission.limits
        self._much = admission.limits.buffer_size // 4
        self._loop = asyncio.get_running_loop()
        self._authentication: asyncio.Task[Principal] | None = None
        self._client: Client | None = None
        self._held: frozenset[tuple[CredentialWatch, Credential]] = _NOTHING_HELD
        self._expiry_timer: ExpiryTimer | None = None  # of a proof that ends
        if admission.counted is not None:
            admission.counted.close = self._close_as_excess
        meters = admission.services.meters
        self._meter = None if meters is None else meters.of(admission.transport)
        self._visit: Visit | None = None
        self._opened_at = 0.0
        self._unconfirmed = 0  # bytes that were taken from the queue and may still be lost or stuck

    @property
    def client(self) -> Client:
        """The client of an open connection."""
        assert self._client is not None, f"the connection is {self.state.value}"
        return self._client

    # State.

    @property
    def closing(self) -> bool:
        """True once the connection has its close code, or was given up."""
        return self.state.ending

    def _enter(self, state: State) -> None:
        self.state = advance(self.state, state)
        if not state.ending:
            return
        self.pauses &= _PAUSES_AT_THE_END
        if self._authentication is not None:
            self._authentication.cancel()
        if self._expiry_timer is not None:
            self._expiry_timer.stop()

    def _authenticate(self) -> asyncio.Task[Principal] | None:
        """Open the connection, if its principal is known; else return the task that finds it.

        The task raises ``RealtimeError``, and is cancelled if the connection ends meanwhile. Raises as ``_open`` does.
        """
        self._enter(State.AUTHENTICATING)
        if self._admission.principal is not None:
            self._open(self._admission.principal)
            return None
        self._authentication = asyncio.create_task(self._admission.authenticate())
        return self._authentication

    def _open(self, principal: Principal) -> None:
        """The client is authenticated: greet it. Raises ``AuthenticationError`` if what let it in has ended meanwhile."""
        self._hold(principal)
        self._enter(State.OPEN)
        self._authentication = None
        member = self._admission.member(principal)
        self._client = Client(self.session, principal, member, self._admission.services, self)
        self._opened_at = self._loop.time()
        if self._meter is not None:
            self._meter.opened()
        if (usage := self._admission.services.usage) is not None:
            self._visit = usage.opened(principal, self._admission.handshake)
        if (log := self._admission.services.log).connections:
            log.opened(member)
        self._client.start()
        self.identity_renewed(principal)

    def identity_renewed(self, principal: Principal) -> None:
        """The client has proved its identity again."""
        if not self.state.ending:
            self._follow_expiry(principal.expires_at)
            try:
                self._hold(principal)
            except AuthenticationError as refusal:
                self.refuse(refusal)
        if self._client is not None:
            self._client.reopen_queries()

    def _follow_expiry(self, expires_at: float | None) -> None:
        if expires_at is not None:
            if self._expiry_timer is None:
                self._expiry_timer = ExpiryTimer(self._admission.services.wheels)
            self._expiry_timer.start(expires_at, self)
        elif self._expiry_timer is not None:
            self._expiry_timer.stop()

    def _hold(self, principal: Principal) -> None:
        """Depend on the API key and the session that let the client in. Raises ``AuthenticationError`` if one has ended."""
        services, handshake, session = self._admission.services, self._admission.handshake, principal.session_id
        if handshake.api_key is None and session is None and not (principal.watches or self._held):
            return
        wanted: set[tuple[CredentialWatch, Credential]] = set()
        if (key := handshake.api_key) is not None and services.key_watch is not None:
            wanted.add((services.key_watch, Credential(key, address=handshake.ip)))
        if principal.watches and (key := handshake.token) is not None and services.key_watch is not None:
            wanted.add((services.key_watch, Credential(key, address=handshake.ip, operator=True)))
        if session is not None and services.session_watch is not None:
            wanted.add((services.session_watch, Credential(session, principal.user_id)))
        if wanted == self._held:
            return
        for watch, credential in self._held - wanted:
            watch.leave(credential, self)
        self._held &= wanted
        for watch, credential in wanted - self._held:
            watch.enter(credential, self)
            self._held |= {(watch, credential)}

    def warn_of_expiry(self, seconds: float) -> None:
        """The proof of identity ends in so many seconds."""
        self.send(server_messages.expiring(seconds))

    def refuse(self, refusal: RealtimeError) -> None:
        """What let the client in has ended: send the reason, and end the connection."""
        self.send(server_messages.error(refusal.code, str(refusal), RequestReference()))
        self.close(close_code_of(refusal), refusal.code.meaning)

    def expire(self) -> None:
        """The proof of identity has ended, and the connection with it."""
        self.send(server_messages.error(ErrorCode.AUTHENTICATION_FAILED, "token expired", RequestReference()))
        self.close(CloseCode.TOKEN_EXPIRED, "token expired")

    def _close_as_excess(self, why: RealtimeError) -> None:
        """There are too many connections, and this one is the one too many."""
        self.send(server_messages.failed(why, RequestReference()))
        self.close(CloseCode.POLICY_VIOLATION, "too many connections")

    def _release(self) -> None:
        """Release the client's subscriptions, once."""
        if self._admission.counted is not None:
            self._admission.counted.leave()
        for watch, credential in self._held:
            watch.leave(credential, self)
        self._held = _NOTHING_HELD
        client, self._client = self._client, None
        if client is not None:
            seconds = self._loop.time() - self._opened_at
            if self._meter is not None:
                self._meter.closed(self._close_code, seconds)
            if self._visit is not None and (usage := self._admission.services.usage) is not None:
                usage.closed(self._visit, seconds)
            if (log := self._admission.services.log).connections:
                log.closed(client.member, self._close_code, seconds)
            # Its purpose is fulfilled (RFC 6455, 7.4.1): no break. Only clients close with this code, never the server.
            client.closed(clean=self._close_code == CloseCode.NORMAL)

    def close(self, code: CloseCode, reason: str) -> None:
        """Write the queued frames, then end the connection."""
        raise NotImplementedError

    # Writing.

    def send(self, payload: bytes) -> None:
        """Send a message of this client's own."""
        self.write(self.wire.own(payload))

    def write(self, frame: Frame) -> None:
        """Write a frame behind the queued ones. A closing connection drops it."""
        if self.state is not _OPEN:
            return
        queue = self.queue
        if not queue.size:  # else it is being written already, or waits until the transport can take more
            self._schedule()
        queue.add(frame)
        if (waiting := queue.size + self._unconfirmed) > self._much:
            self._much_waits()
            if waiting > self._limits.buffer_size and self.writing is _FLOWING:
                self._pause_queries(Writing.CONGESTED)

    def _much_waits(self) -> None:
        """Much waits: a transport that gathers frames writes them now."""

    def _schedule(self) -> None:
        """The queue, which is empty, is about to get a frame: have it written, soon."""
        raise NotImplementedError

    def _wrote(self, frames: Sequence[Frame], size: int) -> None:
        """``frames`` were written as ``size`` bytes. The one place where bytes and latencies are counted."""
        if self._meter is not None:
            self._meter.wrote(frames, size)

    # How much waits.

    @property
    def congested(self) -> bool:
        """True from the moment too many bytes wait until enough of them are written."""
        return self.writing is not _FLOWING

    @property
    def over_limit(self) -> bool:
        """True while more than ``backlog`` bytes wait."""
        return self.writing is not _FLOWING and self.state is _OPEN and self._backlog() > self._limits.backlog

    def _backlog(self) -> int:
        return self.queue.size + self._unconfirmed

    def _pause_queries(self, writing: Writing) -> None:
        """Too much waits."""
        before, self.writing = self.writing, writing
        if before is _FLOWING:
            self._pause_reading(Pause.CONGESTED)
            if self.state is _OPEN:
                self.client.pause_queries()

    def _resume_queries(self) -> None:
        """Enough has been written."""
        self.writing = _FLOWING
        self._resume_reading(Pause.CONGESTED)
        if self.state is _OPEN:
            self.client.resume_queries()

    # Reading.

    def _carry_out(self, asked: Iterable[list[Output]]) -> None:
        """Carry out what messages that arrived together ask for, in their order; those to be published go together."""
        publications: list[Publish] = []
        for outputs in asked:
            if len(outputs) == 1 and isinstance(output := outputs[0], Publish):
                publications.append(output)
                continue
            if publications:
                self.client.publish(publications)
                publications = []
            self.client.carry_out(outputs)
            if self.state is not _OPEN:
                return  # the others are not even looked at
        if publications:
            self.client.publish(publications)

    @property
    def reading_paused(self) -> bool:
        """Whether reading from the client is paused."""
        return bool(self.pauses)

    def pause_reading(self, paused: bool) -> None:
        """Pause reading from the client while ``paused``: too many of its requests are not done."""
        if paused:
            self._pause_reading(Pause.INTAKE)
        else:
            self._resume_reading(Pause.INTAKE)

    def _pause_reading(self, reason: Pause) -> None:
        if reason not in self.pauses and (not self.state.ending or reason in _PAUSES_AT_THE_END):
            self.pauses |= {reason}
            self._pause_or_resume_reading()

    def _resume_reading(self, reason: Pause) -> None:
        if reason in self.pauses:
            self.pauses = self.pauses - {reason} or NO_PAUSE
            self._pause_or_resume_reading()

    def _pause_or_resume_reading(self) -> None:
        """``pauses`` has changed."""
        raise NotImplementedError


def close_code_of(refusal: RealtimeError) -> CloseCode:
    """How a connection is closed that could not be authenticated."""
    if refusal.code is ErrorCode.RATE_LIMITED:
        return CloseCode.POLICY_VIOLATION
    return CloseCode.AUTHENTICATION_FAILED if refusal.code in REFUSALS else CloseCode.TRY_AGAIN_LATER
