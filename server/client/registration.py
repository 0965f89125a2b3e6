"""The database's row of one connection, under which its presence is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from engine.channels.core.messages.model import DisconnectedError, UnavailableError
from engine.postgres.retry import growing_pause
from server.client.answers import Answers
from server.client.shared import SharedServices
from server.client.transport import Transport
from server.ports.channels import ChannelEvent, Member
from server.protocol.client_messages import RequestReference
from server.protocol.close_codes import CloseCode

__all__ = ["Registration"]

_RETRY_DELAY: Final = 0.5  # seconds before the row is written again that could not be; twice as long each time, up to
_MAX_RETRY_DELAY: Final = 10.0


class Registration:
    """Writes the row of ``member``, again if that failed, and deletes it. Events for it go to ``transport``."""

    __slots__ = ("_answers", "_attempt", "_closed", "_failures", "_member", "_services", "_transport", "_written")

    def __init__(self, member: Member, services: SharedServices, transport: Transport, answers: Answers) -> None:
        self._member = member
        self._services = services
        self._transport = transport
        self._answers = answers
        self._attempt: asyncio.Future[None] | None = None  # the one under way, or that failed
        self._written = False
        self._failures = 0
        self._closed = False

    def start(self) -> None:
        """Write the row, without waiting for it."""
        attempt = asyncio.ensure_future(self._services.channels.connect(self._member, self._deliver))
        self._services.background.follow(attempt)
        self._attempt = attempt
        attempt.add_done_callback(self._attempted)

    async def wait(self) -> None:
        """Wait until the connection is registered; retry if that failed before. Raises what the attempt raises."""
        if self._written:
            return
        if self._attempt is None or (self._attempt.done() and (self._attempt.cancelled() or self._attempt.exception())):
            self.start()
        assert self._attempt is not None
        await asyncio.shield(self._attempt)

    def close(self) -> None:
        """No further attempts."""
        self._closed = True

    async def end(self, before: Iterable[asyncio.Future[None]], *, clean: bool) -> None:
        """Delete the row, once ``before`` and the attempt are done. ``clean``: its presence ends at once."""
        waited = [*before, *([] if self._attempt is None else [self._attempt])]
        if waited:
            await asyncio.wait(waited)
        await self._services.channels.disconnect(self._member.connection_id, clean=clean)

    def _attempted(self, attempt: asyncio.Future[None]) -> None:
        """A row that could not be written, because the database was away or read-only, is written later."""
        if not attempt.cancelled() and attempt.exception() is None:
            self._written = True
            if self._attempt is attempt:
                self._attempt = None
            return
        if attempt.cancelled() or not isinstance(attempt.exception(), UnavailableError) or self._closed:
            return
        delay = growing_pause(self._failures, _RETRY_DELAY, _MAX_RETRY_DELAY)
        self._failures += 1
        asyncio.get_running_loop().call_later(delay, self._retry, attempt)

    def _retry(self, attempt: asyncio.Future[None]) -> None:
        if not self._closed and self._attempt is attempt:
            self.start()

    def _deliver(self, event: ChannelEvent) -> None:
        """An event for this connection itself."""
        if event.error is not None:
            self._answers.error(RequestReference(), event.error)
            if isinstance(event.error, DisconnectedError):
                self._transport.close(CloseCode.DISCONNECTED, "disconnected")
            else:
                self._transport.close(CloseCode.RESUME, "resume")
        elif self._transport.over_limit:
            self._transport.close(CloseCode.RESUME, "resume")
        else:
            self._transport.write(self._transport.wire.channels.frame(event))
