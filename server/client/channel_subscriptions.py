"""The channels of one client: carries out the actions of its session on them.

Publishes are done in the order of their arrival, and several can be in flight; when too many are, reading from the client
pauses until some are committed. They are carried out also if the connection closes meanwhile. A subscriber that does not
read its messages is closed with a code after which it reconnects and resumes from its last position: messages cannot be
conflated as live queries are.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from functools import partial

from msgspec import UNSET

from engine.channels.core.messages.model import DisconnectedError, PresenceRefusedError, UnavailableError
from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.authorizer import Action
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.shared import SharedServices
from server.client.transport import Transport
from server.ports.channels import ChannelEvent, ChannelSubscription, EventBatch, Member, Publication
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference
from server.protocol.close_codes import CloseCode
from server.session.actions import UpdatePresence
from server.session.session import Session
from server.session.subscriptions import ChannelRequest
from server.wire.frame import Opened

__all__ = ["ChannelClient"]

_RECONNECT = 0.5  # seconds before a connection's row is written again that could not be; twice as long each time,
_MAX_RECONNECT = 10.0  # up to this


class ChannelClient:
    """See the module. ``principal`` is the authenticated client, ``member`` its connection as a member of channels."""

    __slots__ = (
        "_attempts",
        "_closed",
        "_intake",
        "_joining",
        "_known",
        "_member",
        "_owed",
        "_presence_lock",
        "_principal",
        "_publishing",
        "_services",
        "_session",
        "_subscriptions",
        "_to_publish",
        "_transport",
        "refused",
    )

    def __init__(
        self,
        session: Session,
        principal: Principal,
        member: Member,
        services: SharedServices,
        transport: Transport,
        intake: Intake,
    ) -> None:
        self._session = session
        self._principal = principal
        self._member = member
        self._services = services
        self._transport = transport
        self._intake = intake
        self._subscriptions: dict[ChannelRequest, ChannelSubscription] = {}
        self._joining: dict[ChannelRequest, asyncio.Task[None]] = {}
        self._owed: set[str] = set()  # requested channels that could not be opened because of a fault of the server
        self.refused: tuple[str, tuple[int, int]] | None = None  # see Client.refused
        self._to_publish: deque[Publish] = deque()
        self._publishing = 0
        self._presence_lock = asyncio.Lock()
        self._known: asyncio.Task[None] | None = None
        self._attempts = 0
        self._closed = False

    @property
    def caught_up(self) -> str | None:
        """See ``Client.caught_up``: None while a channel is being opened or awaits its history, and without channels."""
        if self._owed or any(request not in self._subscriptions and not request.ended for request in self._joining):
            return None
        if not self._subscriptions or any(held.waiting for held in self._subscriptions.values()):
            return None
        return next(iter(self._subscriptions.values())).position

    @property
    def synced(self) -> tuple[str, list[str]]:
        """See ``Client.synced``."""
        channels = [request.channel for request, held in self._subscriptions.items() if not held.waiting]
        return next((held.position for held in self._subscriptions.values()), "0/0"), channels

    def start(self) -> None:
        """The connection is open: register it. Only presence waits for that."""
        self._connect()

    def closed(self, *, clean: bool) -> None:
        """The connection is closed. Its presence may resume within its timeout, unless the close was ``clean``."""
        self._closed = True
        for task in self._joining.values():
            task.cancel()
        self._subscriptions.clear()
        self._services.background.spawn(self._disconnect(clean=clean))

    # Subscribing.

    def join(self, request: ChannelRequest) -> None:
        """Open a channel."""
        self._intake.begun(request.size)
        task = self._joining[request] = self._services.background.spawn(self._join(request))
        task.add_done_callback(lambda _: self._joined(request))

    def _joined(self, request: ChannelRequest) -> None:
        self._joining.pop(request, None)
        self._intake.done(request.size)

    def leave(self, request: ChannelRequest) -> None:
        """Give a channel back."""
        subscription = self._subscriptions.pop(request, None)
        if subscription is not None:
            subscription.cancel()

    async def _join(self, request: ChannelRequest) -> None:
        services, member = self._services, self._member
        try:
            await services.authorizer.authorize(self._principal, Action.SUBSCRIBE, request.channel)
            if request.options.presence is not None:
                await services.authorizer.authorize(self._principal, Action.PRESENCE, request.channel)
            await self._connected()
            deliver = partial(self._deliver, request)
            subscription = await services.channels.subscribe(
                request.channel, request.options, member, deliver, partial(self._deliver_block, request)
            )
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._reject(request, client_error(error, "subscribe_failed", channel=request.channel))
            return
        # No await from here on: the presence list is followed by every later change.
        answer = self._session.joined(
            request,
            subscription.position,
            subscription.recovered,
            subscription.presence_json(),
            epoch=services.channels.epoch,
        )
        if answer is None:
            subscription.cancel()
            return
        self._subscriptions[request] = subscription
        self._owed.discard(request.channel)
        opened = Opened(request.channel, subscription.position, subscription.recovered)
        self._transport.write(self._transport.wire.own(answer, opened))
        subscription.begin()

    def _deliver(self, request: ChannelRequest, event: ChannelEvent) -> None:
        if request.ended:
            return
        if event.error is not None:
            self._subscriptions.pop(request, None)
            self._reject(request, event.error)
        elif self._transport.over_limit:
            self._refuse(event)
        else:
            self._transport.write(self._transport.wire.channels.frame(event))
            if event.ends:
                self._subscriptions.pop(request, None)
                self._session.ended(request)

    def _deliver_block(self, request: ChannelRequest, block: EventBatch) -> None:
        if request.ended:
            return
        if self._transport.over_limit:
            self._refuse(block.events[0])
        else:
            for frame in self._transport.wire.channels.batch(block):
                self._transport.write(frame)

    def _refuse(self, event: ChannelEvent) -> None:
        if event.key is not None:
            self.refused = event.channel, event.key
        self._transport.close(CloseCode.RESUME, "resume")

    def _reject(self, request: ChannelRequest, error: RealtimeError) -> None:
        answer = self._session.rejected(request, error)
        if answer is not None:
            if isinstance(error, UnavailableError):
                self._owed.add(request.channel)
            self._send(answer)

    # Publishing.

    def publish(self, message: Publish) -> None:
        """Publish, after everything that came before."""
        self._intake.begun(len(message.data))
        self._to_publish.append(message)
        if len(self._to_publish) == 1:
            self._services.background.spawn(self._publish_waiting())
        self._hold()

    async def _publish_waiting(self) -> None:
        """One message after the other is allowed and submitted; their commits are awaited side by side."""
        alone = True
        while self._to_publish:
            message = self._to_publish[0]
            try:
                await self._services.authorizer.authorize(self._principal, Action.PUBLISH, message.channel)
            except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
                self._answer(_named(message), client_error(error, "publish_failed", channel=message.channel))
                self._intake.done(len(message.data))
            else:
                self._publishing += 1
                if alone and len(self._to_publish) == 1:  # the usual case: one task does for both
                    self._to_publish.popleft()
                    await self._publish(message)
                    return
                alone = False
                self._services.background.spawn(self._publish(message))
            self._to_publish.popleft()
        self._hold()

    async def _publish(self, message: Publish) -> None:
        id = None if message.id is UNSET else message.id
        publication = Publication(message.channel, message.event, bytes(message.data), self._member, id)
        try:
            stored = await self._services.channels.publish(publication)
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._answer(_named(message), client_error(error, "publish_failed", channel=message.channel))
        else:
            self._send(server_messages.ack(message.channel, message.ref, stored.id, stored.position))
        finally:
            self._publishing -= 1
            self._intake.done(len(message.data))
            self._hold()

    def _hold(self) -> None:
        self._intake.publishing(len(self._to_publish) + self._publishing)

    # Presence.

    def present(self, change: UpdatePresence) -> None:
        """Change this client's presence, after the changes that came before."""
        self._intake.begun(change.size)
        self._services.background.spawn(self._present(change)).add_done_callback(
            lambda _: self._intake.done(change.size)
        )

    async def _present(self, change: UpdatePresence) -> None:
        message, about = change.message, RequestReference(channel=change.message.channel, ref=change.message.ref)
        try:
            async with self._presence_lock:
                if (joining := self._joining.get(change.request)) is not None:
                    await asyncio.wait({joining})
                if change.request.ended or self._closed:
                    raise PresenceRefusedError(f"this connection is not subscribed to {message.channel!r} any more")
                await self._services.authorizer.authorize(self._principal, Action.PRESENCE, message.channel)
                await self._services.channels.set_presence(message.channel, self._member, change.data)
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._answer(about, client_error(error, "presence_failed", channel=message.channel))
        else:
            self._send(server_messages.ack(message.channel, message.ref, None, None))

    # The connection's row.

    def _connect(self) -> None:
        self._known = self._services.background.spawn(self._services.channels.connect(self._member, self._direct))
        self._known.add_done_callback(self._known_or_again)

    def _known_or_again(self, attempt: asyncio.Task[None]) -> None:
        """A row that could not be written, because the database was away or read-only, is written later."""
        if attempt.cancelled() or not isinstance(attempt.exception(), UnavailableError) or self._closed:
            return
        delay = random.uniform(0.5, 1.0) * min(_RECONNECT * 2**self._attempts, _MAX_RECONNECT)
        self._attempts += 1
        asyncio.get_running_loop().call_later(delay, self._connect_again, attempt)

    def _connect_again(self, attempt: asyncio.Task[None]) -> None:
        if not self._closed and self._known is attempt:
            self._connect()

    async def _connected(self) -> None:
        """Wait until the connection is registered; retry if that failed before."""
        if self._known is None or (self._known.done() and (self._known.cancelled() or self._known.exception())):
            self._connect()
        assert self._known is not None
        await asyncio.shield(self._known)

    async def _disconnect(self, *, clean: bool) -> None:
        before = [*self._joining.values(), *([] if self._known is None else [self._known])]
        if before:
            await asyncio.wait(before)
        await self._services.channels.disconnect(self._member.connection_id, clean=clean)

    def _direct(self, event: ChannelEvent) -> None:
        """An event for this connection itself."""
        if event.error is not None:
            self._answer(RequestReference(), event.error)
            if isinstance(event.error, DisconnectedError):
                self._transport.close(CloseCode.DISCONNECTED, "disconnected")
            else:
                self._transport.close(CloseCode.RESUME, "resume")
        elif self._transport.over_limit:
            self._transport.close(CloseCode.RESUME, "resume")
        else:
            self._transport.write(self._transport.wire.channels.frame(event))

    def _send(self, payload: bytes) -> None:
        self._transport.write(self._transport.wire.own(payload))

    def _answer(self, about: RequestReference, error: RealtimeError) -> None:
        if not self._closed:
            self._send(server_messages.error(error.code, str(error), about))


def _named(message: Publish) -> RequestReference:
    return RequestReference(channel=message.channel, id=message.id, ref=message.ref)
