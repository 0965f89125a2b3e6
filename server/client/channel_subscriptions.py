"""The channels of one client: carries out the actions of its session on them.

A subscriber that does not read its messages is closed with a code after which it reconnects and resumes from its last
position: messages cannot be conflated as live queries are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.channels.core.messages.model import PresenceRefusedError, UnavailableError, format_position
from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.authorizer import Action
from server.client.answers import Answers
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.judgement import SubscriptionRights
from server.client.opening_channels import OpeningChannels
from server.client.publishing import PublishQueue
from server.client.registration import Registration
from server.client.shared import SharedServices
from server.client.transport import Transport
from server.logs.clients import ClientLog
from server.ports.channels import ChannelEvent, ChannelSubscription, EventBatch, Member
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference
from server.protocol.close_codes import CloseCode
from server.session.actions import UpdatePresence
from server.session.session import Session
from server.session.subscriptions import ChannelRequest
from server.wire.frame import Opened

__all__ = ["ChannelSubscriptions"]

_NONE: Final[frozenset[str]] = frozenset()


class ChannelSubscriptions:
    """See the module. ``principal`` is the authenticated client, ``member`` its connection as a member of channels."""

    __slots__ = (
        "_answers",
        "_intake",
        "_joining",
        "_log",
        "_member",
        "_opening",
        "_owed",
        "_presence_lock",
        "_publishing",
        "_registration",
        "_rights",
        "_services",
        "_session",
        "_subscriptions",
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
        self._member = member
        self._rights = SubscriptionRights(services.authorizer, principal, member)
        self._services = services
        self._log = services.log
        self._transport = transport
        self._intake = intake
        self._subscriptions: dict[ChannelRequest, ChannelSubscription] = {}
        self._joining: dict[ChannelRequest, asyncio.Future[None]] = {}
        self._owed = _NONE  # requested channels that could not be opened because of a fault of the server
        self.refused: tuple[str, tuple[int, int]] | None = None  # see Client.refused
        self._presence_lock: asyncio.Lock | None = None  # with the first change of presence
        self._answers = Answers(transport)
        self._registration = Registration(member, services, transport, self._answers)
        self._publishing = PublishQueue(principal, member, services, self._answers, intake)
        self._opening = OpeningChannels(self._publishing, intake)

    @property
    def caught_up(self) -> str | None:
        """See ``Client.caught_up``: None while a channel is being opened or is behind, and without channels."""
        if self._owed or any(request not in self._subscriptions and not request.ended for request in self._joining):
            return None
        if not self._subscriptions or any(held.behind for held in self._subscriptions.values()):
            return None
        return next(iter(self._subscriptions.values())).position

    @property
    def synced(self) -> tuple[str, list[str]]:
        """See ``Client.synced``."""
        channels = [request.channel for request, held in self._subscriptions.items() if not held.behind]
        return next((held.position for held in self._subscriptions.values()), "0/0"), channels

    @property
    def waiting(self) -> bool:
        """Whether the history of a channel, and the messages behind it, are still to be delivered."""
        return any(held.waiting for held in self._subscriptions.values())

    @property
    def opened(self) -> list[asyncio.Future[None]]:
        """What is done when a channel is open."""
        return [*self._joining.values(), *self._opening.tasks.values()]

    def start(self) -> None:
        """The connection is open: register it. Only presence waits for that."""
        self._registration.start()

    def closed(self, *, clean: bool) -> None:
        """The connection is closed. Its presence may resume within its timeout, unless the close was ``clean``."""
        self._answers.closed = True
        self._registration.close()
        self._opening.closed()
        for joining in self._joining.values():
            joining.cancel()
        for request in list(self._subscriptions):
            self._left(request)
        self._services.background.spawn(self._registration.end(list(self._joining.values()), clean=clean))

    def publish(self, messages: Sequence[Publish]) -> None:
        """Publish, after everything that came before and concerns the same channel."""
        if not self._opening.tasks:
            self._publishing.add(messages)
            return
        for message in messages:
            if message.channel in self._opening.tasks:
                self._opening.hold(message)
            else:
                self._publishing.add([message])

    # Subscribing.

    def join(self, request: ChannelRequest) -> None:
        """Open a channel."""
        self._intake.begun(request.size)
        joining = self._joining[request] = self._services.joins.begin(self, lambda: self._begin(request))
        joining.add_done_callback(lambda _: self._joined(request))
        self.opening(request.channel, joining)

    def _begin(self, request: ChannelRequest) -> asyncio.Task[None]:
        """It is the turn of ``request``: from now on its task is what is cancelled, and what its end waits for."""
        task = self._joining[request] = self._services.background.spawn(self._join(request))
        return task

    def opening(self, channel: str, opened: asyncio.Future[None]) -> None:
        """``opened`` is done when the channel is open: what is published there waits for that."""
        self._opening.begin(channel, opened)

    def _joined(self, request: ChannelRequest) -> None:
        self._joining.pop(request, None)
        if not self._joining:
            self._joining = {}  # which takes less memory than one that was emptied
        self._intake.done(request.size)

    async def subscription_of(self, request: ChannelRequest) -> ChannelSubscription | None:
        """The subscription of ``request``, once it is open; None: it has ended."""
        if (joining := self._joining.get(request)) is not None:
            await asyncio.wait({joining})
        return self._subscriptions.get(request)

    def leave(self, request: ChannelRequest) -> None:
        """Give a channel back."""
        self._opening.cancel(request.channel)
        if (joining := self._joining.get(request)) is not None:
            joining.cancel()  # what is not wanted any more must not keep what is from its turn
        subscription = self._left(request)
        if subscription is not None:
            subscription.cancel()

    def _left(self, request: ChannelRequest) -> ChannelSubscription | None:
        subscription = self._subscriptions.pop(request, None)
        if subscription is not None and self._log.channels:
            self._log.unsubscribed(self._member, request.channel)
        if subscription is not None and self._log.presence and request.options.presence is not None:
            self._log.left(self._member, request.channel)
        return subscription

    async def _join(self, request: ChannelRequest) -> None:
        services, member = self._services, self._member
        try:
            basis = await self._rights.authorize(request)
            options = request.options
            if options.presence is not None:
                shown = services.content.presence(member, request.channel, options.presence)
                if shown is not options.presence:
                    options = replace(options, presence=shown)
            await self._registration.wait()
            receiver = _Receiver(self, request, self._transport, self._log)
            subscription = await services.channels.subscribe(request.channel, options, member, receiver)
            if (lost := self._rights.lost(request, basis)) is not None:  # rules may have changed meanwhile
                subscription.cancel()
                raise lost
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._reject(request, client_error(error, "subscribe_failed", channel=request.channel))
            return
        # No await from here on: the presence list is followed by every later change.
        presence, epoch = subscription.presence_json(), services.channels.epoch
        answer = self._session.joined(
            request, subscription.position, subscription.recovered, subscription.since, presence, epoch=epoch
        )
        if answer is None:
            subscription.cancel()
            return
        self._subscriptions[request] = subscription
        if self._log.channels:
            self._log.subscribed(member, request.channel)
        if self._log.presence and request.options.presence is not None:
            self._log.joined(member, request.channel)
        if self._owed:
            self._owed -= {request.channel}
        services.count_resumed(self._session, member.transport, "channel", subscription.recovered)
        opened = Opened(request.channel, subscription.position, subscription.recovered)
        self._transport.write(self._transport.wire.own(answer, opened))
        subscription.begin()

    def access(self, request: ChannelRequest) -> RealtimeError | None:
        """Why the client may not have an open channel any more; None: it may."""
        return self._rights.lost(request)

    def review(self) -> None:
        """The client's identity has changed: end what it may not have any more."""
        for subscription in list(self._subscriptions.values()):
            subscription.review()

    def ended(self, request: ChannelRequest, error: RealtimeError | None) -> None:
        """The channels have ended a subscription, because of ``error`` if there is one."""
        self._left(request)
        if error is None:
            self._session.ended(request)
        else:
            self._reject(request, error)

    def refuse(self, event: ChannelEvent) -> None:
        """There is no room for ``event``: the client is to come back, and to resume from its last position."""
        if event.key is not None:
            self.refused = event.channel, event.key
        self._transport.close(CloseCode.RESUME, "resume")

    def log_delivered(self, request: ChannelRequest, count: int, key: tuple[int, int] | None) -> None:
        """So many events were written; ``key``: the position of the last, None if it is no message."""
        position = None if key is None else format_position(*key)
        self._log.delivered(self._member, request.channel, count, position)

    def _reject(self, request: ChannelRequest, error: RealtimeError) -> None:
        self._log.rejected_request(self._member, Action.SUBSCRIBE.value, request.channel, error)
        answer = self._session.rejected(request, error)
        if answer is not None:
            if isinstance(error, UnavailableError):
                self._owed |= {request.channel}
            self._answers.send(answer)

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
            if self._presence_lock is None:
                self._presence_lock = asyncio.Lock()
            async with self._presence_lock:
                if (joining := self._joining.get(change.request)) is not None:
                    await asyncio.wait({joining})
                if change.request.ended or self._answers.closed:
                    raise PresenceRefusedError(f"this connection is not subscribed to {message.channel!r} any more")
                await self._rights.authorize_presence(message.channel)
                data = self._services.content.presence(self._member, message.channel, change.data)
                await self._services.channels.set_presence(message.channel, self._member, data)
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            shown = client_error(error, "presence_failed", channel=message.channel)
            self._log.rejected_request(self._member, Action.PRESENCE.value, message.channel, shown)
            self._answers.error(about, shown)
        else:
            if self._log.presence:
                self._log.updated(self._member, message.channel)
            self._answers.send(server_messages.ack(message.channel, message.ref, None, None))


