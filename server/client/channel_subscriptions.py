"""The channels of one client: carries out the actions of its session on them.

A subscriber that does not read its messages is closed with a code after which it reconnects and resumes from its last
position: messages cannot be conflated as live queries are.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from engine.channels.core.messages.model import PresenceRefusedError, UnavailableError, format_position
from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.authorizer import Action, Circumstances
from server.client.answers import Answers
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.opening_channels import OpeningChannels
from server.client.publishing import PublishQueue
from server.client.registration import Registration
from server.client.shared import SharedServices
from server.client.transport import Transport
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
        "_circumstances",
        "_intake",
        "_joining",
        "_log",
        "_member",
        "_opening",
        "_owed",
        "_presence_lock",
        "_principal",
        "_publishing",
        "_registration",
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
        self._principal = principal
        self._member = member
        self._circumstances = Circumstances(member.ip, member.transport)
        self._services = services
        self._log = services.log
        self._transport = transport
        self._intake = intake
        self._subscriptions: dict[ChannelRequest, ChannelSubscription] = {}
        self._joining: dict[ChannelRequest, asyncio.Task[None]] = {}
        self._owed = _NONE  # requested channels that could not be opened because of a fault of the server
        self.refused: tuple[str, tuple[int, int]] | None = None  # see Client.refused
        self._presence_lock: asyncio.Lock | None = None  # with the first change of presence
        self._answers = Answers(transport)
        self._registration = Registration(member, services, transport, self._answers)
        self._publishing = PublishQueue(principal, member, services, self._answers, intake)
        self._opening = OpeningChannels(self._publishing, intake)

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
        self._registration.start()

    def closed(self, *, clean: bool) -> None:
        """The connection is closed. Its presence may resume within its timeout, unless the close was ``clean``."""
        self._answers.closed = True
        self._registration.close()
        self._opening.closed()
        for task in self._joining.values():
            task.cancel()
        for request in list(self._subscriptions):
            self._left(request)
        self._services.background.spawn(self._registration.end(list(self._joining.values()), clean=clean))

    def publish(self, message: Publish) -> None:
        """Publish, after everything that came before and concerns the same channel."""
        if self._opening.tasks and message.channel in self._opening.tasks:
            self._opening.hold(message)
        else:
            self._publishing.add(message)

    # Subscribing.

    def join(self, request: ChannelRequest) -> None:
        """Open a channel."""
        self._intake.begun(request.size)
        task = self._joining[request] = self._services.background.spawn(self._join(request))
        task.add_done_callback(lambda _: self._joined(request))
        self.opening(request.channel, task)

    def opening(self, channel: str, task: asyncio.Task[None]) -> None:
        """``task`` opens the channel, or has it opened: what is published there waits for that."""
        self._opening.begin(channel, task)

    def _joined(self, request: ChannelRequest) -> None:
        self._joining.pop(request, None)
        if not self._joining:
            self._joining = {}  # which takes less memory than one that was emptied
        self._intake.done(request.size)

    def leave(self, request: ChannelRequest) -> None:
        """Give a channel back."""
        self._opening.cancel(request.channel)
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
            for action in _actions(request):
                await services.authorizer.authorize(self._principal, action, request.channel, self._circumstances)
            options = request.options
            if options.presence is not None:
                shown = services.content.presence(member, request.channel, options.presence)
                if shown is not options.presence:
                    options = replace(options, presence=shown)
            await self._registration.wait()
            access = partial(self._access, request)
            subscription = await services.channels.subscribe(
                request.channel,
                options,
                member,
                partial(self._deliver, request),
                partial(self._deliver_batch, request),
                access,
            )
            if (lost := access()) is not None:  # rules may have changed meanwhile
                subscription.cancel()
                raise lost
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._reject(request, client_error(error, "subscribe_failed", channel=request.channel))
            return
        # No await from here on: the presence list is followed by every later change.
        answer = self._session.joined(
            request,
            subscription.position,
            subscription.recovered,
            subscription.since,
            subscription.presence_json(),
            epoch=services.channels.epoch,
        )
        if answer is None:
            subscription.cancel()
            return
        self._subscriptions[request] = subscription
        if self._log.channels:
            self._log.subscribed(member, request.channel)
        if self._log.presence and request.options.presence is not None:
            self._log.joined(member, request.channel)
        self._owed -= {request.channel}
        services.count_resumed(self._session, member.transport, "channel", subscription.recovered)
        opened = Opened(request.channel, subscription.position, subscription.recovered)
        self._transport.write(self._transport.wire.own(answer, opened))
        subscription.begin()

    def _access(self, request: ChannelRequest) -> RealtimeError | None:
        """Why the client may not have an open channel any more; None: it may."""
        try:
            for action in _actions(request):
                self._services.authorizer.judge(self._principal, action, request.channel, self._circumstances)
        except RealtimeError as refused:
            return refused
        return None

    def review(self) -> None:
        """The client's identity has changed: end what it may not have any more."""
        for subscription in list(self._subscriptions.values()):
            subscription.review()

    def _deliver(self, request: ChannelRequest, event: ChannelEvent) -> None:
        if request.ended:
            return
        if event.error is not None:
            self._left(request)
            self._reject(request, event.error)
        elif self._transport.over_limit:
            self._refuse(event)
        else:
            self._transport.write(self._transport.wire.channels.frame(event))
            if self._log.messages and event.key is not None:
                self._log.delivered(self._member, request.channel, 1, format_position(*event.key))
            if event.ends:
                self._left(request)
                self._session.ended(request)

    def _deliver_batch(self, request: ChannelRequest, batch: EventBatch) -> None:
        if request.ended:
            return
        if self._transport.over_limit:
            self._refuse(batch.events[0])
        else:
            for frame in self._transport.wire.channels.batch(batch):
                self._transport.write(frame)
            if self._log.messages:
                key = batch.events[-1].key
                position = None if key is None else format_position(*key)
                self._log.delivered(self._member, request.channel, len(batch.events), position)

    def _refuse(self, event: ChannelEvent) -> None:
        if event.key is not None:
            self.refused = event.channel, event.key
        self._transport.close(CloseCode.RESUME, "resume")

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
                await self._services.authorizer.authorize(
                    self._principal, Action.PRESENCE, message.channel, self._circumstances
                )
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


def _actions(request: ChannelRequest) -> tuple[Action, ...]:
    """What a subscriber has to be allowed to do."""
    return (Action.SUBSCRIBE,) if request.options.presence is None else (Action.SUBSCRIBE, Action.PRESENCE)
