"""What one client may do and is owed: a state machine over messages, without sockets, tasks or a clock.

The owner of a connection (WebSocket now; server-sent events and long polling can be others) hands in what arrived,
and carries out what comes back: payloads to send, live queries to open or cancel, a reason to close. It then reports
how opening went. The invariant: every request is answered exactly once, by what it asked for or by an error that
names it, and nothing is sent for a subscription before ``subscribed`` or after its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import UNSET

from engine.errors import QueryRejected, RealtimeError
from engine.lsn import Lsn
from server import protocol
from server.protocol import (
    COLLECTION_PREFIX,
    Auth,
    BadMessage,
    ClientMessage,
    Named,
    Ping,
    PresenceUpdate,
    Publish,
    Subscribe,
    Unsubscribe,
)
from server.rate import TokenBucket

__all__ = ["Cancel", "Close", "LiveRequest", "Open", "Output", "Session", "SessionLimits"]

_POLICY_VIOLATION = 1008
_FLOOD_SECONDS = 10


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits per connection. ``message_size`` in bytes of JSON; ``message_rate`` in messages per second."""

    subscriptions: int = 100
    message_rate: float = 100.0
    message_size: int = 128 * 1024


class LiveRequest:
    """One live query a client asked for, from ``subscribe`` to its end; compared by identity.

    ``head`` is what all its snapshot messages begin with; ``begun`` whether the first of them has been asked for.
    """

    __slots__ = ("begun", "channel", "collection", "ended", "head", "id", "query")

    def __init__(self, channel: str, id: str, query: Mapping[str, object]) -> None:
        self.channel = channel
        self.id = id
        self.collection = channel.removeprefix(COLLECTION_PREFIX)
        self.query = query
        self.head = protocol.snapshot_head(channel, id)
        self.begun = False
        self.ended = False

    @property
    def named(self) -> Named:
        """How an error about it names it."""
        return Named(channel=self.channel, id=self.id)


@dataclass(frozen=True, slots=True)
class Open:
    """Ask the live queries for this one, then call ``accepted`` or ``rejected``."""

    request: LiveRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client no longer wants this live query."""

    request: LiveRequest


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with a WebSocket close code (RFC 6455, 7.4.1) and a reason of at most 123 bytes."""

    code: int
    reason: str


Output = bytes | Open | Cancel | Close


