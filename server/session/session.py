"""The requests and answers of one client: a state machine over messages, without sockets, tasks or a clock.

The owner of a connection (WebSocket, server-sent events or long polling) passes in the received messages, and
carries out the returned actions: payloads to send, live queries and channels to open or cancel, messages to publish, a
reason to close. It then reports whether opening succeeded.

Theory of operation
-------------------

The session has no state besides its subscription requests (the state of the connection is in
:mod:`server.session.lifecycle`). A request goes through these states, and never back::

    OPENING → SUBSCRIBED → ENDED
    OPENING → ENDED

OPENING
    ``receive`` returned ``SubscribeQuery`` or ``SubscribeChannel``. The id and the channel are taken, and the request counts
    towards the limit of subscriptions. The owner calls ``accepted`` or ``joined`` when it is open, ``rejected`` when it
    cannot be opened.
SUBSCRIBED
    ``subscribed`` was sent; events follow. The session does not note this step: it is the owner that has the subscription.
ENDED
    ``request.ended`` is set, and the id and the channel are free again: after ``unsubscribe`` (the owner gets
    ``CancelSubscription``), ``rejected``, ``ended`` (the server's last message announced it) or ``finish`` (the connection
    is closed).

Invariants: each request is answered once, by its result or by an error that names it. No message is sent for a
subscription before ``subscribed`` or after its end: ``accepted``, ``joined`` and ``rejected`` return None for a request
that has ended meanwhile. A message of any bytes has an answer, never an exception. A request with a token becomes
``Authenticate``; the owner calls ``subscribe`` with it once the token is accepted.

Callers: the transport passes in messages (``receive…``) and carries out the answers through
:class:`server.client.client.Client`, which calls the other methods. All in the event loop's thread, none concurrently.
"""

from __future__ import annotations

from sys import intern

from msgspec import UNSET, Struct, structs

from engine.errors import QueryRejectedError, RealtimeError
from engine.lsn import Lsn
from server.limits.connection_limits import SessionLimits
from server.limits.token_bucket import TokenBucket
from server.protocol import client_messages, server_messages
from server.protocol.client_messages import (
    COLLECTION_PREFIX,
    Auth,
    History,
    Ping,
    PresenceUpdate,
    Publish,
    RequestReference,
    Seen,
    Subscribe,
    Unsubscribe,
)
from server.protocol.error_codes import ErrorCode
from server.session.actions import (
    Authenticate,
    CancelSubscription,
    Close,
    Output,
    ReadHistory,
    SubscribeChannel,
    SubscribeQuery,
    UpdatePresence,
)
from server.session.message_reader import MessageReader, Read
from server.session.subscribe_options import (
    InvalidPresenceError,
    WrongFieldError,
    channel_options,
    check_live,
    history_position,
    presence_data,
    resume_of,
)
from server.session.subscriptions import ChannelRequest, LiveRequest, Request

__all__ = ["Greeting", "Session"]


class Greeting(Struct, frozen=True):
    """The fields of the first message to a client besides its limits.

    ``epoch``: positions are comparable within it; ``ping_interval`` in seconds; ``secret``: names the session in the
    requests of a client that has no socket of its own. ``delta``: changes of live queries come to it without what it has.
    """

    epoch: str = ""
    ping_interval: float = 25.0
    secret: str | None = None
    delta: bool = False


