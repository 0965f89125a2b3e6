"""Answers to the requests of one client, which are given when their work is done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from engine.channels.core.messages.model import UnavailableError, UnknownChannelError
from engine.errors import ErrorCode, RealtimeError
from engine.lsn import Lsn
from server.client.failures import client_error
from server.client.shared import SharedServices
from server.client.transport import Transport
from server.ports.channels import ChannelSubscription
from server.ports.live_queries import LiveSubscription
from server.protocol import server_messages
from server.protocol.client_messages import RequestReference, Seen
from server.session.actions import ReadHistory
from server.session.subscriptions import ChannelRequest

__all__ = ["Answers", "HistoryRequests", "QueuedAnswer", "SeenRequests"]

_TIMEOUT: Final = 30.0  # seconds, as for a message that the database does not take
_MAX_PENDING: Final = 100
_MAX_PAGES: Final = 10  # pages of histories that a connection may wait for
_LOOK: Final = 0.05  # seconds between two looks whether a channel's history was delivered


class Answers:
    """Writes answers to ``transport``. Once ``closed`` is set, errors are dropped."""

    __slots__ = ("_transport", "closed")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.closed = False

    def send(self, payload: bytes) -> None:
        """Write a message of this client's own."""
        self._transport.write(self._transport.wire.own(payload))

    def send_all(self, payloads: list[bytes]) -> None:
        """Write messages of this client's own, as one frame where they can be."""
        for frame in self._transport.wire.all_own(payloads):
            self._transport.write(frame)

    def error(self, about: RequestReference, error: RealtimeError) -> None:
        """Answer a request with an error."""
        if not self.closed:
            self.send(server_messages.failed(error, about))


class _TooManyError(RealtimeError):
    code = ErrorCode.RATE_LIMITED


class QueuedAnswer:
    """An answer that is written behind the live queries that wait because the transport is congested. ``written`` is set
    then, if it is given.
    """

    __slots__ = ("_answers", "_payload", "_written")

    def __init__(self, answers: Answers, payload: bytes, written: asyncio.Event | None = None) -> None:
        self._answers = answers
        self._payload = payload
        self._written = written

    def send(self) -> None:
        """Write it."""
        self._answers.send(self._payload)
        if self._written is not None:
            self._written.set()


class SeenRequests:
    """The ``seen`` requests of one connection: each is answered behind everything up to its position.

    What the transport was given before the answer reaches the client before it. So a request waits for the subscriptions
    that were asked for before it (``opening``), for the stream, for the history of channels (``waiting``: of one it is not
    delivered yet) and for the reads of the live queries (``live``); ``written`` writes the answer.
    """

    def __init__(
        self,
        services: SharedServices,
        transport: Transport,
        live: Callable[[], Sequence[LiveSubscription]],
        waiting: Callable[[], bool],
        written: Callable[[QueuedAnswer], None],
    ) -> None:
        self._services = services
        self._answers = Answers(transport)
        self._live = live
        self._waiting = waiting
        self._written = written
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, message: Seen, opening: Collection[asyncio.Future[None]]) -> None:
        """Answer ``message`` later."""
        if len(self._tasks) >= _MAX_PENDING:
            about = RequestReference(ref=message.ref)
            self._answers.error(
                about, _TooManyError(f"{_MAX_PENDING} positions are awaited by this connection already")
            )
            return
        task = asyncio.create_task(self._answer(message, opening))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self) -> None:
        """The connection is closed."""
        self._answers.closed = True
        for task in self._tasks:
            task.cancel()

    async def _answer(self, message: Seen, opening: Collection[asyncio.Future[None]]) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                position = await self._seen(message.position, opening)
        except TimeoutError:
            text = f"{message.position!r} was not reached within {_TIMEOUT:g} s; ask again"
            self._answers.error(RequestReference(ref=message.ref), UnavailableError(text))
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._answers.error(RequestReference(ref=message.ref), client_error(error, "seen_failed"))
        else:
            self._written(QueuedAnswer(self._answers, server_messages.seen(position, message.ref)))

    async def _seen(self, position: str, opening: Collection[asyncio.Future[None]]) -> Lsn:
        if opening:
            await asyncio.wait(opening)
        passed = await self._services.channels.passed(position)
        while self._waiting():  # noqa: ASYNC110 - a history is delivered by the stream, which wakes no one for that
            await asyncio.sleep(_LOOK)
        await self._services.live_queries.shown(self._live())
        return passed


class HistoryRequests:
    """The ``history`` requests of one connection, answered one after the other.

    The next page is read when the transport has taken the last one, so a slow client has at most one waiting.
    ``subscription_of``: that of a request, once it is open; ``written`` writes the answer.
    """

    def __init__(
        self,
        transport: Transport,
        subscription_of: Callable[[ChannelRequest], Awaitable[ChannelSubscription | None]],
        written: Callable[[QueuedAnswer], None],
    ) -> None:
        self._answers = Answers(transport)
        self._subscription_of = subscription_of
        self._written = written
        self._pending: deque[ReadHistory] = deque()
        self._task: asyncio.Task[None] | None = None

    def begin(self, request: ReadHistory) -> None:
        """Answer ``request`` later."""
        if len(self._pending) >= _MAX_PAGES:
            text = (
                f"this connection waits for {_MAX_PAGES} pages of histories already; ask for the next when one has come"
            )
            self._answers.error(_about(request), _TooManyError(text))
            return
        self._pending.append(request)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    def closed(self) -> None:
        """The connection is closed."""
        self._answers.closed = True
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        while self._pending:
            await self._answer(self._pending[0])
            self._pending.popleft()
        self._task = None

    async def _answer(self, request: ReadHistory) -> None:
        channel = request.request.channel
        try:
            async with asyncio.timeout(_TIMEOUT):
                payload = await self._page(request)
        except TimeoutError:
            text = f"the history of {channel!r} was not read within {_TIMEOUT:g} s; ask again"
            self._answers.error(_about(request), UnavailableError(text))
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._answers.error(_about(request), client_error(error, "history_failed", channel=channel))
        else:
            written = asyncio.Event()
            self._written(QueuedAnswer(self._answers, payload, written))
            await written.wait()

    async def _page(self, request: ReadHistory) -> bytes:
        channel = request.request.channel
        subscription = await self._subscription_of(request.request)
        page = None if subscription is None else await subscription.older(request.before, request.limit)
        if page is None or request.request.ended:  # its rights may have changed while it was read
            raise UnknownChannelError(f"this connection is not subscribed to {channel!r} any more; subscribe again")
        return server_messages.history(channel, request.ref, [event.json for event in page.messages], page.before)


def _about(request: ReadHistory) -> RequestReference:
    return RequestReference(channel=request.request.channel, ref=request.ref)
