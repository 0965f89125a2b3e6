"""The events of clients: which of six kinds are logged is a setting, apart from the level.

``connections``: opened, closed, rejected. ``authentication`` and ``authorization``: what was refused, to whom and why.
``channels``: subscribed, unsubscribed. ``presence``: joined, updated, left. ``messages``: published, delivered.

A kind is an attribute, so that the hot path asks for a boolean. Refusals are what hostile clients can cause as often as they
like, so at most :data:`REFUSALS_PER_SECOND` of each event are logged; the next line has the number of the others as
``suppressed``.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final, Literal

import structlog
from structlog.typing import FilteringBoundLogger

from engine.channels.core.messages.model import Member
from engine.errors import ErrorCode, QueryRejectedError, RealtimeError
from server.limits.token_bucket import TokenBucket

__all__ = ["KINDS", "REFUSALS_PER_SECOND", "ClientLog", "Kind"]

Kind = Literal["connections", "authentication", "authorization", "channels", "presence", "messages"]

KINDS: Final[tuple[Kind, ...]] = (
    "connections",
    "authentication",
    "authorization",
    "channels",
    "presence",
    "messages",
)

REFUSALS_PER_SECOND: Final = 20.0

_QUERY: Final = "query"  # the action of a live query

_log = structlog.get_logger("realtime.client")


class ClientLog:
    """Logs the events of clients of one node. ``kinds``: which; each method is called only if its attribute is true."""

    __slots__ = ("_log", "_refusals", *KINDS)

    def __init__(self, kinds: Collection[Kind] = ()) -> None:
        self.connections = "connections" in kinds
        self.authentication = "authentication" in kinds
        self.authorization = "authorization" in kinds
        self.channels = "channels" in kinds
        self.presence = "presence" in kinds
        self.messages = "messages" in kinds
        self._log: FilteringBoundLogger = _log.bind()  # that one finds this anew for each line
        self._refusals: dict[str, TokenBucket] = {}

    # Connections.

    def opened(self, client: Member) -> None:
        """A client was authenticated and greeted."""
        self._log.info("connection_opened", **_who(client), ip=client.ip, transport=client.transport)

    def closed(self, client: Member, code: int, seconds: float) -> None:
        """Its connection has ended after ``seconds``; ``code``: its close code."""
        self._log.info(
            "connection_closed", **_who(client), transport=client.transport, code=int(code), seconds=round(seconds, 3)
        )

    def rejected(self, ip: str | None, transport: str, status: int, error: Exception) -> None:
        """A handshake was answered with an HTTP ``status``."""
        self._refused("handshake_rejected", ip=ip, transport=transport, status=int(status), error=str(error))

    # Refusals.

    def unauthenticated(self, ip: str | None, transport: str, error: Exception) -> None:
        """A client did not prove its identity; ``error`` is the reason, without token or key."""
        self._refused("authentication_refused", ip=ip, transport=transport, error=str(error))

    def renewal_refused(self, client: Member, error: Exception) -> None:
        """The new token of an open connection was refused."""
        self._refused("renewal_refused", **_who(client), error=str(error))

    def rejected_request(self, client: Member, action: str, target: str, error: RealtimeError) -> None:
        """A request was answered with ``error``: logged if it refuses the request for good, and such are logged."""
        if not self.authorization:
            return
        if error.code is ErrorCode.PERMISSION_DENIED:
            self.denied(client, action, target, error)
        elif action == _QUERY:
            if isinstance(error, QueryRejectedError) or not _passes(error.code, error.retry_after):
                self._refused("query_refused", **_who(client), target=target, code=error.code.value, error=str(error))
        else:
            self.refused(client, target, error.code, str(error), error.retry_after)

    def refused(
        self, client: Member, target: str, code: ErrorCode, text: str, retry_after: float | None = None
    ) -> None:
        """A request about the channel ``target`` ("": it names none) was answered with an error: logged unless that passes
        with time, and if such are logged. ``retry_after``: seconds; None: that is not known, or will not help.
        """
        if self.authorization and not _passes(code, retry_after):
            self._refused("request_refused", **_who(client), target=target, code=code.value, error=text)

    def denied(self, client: Member, action: str, target: str, error: Exception) -> None:
        """``action`` on a channel or collection is not allowed to it, or not any more."""
        self._refused("authorization_denied", **_who(client), action=action, target=target, error=str(error))

    def _refused(self, event: str, **fields: object) -> None:
        bucket = self._refusals.get(event)
        if bucket is None:
            bucket = self._refusals[event] = TokenBucket(REFUSALS_PER_SECOND)
        suppressed = bucket.refused
        if bucket.take(time.monotonic()):
            bucket.refused = 0
            self._log.info(event, **fields, **({"suppressed": suppressed} if suppressed else {}))

    # Channels and presence.

    def subscribed(self, client: Member, channel: str) -> None:
        """A channel, or a collection as ``db:collection:…``, was opened."""
        self._log.info("channel_subscribed", **_who(client), channel=channel)

    def unsubscribed(self, client: Member, channel: str) -> None:
        """It was left, or its connection closed."""
        self._log.info("channel_unsubscribed", **_who(client), channel=channel)

    def joined(self, client: Member, channel: str) -> None:
        """It became present."""
        self._log.info("presence_joined", **_who(client), channel=channel)

    def updated(self, client: Member, channel: str) -> None:
        """Its presence was changed."""
        self._log.info("presence_updated", **_who(client), channel=channel)

    def left(self, client: Member, channel: str) -> None:
        """It is not present any more over this connection."""
        self._log.info("presence_left", **_who(client), channel=channel)

    # Messages.

    def published(self, client: Member, channel: str, name: str, id: str, position: str | None) -> None:
        """A message of it was committed. Its content is not logged."""
        self._log.info("message_published", **_who(client), channel=channel, event_name=name, id=id, position=position)

    def delivered(self, client: Member, channel: str, messages: int, position: str | None) -> None:
        """So many messages, the last at ``position``, were put into its send queue."""
        self._log.info("messages_delivered", **_who(client), channel=channel, messages=messages, position=position)


def _passes(code: ErrorCode, retry_after: float | None) -> bool:
    """Whether a client is to try again: the server logs the cause of ``RT_001`` itself, and a metric counts what is beyond
    a rate. ``RT_006`` without a time is a number of things that the client has, which waiting does not change.
    """
    return code is ErrorCode.CONNECTION_FAILED or (code is ErrorCode.RATE_LIMITED and retry_after is not None)


def _who(client: Member) -> dict[str, str | None]:
    return {"connection": client.connection_id, "user": client.user_id}