class Session:
    """The state machine of one connection.

    Args:
        connection_id: sent to the client in the first message.
        limits: the limits of this connection.
        greeting: further fields of the first message.
    """

    __slots__ = ("_channels", "_greeting", "_limits", "_presence", "_reader", "_requests", "connection_id", "resumed")

    def __init__(self, connection_id: str, limits: SessionLimits, greeting: Greeting | None = None) -> None:
        self.connection_id = connection_id
        self.resumed = False
        """Whether a subscription of an earlier connection was resumed."""
        self._greeting = greeting or Greeting()
        self._limits = limits
        self._reader = MessageReader(limits)
        self._presence: TokenBucket | None = None  # with the first change of presence
        self._requests: dict[str, Request] = {}
        self._channels: dict[str, ChannelRequest] = {}

    @property
    def epoch(self) -> str:
        """The epoch of positions."""
        return self._greeting.epoch

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open or being opened."""
        return len(self._requests)

    def begin(self) -> bytes:
        """The first message to the client."""
        limits, greeting = self._limits, self._greeting
        return server_messages.connected(
            self.connection_id,
            greeting.epoch,
            greeting.ping_interval,
            limits,
            greeting.secret,
        )

    def receive(self, data: bytes, now: float) -> list[Output]:
        """One text message arrived at ``now`` (seconds, monotonic). Never raises, for any bytes."""
        return self._act(self._reader.text(data, now), now)

    def receive_packed(self, data: bytes, now: float) -> list[Output]:
        """One MessagePack message arrived at ``now``. Never raises, for any bytes."""
        return self._act(self._reader.packed(data, now), now)

    def receive_binary(self, now: float) -> list[Output]:
        """A binary message arrived; its content does not matter."""
        return self._reader.binary(now)

    def receive_oversized(self, now: float, data: bytes = b"") -> list[Output]:
        """A message beyond the size limit arrived. ``data``: its text, if it was kept, to name the request."""
        return self._reader.oversized(now, data)

    def admit(self, now: float) -> list[Close] | None:
        """Count an input that is no message but costs like one (a WebSocket ping). None: it is within the limit."""
        return self._reader.admit(now)

    def refused_part(self) -> float:
        """See :meth:`server.session.message_reader.MessageReader.refused_part`."""
        return self._reader.refused_part()

    def later(self) -> float:
        """See :meth:`server.session.message_reader.MessageReader.later`."""
        return self._reader.later()

    def accepted(
        self,
        request: LiveRequest,
        position: Lsn,
        strategy: str,
        reason: str | None,
        *,
        epoch: str,
        recovered: bool | None = None,
    ) -> bytes | None:
        """The live query is open. None: it was unsubscribed meanwhile; cancel it without a message."""
        if request.ended:
            return None
        return server_messages.subscribed(request.channel, request.id, position, strategy, reason, epoch, recovered)

    def joined(
        self,
        request: ChannelRequest,
        position: str,
        recovered: bool | None,
        since: str | None,
        presence_json: bytes | None,
        *,
        epoch: str,
    ) -> bytes | None:
        """The channel is open. None: it was unsubscribed meanwhile; cancel it without a message."""
        if request.ended:
            return None
        return server_messages.joined(
            request.channel, request.client_id, position, recovered, since, presence_json, epoch
        )

    def rejected(self, request: Request, error: RealtimeError) -> bytes | None:
        """The subscription could not be opened, or was ended. None: it was unsubscribed meanwhile; no message."""
        if request.ended:
            return None
        self._forget(request)
        return server_messages.failed(error, request.named)

    def ended(self, request: Request) -> None:
        """The server ended the subscription, and the last message announced that."""
        if not request.ended:
            self._forget(request)

    def finish(self) -> list[Request]:
        """The connection is closed: the requests that are still open, to be cancelled."""
        requests = list(self._requests.values())
        for request in requests:
            self._forget(request)
        return requests

    def _forget(self, request: Request) -> None:
        request.ended = True
        del self._requests[request.id]
        if isinstance(request, ChannelRequest):
            del self._channels[request.channel]

    def _act(self, read: Read, now: float) -> list[Output]:
        if isinstance(read, list):
            return read
        message, size = read
        match message:
            case Publish() | Seen():  # messages are by far the most frequent
                return [message]
            case Subscribe(auth=str(token)):
                about = RequestReference(channel=message.channel, id=message.id)
                return [Authenticate(token, about, (structs.replace(message, auth=UNSET), size))]
            case Subscribe():
                return self._subscribe(message, size)
            case Unsubscribe():
                return self._unsubscribe(message)
            case Ping():
                return [server_messages.PONG]
            case PresenceUpdate():
                return self._present(message, size, now)
            case History():
                return self._read_history(message)
            case Auth():
                return [Authenticate(message.token, RequestReference(ref=message.ref))]

    def subscribe(self, authenticated: Authenticate) -> list[Output]:
        """Carry out the subscription that brought a token, which has been accepted."""
        assert authenticated.subscribe is not None
        return self._subscribe(*authenticated.subscribe)

    def _subscribe(self, message: Subscribe, size: int) -> list[Output]:
        about = RequestReference(channel=message.channel, id=message.id)
        try:
            request = _request(message, delta=self._greeting.delta)
            self._check_free(request)
        except QueryRejectedError as refused:
            return [server_messages.failed(refused, about)]
        request.size = size
        self._requests[request.id] = request
        if isinstance(request, LiveRequest):
            return [SubscribeQuery(request)]
        self._channels[request.channel] = request
        return [SubscribeChannel(request)]

    def _check_free(self, request: Request) -> None:
        if request.id in self._requests:
            raise WrongFieldError(
                f"the subscription id {request.id!r} is in use on this connection; unsubscribe first, or give another id"
            )
        if request.channel in self._channels:
            raise WrongFieldError(f"this connection has subscribed to {request.channel!r} already; unsubscribe first")
        if len(self._requests) >= self._limits.subscriptions:
            raise _TooManyError(f"at most {self._limits.subscriptions} subscriptions are allowed on one connection")

    def _present(self, message: PresenceUpdate, size: int, now: float) -> list[Output]:
        about = RequestReference(channel=message.channel, ref=message.ref)
        if self._presence is None:
            self._presence = TokenBucket(self._limits.presence_rate)
        if not self._presence.take(now):
            text = f"more than {self._limits.presence_rate:g} presence updates per second; this one was not carried out"
            wait = self._presence.wait
            return [server_messages.error(ErrorCode.RATE_LIMITED, text, about, wait, "max_presence_rate")]
        try:
            request = self._channels.get(message.channel)
            if request is None or request.options.presence is None:
                raise InvalidPresenceError(f'subscribe to {message.channel!r} with "presence": true first')
            return [UpdatePresence(request, message, presence_data(message.data), size)]
        except InvalidPresenceError as refused:
            return [server_messages.failed(refused, about)]

    def _read_history(self, message: History) -> list[Output]:
        about = RequestReference(channel=message.channel, ref=message.ref)
        request = self._channels.get(message.channel)
        if request is None:
            text = (
                f"this connection is not subscribed to {message.channel!r}; subscribe first, then ask for its history"
            )
            return [server_messages.error(ErrorCode.NOT_FOUND, text, about)]
        try:
            return [ReadHistory(request, history_position(message), message.limit, message.ref)]
        except QueryRejectedError as refused:
            return [server_messages.failed(refused, about)]

    def _unsubscribe(self, message: Unsubscribe) -> list[Output]:
        about = RequestReference(channel=message.channel, id=message.id)
        request: Request | None
        if message.id is UNSET:  # a channel is identified by its name, also if an id was given
            request = self._channels.get(message.channel) or self._requests.get(message.channel)
        else:
            request = self._requests.get(message.id)
        if request is None or request.channel != message.channel:
            id = message.channel if message.id is UNSET else message.id
            text = f"there is no subscription {id!r} to {message.channel!r} on this connection"
            return [server_messages.error(ErrorCode.NOT_FOUND, text, about)]
        self._forget(request)
        return [CancelSubscription(request), server_messages.unsubscribed(request.channel, request.named.id)]


class _TooManyError(QueryRejectedError):
    code = ErrorCode.RATE_LIMITED
    limit = "max_subscriptions"


def _request(message: Subscribe, *, delta: bool) -> Request:
    """The query of a subscribe message. Raises ``QueryRejectedError``."""
    channel = intern(message.channel)  # one text for all who have subscribed to it
    if not channel.startswith(COLLECTION_PREFIX):
        return ChannelRequest(channel, message.id, channel_options(message))
    check_live(message)
    id = channel if message.id is UNSET else message.id
    spec, resume = client_messages.spec_of(message), resume_of(message)
    return LiveRequest(channel, id, spec, resume, meta=message.meta, delta=delta, fresh=message.fresh)
