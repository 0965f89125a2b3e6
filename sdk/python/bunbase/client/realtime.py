"""The client: connection, channels and live queries behind one object."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType, NoneType, TracebackType
from typing import Any, Self, cast, overload

from bunbase.client.emitter import Emitter
from bunbase.client.live_query import Callback, QuerySubscription
from bunbase.client.own_loop import own_loop
from bunbase.client.query import DB, Database
from bunbase.client.typed_channel import Channel
from bunbase.connection.connection_manager import ConnectionManager
from bunbase.connection.options import Options, expect, query_of
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.connection.token_source import GetToken, TokenSource
from bunbase.core.channel_state import ChannelOptions, ChannelState
from bunbase.core.live_state import LiveState
from bunbase.core.status import ConnectionState, ConnectionStatus, Phase, hindrance
from bunbase.protocol.codec import Format
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.crypto import Encryption
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.expected import expect_text, expect_timeout
from bunbase.protocol.model import Message
from bunbase.transports import Address, given_or_set

__all__ = ["Realtime"]

_log = logging.getLogger("bunbase")


class Realtime(Emitter):
    """A client with one connection, kept up, for all its channels and live queries.

    ``async with Realtime(url) as realtime:`` connects and disconnects. It belongs to the event loop in which it is used.

    Args:
        url: the server, such as ``https://realtime.example.com`` or ``ws://localhost:8000/realtime``. Default:
            ``BUNBASE_REALTIME_URL``, or that of ``realtime dev``, ``http://localhost:8000``.
        api_key: the application's publishable key; by default ``BUNBASE_REALTIME_KEY``. Another is not sent: logged.
        token: the user's token, if it lasts as long as the client; else ``get_token``.
        get_token: returns a token, or an awaitable of one. Called for each connection, also for each reconnect, and before
            a token expires, so that no connection is opened with a stale one.
        reconnect: whether to connect again when the connection is lost.
        reconnect_delay: bound of the first wait in seconds, which is at random; it doubles with every attempt.
        max_reconnect_delay: the largest bound.
        max_reconnect_attempts: attempts in a row that may fail before the state becomes ``failed``; never by default.
        transports: the transports to use, best first.
        format: ``msgpack`` for smaller WebSocket messages (needs ``bunbase[msgpack]``).
        connect_timeout: seconds after which an attempt, or a request, fails.
        heartbeat_interval: seconds of silence after which the client sends a ping.
        heartbeat_timeout: seconds in which the server has to answer it; then the connection is dead.
        upgrade_interval: seconds between attempts to get back to a better transport.
        queue_limit: how many sends may wait while there is no connection.
        user: the user's id; believed by development servers only.
        attributes: the user's attributes, a JSON object of scalars; believed by development servers only.
        parameters: further query parameters.
        headers: further headers of the opening request.

    Events:
        ``connected``; ``disconnected`` with the ``RealtimeError`` that was the reason, or None;
        ``status`` with a ``ConnectionStatus``: the state or its reason has changed; ``state`` with the state alone;
        ``transport`` with the transport's name: another connection has taken over without interruption;
        ``error`` with a ``RealtimeError``, which is logged where there is no listener;
        ``message`` with a ``Message`` for this connection itself; ``gap``: the server's own stream may have lacked one.
        Another name is a ``ValueError``.
    """

    _EVENTS = ("connected", "disconnected", "error", "status", "state", "transport", "message", "gap")
    _WITHDRAWN = MappingProxyType({"reconnecting": "use 'state': it is 'offline' then, and status.reason is why"})

    def __init__(  # noqa: PLR0913
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        get_token: GetToken | None = None,
        reconnect: bool = True,
        reconnect_delay: float = 1.0,
        max_reconnect_delay: float = 30.0,
        max_reconnect_attempts: float = math.inf,
        transports: Sequence[str] = ("websocket", "sse", "polling"),
        format: Format = "json",
        connect_timeout: float = 10.0,
        heartbeat_interval: float = 25.0,
        heartbeat_timeout: float = 10.0,
        upgrade_interval: float = 30.0,
        queue_limit: int = 1000,
        user: str | None = None,
        attributes: Mapping[str, str | float | bool | None] | None = None,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._options = Options(
            reconnect, reconnect_delay, max_reconnect_delay, max_reconnect_attempts, tuple(transports),
            connect_timeout, heartbeat_interval, heartbeat_timeout, upgrade_interval, queue_limit,
        )  # fmt: skip
        given = api_key is not None
        url, api_key = given_or_set(url, api_key)
        expect("headers", headers, (Mapping, NoneType))
        query = query_of(api_key, user, attributes, parameters, given=given)
        self._address = Address(url, query, headers or {}, format)
        self._manager = _Manager(self, queue_limit)
        tokens = TokenSource.of(token, get_token)
        self._connection = ConnectionManager(self._address, self._options, self._manager, self._on_state, tokens)
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._phase: Phase = "closed"
        self._status = ConnectionStatus()
        self._state_changed = asyncio.Event()
        self._reason: RealtimeError | None = None
        self._channels: dict[str, Channel] = {}
        self._queries = 0
        self._mark = secrets.token_hex(3)

    def __repr__(self) -> str:
        over = "" if self.transport is None else f" over {self.transport}"
        return f"<Realtime {self._address.shown} {self._status.state}{over}>"

    @property
    def state(self) -> ConnectionState:
        """The ``state`` of ``status``."""
        return self._status.state

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection, and if not, why."""
        return self._status

    @property
    def retry_at(self) -> float | None:
        """When the next attempt begins, as ``time.monotonic()`` counts; None: none is planned, or one is under way."""
        return self._connection.retry_at

    @property
    def transport(self) -> str | None:
        """The transport in use; None without a connection."""
        return None if self._connection.current is None else self._connection.current.name

    @property
    def connection_id(self) -> str | None:
        """The current connection's id; None without a connection."""
        link = self._connection.current
        return None if link is None else link.connected.get("connectionId")

    async def connect(self) -> None:
        """Connect, and wait until that is done. Raises ``RealtimeError`` (RT_001) when it fails for good. Other calls
        connect by themselves; this one waits for the connection.
        """
        while self._ending is not None:
            await asyncio.wait({self._ending})
        self._start()
        while self._phase in ("connecting", "reconnecting"):
            self._state_changed.clear()
            await self._state_changed.wait()
        if self._phase != "connected":
            raise self._reason or RealtimeError(ErrorCode.CONNECTION_FAILED, "disconnected")

    async def disconnect(self) -> None:
        """End the connection. Other clients see this client leave at once. ``connect`` restores the subscriptions."""
        own_loop(self._task)
        if self._ending is None and self._task is not None:
            self._ending = asyncio.create_task(self._end(self._task))
            self._ending.add_done_callback(self._ended)
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._manager.lost()
        await self._connection.closed()
        if self._phase != "closed":
            self._on_state("closed", None)
        self._manager.fail(RealtimeError(ErrorCode.CONNECTION_FAILED, "disconnected"), quiet=True)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending = self._task = None

    def reconnect_now(self) -> None:
        """The network has changed or returned: reconnect at once, and check an open connection."""
        self._connection.reconnect_now()

    def channel(
        self,
        name: str,
        *,
        presence: bool | Mapping[str, Any] | None = None,
        history: int = 0,
        filter: Mapping[str, Any] | None = None,
        encryption: Encryption | None = None,
        meta: bool = False,
        conflate: Mapping[str, Any] | None = None,
    ) -> Channel:
        """A channel by its name. The same name gives the same object, and options that are given again hold from the next
        subscription on; if the channel is subscribed already, those that differ are logged.

        Args:
            name: such as ``chat:room-123``.
            presence: join the presence list and receive it; a mapping sets the own state. On in ``presence:*``.
            history: how many of the last messages to get first.
            filter: ``events`` and ``where``: only matching messages are sent to this client.
            encryption: keys for end-to-end encryption of ``data``.
            meta: messages come with the annotation of their transaction (``Message.meta``).
            conflate: ``key`` and ``ms``: of the messages with one value at the path ``key`` of their data, the latest, and
                at most one in ``ms`` milliseconds.

        Raises:
            ValueError: it is the name of a collection, ``db:…``, which ``database`` is for.
        """
        expect_text("channel", name)
        if name.startswith("db:"):
            raise ValueError(f"{name}: no channel; use database().collection()")
        options = ChannelOptions(presence, history, filter, encryption, meta, conflate)
        if (channel := self._channels.get(name)) is None:
            channel = self._channels[name] = Channel(self._manager, ChannelState(name, options))
        elif late := channel._configure(options):
            _log.warning(
                "channel %s is subscribed already: its new %s will hold from the next subscribe() on", name, late
            )
        return channel

    async def when_seen(self, position: str, *, timeout: float = 30.0) -> None:
        """Wait until this client has all that a write has caused: its live queries show it, its channels have delivered it.
        So what an application shows in advance can go at that moment.

        Args:
            position: what ``realtime.position()`` returned in SQL, in the transaction or after it; or the ``position`` of
                a message or a snapshot.
            timeout: seconds.

        Raises:
            RealtimeError: ``RT_004``: the transaction was rolled back; ``RT_007``: it is no position of this database;
                ``RT_001``: it takes too long, for instance without a connection.
        """
        expect_text("position", position)
        expect_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                await self._manager.send({"type": "seen", "position": position})
        except TimeoutError:
            raise self._manager.late(f"{position} was not seen within {timeout:g} s") from None

    @overload
    def database(self) -> Database: ...

    @overload
    def database(self, typed: type[DB]) -> DB: ...

    def database(self, typed: type[Database] | None = None) -> Any:
        """Where live queries begin. ``typed``: ``TypedDatabase`` of ``realtime types --py``, for type checkers alone."""
        expect("typed", typed, (type, NoneType))
        return Database(self._live)

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    def _live(
        self, collection: str, spec: Mapping[str, Any], callback: Callback[Any] | None, options: Mapping[str, bool]
    ) -> QuerySubscription[Any]:
        self._start()
        self._queries += 1
        state = LiveState(f"q{self._queries}-{self._mark}", f"db:collection:{collection}", spec, options)
        live: QuerySubscription[Any] = QuerySubscription(self._manager, state, callback)
        self._manager.subscribe(live)
        return live

    def _start(self) -> None:
        loop = own_loop(self._task)
        if self._ending is not None:  # requests made from now on are rejected when the connection has ended
            return
        if self._task is None or self._task.done():
            self._set_state("connecting", None)
            self._task = loop.create_task(self._connection.run())
            self._task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """The connection manager has ended. If by a mistake of its own, that is not kept from the application."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "the connection failed", "exception": failure})
            self._on_state("failed", RealtimeError(ErrorCode.CONNECTION_FAILED, f"the client failed: {failure!r}"))

    def _on_state(self, phase: str, reason: RealtimeError | None) -> None:
        if phase == "transport":
            self._deliver("transport", self.transport)
            return
        before = self._phase
        if phase == "retrying":
            return self._set_state(before, reason)
        self._set_state(cast("Phase", phase), reason)
        if before == "connected" and phase != "connected":
            self._deliver("disconnected", reason)
        if phase in ("connected", "reconnecting"):
            self._deliver(phase, *([] if phase == "connected" else [reason]))
        elif reason is not None:
            self._manager.lost()
            self._manager.fail(reason)
            self._report_error(reason)

    def _set_state(self, phase: Phase, reason: RealtimeError | None) -> None:
        self._phase, self._reason = phase, reason
        self._state_changed.set()
        before, self._status = self._status, ConnectionStatus.of(phase, reason)
        if self._status != before:
            self._deliver("status", self._status)
        if self.state != before.state:
            self._deliver("state", self.state)


class _Manager(SubscriptionManager):
    """Passes messages without a subscription to the client's listeners, and connects when needed."""

    def __init__(self, realtime: Realtime, queue_limit: int) -> None:
        super().__init__(queue_limit)
        self._realtime = realtime
        self.hindrance = lambda: hindrance(realtime.status)

    def direct(self, event: str, *message: Message) -> None:
        """See ``SubscriptionManager``."""
        self._realtime._deliver(event, *message)

    def failed(self, error: RealtimeError) -> None:
        """See ``SubscriptionManager``."""
        self._realtime._report_error(error)

    def needed(self) -> None:
        """See ``SubscriptionManager``."""
        self._realtime._start()

    def here(self) -> None:
        """See ``SubscriptionManager``."""
        own_loop(self._realtime._task)
