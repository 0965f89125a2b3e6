"""What the connections of all transports share: state, authentication, the client."""

from __future__ import annotations

import asyncio

from engine.errors import ErrorCode, RealtimeError
from engine.principal import Principal
from server.client.admission import Admission
from server.client.client import Client
from server.client.transport import Transport
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State, advance

__all__ = ["Admitted", "close_code_of"]

_REFUSALS = (ErrorCode.AUTHENTICATION_FAILED, ErrorCode.PERMISSION_DENIED)


class Admitted:
    """A connection with its admission. The theory of operation is in :mod:`server.session.lifecycle`.

    A transport calls ``_authenticate`` when it is ready, ``_open`` when that has succeeded, ``_release`` when it is closed.
    """

    def __init__(self, admission: Admission) -> None:
        self.state = State.CONNECTING
        self.session = admission.session
        self._admission = admission
        self._limits = admission.limits
        self._loop = asyncio.get_running_loop()
        self._authentication: asyncio.Task[Principal] | None = None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client of an open connection."""
        assert self._client is not None, f"the connection is {self.state.value}"
        return self._client

    def _enter(self, state: State) -> None:
        self.state = advance(self.state, state)
        if state.ending and self._authentication is not None:
            self._authentication.cancel()

    def _authenticate(self, transport: Transport) -> asyncio.Task[Principal] | None:
        """Open the connection, if its principal is known; else the task that finds it.

        The task raises ``RealtimeError``, and is cancelled if the connection ends meanwhile.
        """
        self._enter(State.AUTHENTICATING)
        if self._admission.principal is not None:
            self._open(self._admission.principal, transport)
            return None
        self._authentication = asyncio.create_task(self._admission.authenticate())
        return self._authentication

    def _open(self, principal: Principal, transport: Transport) -> None:
        """The client is authenticated: greet it."""
        self._enter(State.OPEN)
        self._authentication = None
        member = self._admission.member(principal)
        self._client = Client(self.session, principal, member, self._admission.services, transport)
        self._client.start()

    def _release(self, *, left: bool) -> None:
        """Give back what the client holds, if that was not done. ``left``: the client ended the connection on purpose."""
        client, self._client = self._client, None
        if client is not None:
            client.gone(left)


def close_code_of(refusal: RealtimeError) -> CloseCode:
    """How a connection is closed that could not be authenticated."""
    return CloseCode.AUTHENTICATION_FAILED if refusal.code in _REFUSALS else CloseCode.TRY_AGAIN_LATER