class Session:
    """The state machine of one connection.

    Args:
        connection_id: told to the client in the first message.
        limits: what this connection may use.
    """

    __slots__ = ("_bucket", "_limits", "_requests", "connection_id")

    def __init__(self, connection_id: str, limits: SessionLimits) -> None:
        self.connection_id = connection_id
        self._limits = limits
        self._bucket = TokenBucket(limits.message_rate)
        self._requests: dict[str, LiveRequest] = {}

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open or being opened."""
        return len(self._requests)

    def begin(self) -> bytes:
        """The first message to the client."""
        return protocol.connected(self.connection_id)

    def receive(self, data: bytes, now: float) -> list[Output]:
        """One text message arrived at ``now`` (seconds, monotonic). Never raises, whatever the bytes are."""
        if len(data) > self._limits.message_size:
            return self.receive_oversized(now)
        if not self._bucket.take(now):
            return self._refused(protocol.names_in(data))
        try:
            message = protocol.decode(data)
        except BadMessage as bad:
            return [protocol.error(bad.code, f"invalid message: {bad}", protocol.names_in(data))]
        return self._act(message)

    def receive_binary(self, now: float) -> list[Output]:
        """A binary message arrived; its content does not matter."""
        if not self._bucket.take(now):
            return self._refused(Named())
        return [protocol.error("RT_007", "invalid message: messages are JSON in text frames, not binary", Named())]

    def receive_oversized(self, now: float) -> list[Output]:
        """A message beyond the size limit arrived; its content was thrown away."""
        if not self._bucket.take(now):
            return self._refused(Named())
        text = f"the message is larger than {self._limits.message_size} bytes"
        return [protocol.error("RT_005", text, Named())]

    def admit(self, now: float) -> list[Output] | None:
        """Count something that is not a message but costs like one (a WebSocket ping). None: go ahead."""
        if self._bucket.take(now):
            return None
        return [Close(_POLICY_VIOLATION, "too many messages")] if self._flooding() else []

    def accepted(self, request: LiveRequest, position: Lsn, strategy: str, reason: str | None) -> bytes | None:
        """The live query is open. None: it was unsubscribed meanwhile, so cancel it and send nothing."""
        if request.ended:
            return None
        return protocol.subscribed(request.channel, request.id, position, strategy, reason)

    def rejected(self, request: LiveRequest, error: RealtimeError) -> bytes | None:
        """The live query could not be opened, or ended by itself. None: nobody wants to know any more."""
        if request.ended:
            return None
        request.ended = True
        del self._requests[request.id]
        return protocol.error(error.code, str(error), request.named)

    def finish(self) -> list[LiveRequest]:
        """The connection is gone: the requests that are still open, to be cancelled."""
        left = list(self._requests.values())
        for request in left:
            request.ended = True
        self._requests.clear()
        return left

    def _act(self, message: ClientMessage) -> list[Output]:
        match message:
            case Subscribe():
                return self._subscribe(message)
            case Unsubscribe():
                return self._unsubscribe(message)
            case Ping():
                return [protocol.PONG]
            case Publish():
                about = Named(channel=message.channel, id=message.id, ref=message.ref)
                return [protocol.error("RT_003", "publishing to channels is not available on this server", about)]
            case PresenceUpdate():
                about = Named(channel=message.channel, ref=message.ref)
                return [protocol.error("RT_003", "presence is not available on this server", about)]
            case Auth():
                about = Named(ref=message.ref)
                return [protocol.error("RT_003", "tokens are not available on this server", about)]

    def _subscribe(self, message: Subscribe) -> list[Output]:
        id = message.channel if message.id is UNSET else message.id
        about = Named(channel=message.channel, id=message.id)
        if id in self._requests:
            text = f"the subscription id {id!r} is in use on this connection; unsubscribe first, or give another id"
            return [protocol.error("RT_007", text, about)]
        try:
            _check_channel(message)
        except QueryRejected as refused:
            return [protocol.error(refused.code, str(refused), about)]
        if len(self._requests) >= self._limits.subscriptions:
            text = f"at most {self._limits.subscriptions} subscriptions are allowed on one connection"
            return [protocol.error("RT_006", text, about)]
        request = LiveRequest(message.channel, id, protocol.spec_of(message))
        self._requests[id] = request
        return [Open(request)]

    def _unsubscribe(self, message: Unsubscribe) -> list[Output]:
        id = message.channel if message.id is UNSET else message.id
        request = self._requests.get(id)
        if request is None or request.channel != message.channel:
            text = f"there is no subscription {id!r} to {message.channel!r} on this connection"
            return [protocol.error("RT_004", text, Named(channel=message.channel, id=message.id))]
        del self._requests[id]
        request.ended = True
        return [Cancel(request), protocol.unsubscribed(request.channel, request.id)]

    def _refused(self, about: Named) -> list[Output]:
        if self._flooding():
            return [Close(_POLICY_VIOLATION, "too many messages")]
        text = f"more than {self._limits.message_rate:g} messages per second; this one was not carried out"
        return [protocol.error("RT_006", text, about)]

    def _flooding(self) -> bool:
        # Answering each of an endless flood would cost more than the flood.
        return self._bucket.refused > self._limits.message_rate * _FLOOD_SECONDS


class _ChannelRefused(QueryRejected):
    code = "RT_004"


class _NotAvailable(QueryRejected):
    code = "RT_003"


class _WrongField(QueryRejected):
    code = "RT_007"


def _check_channel(message: Subscribe) -> None:
    """Raise if the channel is not a live query's, or a field is given that a live query does not have."""
    if not message.channel.startswith(COLLECTION_PREFIX):
        raise _ChannelRefused(
            f"there is no channel {message.channel!r}: this server has live queries ({COLLECTION_PREFIX}NAME) only"
        )
    if message.auth is not UNSET:
        raise _NotAvailable("auth: tokens are not available on this server; leave the field out")
    for field in ("since", "history"):
        if getattr(message, field) is not UNSET:
            raise _WrongField(f"{field}: live queries have no history; a new subscription begins with the current rows")
