"""A new token on an open connection: the principal's fields are replaced, so that every later decision uses them.

Only the user that the connection belongs to can renew it. Channels and shared live queries were opened with the attributes
and the role that the connection had; if the new token changes these, the connection is closed so that the client comes back
with the new token at once and resumes. Nothing is delivered by the old rights after that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from engine.errors import ErrorCode, RealtimeError
from engine.identity.principal import Principal
from server.auth.authenticator import Authenticator
from server.auth.refusal import REFUSALS, AuthenticationError
from server.client.failures import client_error
from server.client.transport import Transport
from server.protocol import server_messages
from server.protocol.close_codes import CloseCode
from server.session.actions import Authenticate

__all__ = ["Renewal"]

_TIMEOUT: Final = 10.0  # seconds
_MAX_PENDING: Final = 8


class _TooManyError(RealtimeError):
    code = ErrorCode.RATE_LIMITED


class Renewal:
    """The renewals of one connection, carried out in order. ``then`` is called for a subscription that brought its token,
    ``refused`` for a token that is none of this client's.

    ``review``: judges open channels again, as rules may read other claims than those of attributes and role.
    """

    def __init__(
        self,
        principal: Principal,
        authenticator: Authenticator,
        refused: Callable[[Exception], None] | None,
        transport: Transport,
        then: Callable[[Authenticate], None],
        review: Callable[[], None],
    ) -> None:
        self._principal = principal
        self._authenticator = authenticator
        self._refused = refused
        self._transport = transport
        self._then = then
        self._review = review
        self._renewing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: Authenticate) -> asyncio.Task[None] | None:
        """Verify the token of ``request`` and answer it. Returns the task that does; None: it was refused at once."""
        if len(self._tasks) >= _MAX_PENDING:
            self._refuse(request, _TooManyError(f"{_MAX_PENDING} tokens of this connection are being verified already"))
            return None
        task = asyncio.create_task(self._renew(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def closed(self) -> None:
        """The connection is closed. What is called has the connection, which has this: the cycle ends here."""
        for task in self._tasks:
            task.cancel()
        self._then = self._review = _nothing

    async def _renew(self, request: Authenticate) -> None:
        async with self._renewing:
            try:
                if not self._principal.authenticated:  # before the operator's handler is asked about its tokens
                    raise AuthenticationError(
                        "this connection is anonymous: a token belongs to the request that opens it"
                    )
                async with asyncio.timeout(_TIMEOUT):
                    new = await self._authenticator.renew(request.token)
                changed = self._replace(new)
            except TimeoutError:
                self._refuse(request, RealtimeError(f"the token was not verified within {_TIMEOUT:g} s; try again"))
                return
            except Exception as error:  # noqa: BLE001 - answered as any other failure of a request, and logged
                self._refuse(request, client_error(error, "renewal_failed"))
                return
        if request.subscribe is None:
            left = None if new.expires_at is None else new.expires_at - time.time()
            self._send(server_messages.authenticated(left, request.about.ref))
        if changed:
            self._transport.close(CloseCode.RESUME, "the rights have changed; connect again with the new token")
            return
        self._transport.identity_renewed(self._principal)
        self._review()
        if request.subscribe is not None:
            self._then(request)

    def _replace(self, new: Principal) -> bool:
        """Take over the fields of ``new``; whether that changes what open subscriptions were opened with."""
        old = self._principal
        if new.user_id != old.user_id:
            raise AuthenticationError("the token is another user's: open a new connection for that user", "claims")
        changed = _rights(new) != _rights(old)
        old.attributes, old.visibility = new.attributes, new.visibility
        old.claims, old.expires_at, old.session_id = new.claims, new.expires_at, new.session_id
        old.administrator = new.administrator
        return changed

    def _refuse(self, request: Authenticate, error: RealtimeError) -> None:
        if self._refused is not None and error.code in REFUSALS:
            self._refused(error)
        self._send(server_messages.error(error.code, str(error), request.about))

    def _send(self, payload: bytes) -> None:
        self._transport.write(self._transport.wire.own(payload))


def _rights(principal: Principal) -> tuple[object, ...]:
    """What subscriptions are opened with."""
    return principal.visibility, dict(principal.attributes), principal.administrator


def _nothing(*_: object) -> None:
    """In place of what a closed connection would do."""
