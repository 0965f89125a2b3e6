"""One client: carries out the actions of its session, on any transport.

:mod:`server.client.channel_subscriptions` handles channels. This module opens and cancels live queries and writes their
events to the transport. While the transport is congested the live queries are paused, and when it has drained each is
resumed with one event, the difference to the current rows. A slow client thus costs one stored list per query, never a
growing queue, and other clients are not delayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial

import psycopg
import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.errors import QueryRejectedError, RealtimeError
from engine.identity.principal import Principal
from engine.live.query_accounts import ASKING, ConnectionAccount
from server.auth.authorizer import Action
from server.client.answers import HistoryRequests, QueuedAnswer, SeenRequests
from server.client.channel_subscriptions import ChannelSubscriptions
from server.client.intake import Intake
from server.client.renewal import Renewal
from server.client.shared import SharedServices
from server.client.transport import Transport
from server.ports.channels import Member
from server.ports.live_queries import LiveEvent, LiveSubscription
from server.protocol.client_messages import COLLECTION_PREFIX, Publish, Seen
from server.protocol.server_messages import ErrorPayload
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
from server.session.session import Session
from server.session.subscriptions import ChannelRequest, LiveRequest, Request

__all__ = ["Client"]

_log = structlog.get_logger("realtime.client")


class Client:
    """The session and its subscriptions. Transports call ``start``, ``carry_out``, ``pause_queries``, ``resume_queries``
    and ``closed``.

    ``principal`` is the authenticated client, ``member`` its connection as a member of channels.
    """

    __slots__ = (
        "_account",
        "_channels",
        "_history",
        "_intake",
        "_live",
        "_log",
        "_paused",
        "_principal",
        "_renewal",
        "_resuming",
        "_seen",
        "_services",
        "_tasks",
        "_transport",
        "member",
        "session",
    )

    def __init__(
        self, session: Session, principal: Principal, member: Member, services: SharedServices, transport: Transport
    ) -> None:
        self.session = session
        self._principal = principal
        self._services = services
        self._intake = Intake(transport, services.intake)
        self._channels = ChannelSubscriptions(session, principal, member, services, transport, self._intake)
        self._transport = transport
        self._live: dict[LiveRequest, LiveSubscription] = {}
        self._paused: dict[LiveRequest | QueuedAnswer, None] = {}  # an ordered set: the longest waiting first
        self._resuming = False  # the next one is resumed in the next turn of the loop
        self._tasks: set[asyncio.Task[None]] | None = None  # most connections have none
        self._renewal: Renewal | None = None  # with the first new token
        self._seen: SeenRequests | None = None  # with the first one
        self._history: HistoryRequests | None = None  # the same
        self.member = member
        self._log = services.log
        self._account: ConnectionAccount | None = None  # made with the first live query: most connections have none

    @property
    def caught_up(self) -> str | None:
        """The position up to which the transport has all messages of all channels; None while there is no such position."""
        return self._channels.caught_up

    @property
    def synced(self) -> tuple[str, list[str]]:
        """The position of the stream, and the channels of which the transport was given everything up to it."""
        return self._channels.synced

    @property
    def refused(self) -> tuple[str, tuple[int, int]] | None:
        """The first message that the transport had no room for: its channel, and its position there."""
        return self._channels.refused

    def start(self) -> None:
        """The connection is open: greet the client."""
        self._send(self.session.begin())
        self._channels.start()

    def carry_out(self, outputs: list[Output]) -> None:
        """Carry out the actions of the session."""
        for output in outputs:
            match output:
                case Publish():
                    self._channels.publish([output])
                case bytes():
                    if isinstance(output, ErrorPayload):
                        self._log.refused(self.member, output.about, output.code, output.message, output.retry_after)
                    self._send(output)
                case SubscribeQuery(request):
                    self._intake.begun(request.size)
                    self._begin(self._open(request)).add_done_callback(partial(self._opened, request))
                case SubscribeChannel(request):
                    self._channels.join(request)
                case CancelSubscription(request):
                    self._cancel(request)
                case Close(code, reason):
                    self._transport.close(code, reason)
                case _:
                    self._answer_later(output)

    def _answer_later(self, request: UpdatePresence | Seen | ReadHistory | Authenticate) -> None:
        match request:
            case UpdatePresence():
                self._channels.present(request)
            case Seen():
                self._see(request)
            case ReadHistory():
                self._history = self._history or HistoryRequests(
                    self._transport, self._channels.subscription_of, self._in_turn
                )
                self._history.begin(request)
            case Authenticate():
                self._renew(request)

    def _see(self, message: Seen) -> None:
        if self._seen is None:
            self._seen = SeenRequests(
                self._services,
                self._transport,
                lambda: list(self._live.values()),
                lambda: self._channels.waiting,
                self._in_turn,
            )
        self._seen.begin(message, [*(self._tasks or ()), *self._channels.opened])

    def _in_turn(self, answer: QueuedAnswer) -> None:
        self._paused[answer] = None
        self.resume_queries()

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task that ends with the connection."""
        task = asyncio.create_task(work)
        self._tasks = self._tasks or set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            if not self._tasks:
                self._tasks = None

    def publish(self, messages: Sequence[Publish]) -> None:
        """Carry out publications that arrived together, in their order."""
        self._channels.publish(messages)

    def _renew(self, request: Authenticate) -> None:
        if self._renewal is None:
            services, session = self._services, self.session
            self._renewal = Renewal(
                self._principal,
                services.authenticator,
                partial(services.log.renewal_refused, self.member) if services.log.authentication else None,
                self._transport,
                lambda request: self.carry_out(session.subscribe(request)),
                self._channels.review,
            )
        task = self._renewal.begin(request)
        if task is not None and request.subscribe is not None:
            self._channels.opening(request.subscribe[0].channel, task)

    def pause_queries(self) -> None:
        """The transport has become congested: pause the live queries that are not paused yet."""
        for request, subscription in self._live.items():
            if request not in self._paused:
                subscription.pause()
                self._paused[request] = None

    def resume_queries(self) -> None:
        """The transport has drained: resume until it is congested again. The remaining queries are first next time.

        One in each turn of the event loop, because each is two lists of up to 10,000 rows to write and to compare.
        """
        if not self._resuming:
            self._resume_next()

    def _resume_next(self) -> None:
        self._resuming = False
        if not self._paused or self._transport.congested:
            return
        request = next(iter(self._paused))
        del self._paused[request]
        self._resuming = bool(self._paused)
        if self._resuming:
            asyncio.get_running_loop().call_soon(self._resume_next)
        if isinstance(request, QueuedAnswer):
            request.send()
            return
        subscription = self._live[request]
        if request.begun:
            subscription.resume()
        else:
            request.begun = True
            subscription.begin()

    def closed(self, *, clean: bool) -> None:
        """The connection is closed: give everything back. ``clean``: the client ended it on purpose."""
        for request in self.session.finish():
            if isinstance(request, LiveRequest):
                self._cancel(request)
        self._channels.closed(clean=clean)
        for requests in (self._seen, self._history, self._renewal):
            if requests is not None:
                requests.closed()
        self._seen = self._history = None
        for task in self._tasks or ():
            task.cancel()
        if self._account is not None:
            self._services.query_accounts.leave(self._account)
            self._account = None

    def _cancel(self, request: Request) -> None:
        if isinstance(request, ChannelRequest):
            self._channels.leave(request)
            return
        subscription = self._live.pop(request, None)
        if subscription is not None:
            subscription.cancel()
            if self._log.channels:
                self._log.unsubscribed(self.member, COLLECTION_PREFIX + request.collection)
        self._paused.pop(request, None)

    def reopen_queries(self) -> None:
        """The principal has other claims: its live queries get the difference to what it may see now."""
        for subscription in self._live.values():
            self._begin(self._services.live_queries.reopen(self._principal, subscription))

    async def _open(self, request: LiveRequest) -> None:
        if self._account is None:
            self._account = self._services.query_accounts.enter(self._principal.proven_user_id, self.member.ip)
        ASKING.set(self._account.user)
        try:
            await self._services.authorizer.authorize(self._principal, Action.QUERY, request.collection)
            claims = self._principal.claims
            deliver = _Receiver(self, request, self._transport).deliver
            if request.fresh:  # a query that others follow has the rows as of the stream; the client limits the wait
                await self._services.channels.passed(None)
            subscription = await self._services.live_queries.subscribe(
                self._principal, request.collection, request.query, deliver, request.resume, self._account
            )
            shown = not request.fresh
            while not shown or claims is not self._principal.claims:  # a token may be renewed in each wait
                if claims is not self._principal.claims:
                    claims = self._principal.claims
                    await self._services.live_queries.reopen(self._principal, subscription)
                else:  # a list that is read again is read after what has passed
                    await self._services.live_queries.shown((subscription,))
                    shown = True
        except RealtimeError as error:
            self._reject(request, error)
            return
        except (psycopg.Error, OSError) as error:
            _log.warning("subscribe_failed", collection=request.collection, error=str(error))
            self._reject(request, UnavailableError("the database cannot be reached now; try again"))
            return
        followed = subscription.position, subscription.strategy, subscription.reason
        answer = self.session.accepted(request, *followed, epoch=subscription.epoch, recovered=subscription.recovered)
        if answer is None:
            subscription.cancel()
            return
        self._live[request] = subscription
        request.opened()
        self._send(answer)
        if self._log.channels:
            self._log.subscribed(self.member, COLLECTION_PREFIX + request.collection)
        self._services.count_resumed(self.session, self.member.transport, "query", subscription.recovered)
        # Behind those that wait already, and held back with them while the transport is congested.
        self._paused[request] = None
        self.resume_queries()

    def _opened(self, request: LiveRequest, task: asyncio.Task[None]) -> None:
        self._intake.done(request.size)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("subscribe_crashed", collection=request.collection, exc_info=failure)
            self._reject(request, UnavailableError("the server failed to open this subscription"))

    def _send(self, payload: bytes) -> None:
        self._transport.write(self._transport.wire.own(payload))

    def _reject(self, request: LiveRequest, error: RealtimeError) -> None:
        self._log.rejected_request(self.member, Action.QUERY.value, COLLECTION_PREFIX + request.collection, error)
        answer = self.session.rejected(request, error)
        if answer is not None:
            self._send(answer)

    def ended(self, request: LiveRequest, error: QueryRejectedError) -> None:
        """The live queries have ended a subscription."""
        self._live.pop(request, None)
        self._paused.pop(request, None)
        self._reject(request, error)


class _Receiver:
    """Takes the events of one live query. Each event of each subscriber comes through here."""

    __slots__ = ("_client", "_request", "_transport")

    def __init__(self, client: Client, request: LiveRequest, transport: Transport) -> None:
        self._client = client
        self._request = request
        self._transport = transport

    def deliver(self, _: LiveSubscription, event: LiveEvent) -> None:
        request = self._request
        if request.ended:
            return
        if event.error is not None:
            self._client.ended(request, event.error)
        else:
            transport = self._transport
            transport.write(transport.wire.events.frame(request.head, event, request.meta, request.delta))