class _Receiver:
    """Takes the events of one channel. A client may have many of these, and each message comes through here."""

    __slots__ = ("_channels", "_log", "_request", "_transport")

    def __init__(
        self, channels: ChannelSubscriptions, request: ChannelRequest, transport: Transport, log: ClientLog
    ) -> None:
        self._channels = channels
        self._request = request
        self._transport = transport
        self._log = log

    def deliver(self, event: ChannelEvent) -> None:
        request, transport = self._request, self._transport
        if request.ended:
            return
        if event.error is not None:
            self._channels.ended(request, event.error)
        elif transport.over_limit:
            self._channels.refuse(event)
        else:
            transport.write(transport.wire.channels.frame(event))
            if self._log.messages and event.key is not None:
                self._channels.log_delivered(request, 1, event.key)
            if event.ends:
                self._channels.ended(request, None)

    def deliver_batch(self, batch: EventBatch) -> None:
        request, transport = self._request, self._transport
        if request.ended:
            return
        if transport.over_limit:
            self._channels.refuse(batch.events[0])
        else:
            for frame in transport.wire.channels.batch(batch):
                transport.write(frame)
            if self._log.messages:
                self._channels.log_delivered(request, len(batch.events), batch.events[-1].key)

    def access(self) -> RealtimeError | None:
        return self._channels.access(self._request)
