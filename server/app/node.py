"""One running server: starts and stops the feed and the services, admits connections (origin, identity, state of the
server), and reports its health.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import structlog

from engine.channels.core.effects import ConnectionInserted
from engine.channels.core.messages.model import UnavailableError
from engine.channels.service import Channels
from engine.identity.address_lists import AddressLists
from engine.identity.principal import Principal
from engine.live.service import LiveQueries, make_reader
from engine.postgres.connections.pooler_check import check_pooler
from engine.stream.driver import StreamDriver
from server.analytics.service import Analytics
from server.app.authentication import authentication_of
from server.app.drain import Connections, drain
from server.app.insecure import insecure_settings
from server.app.observers import start_observers
from server.app.settings import Settings
from server.app.version import package_version
from server.auth.api_keys import KeyRing
from server.auth.authorizer import Action, Circumstances, NameRules
from server.auth.identity import HandshakeRejectedError, HandshakeRequest, delta_of, packed_of
from server.auth.origins import check_origin
from server.auth_handler.verifier import handler_of
from server.client.admission import Admission, Connection
from server.client.shared import SharedServices
from server.content.hook import ContentHook
from server.content.inspector import ContentInspector
from server.http.address_gate import REFUSAL
from server.http.rate_limits import rate_limit_headers, too_many
from server.limits.connection_limiter import ConnectionLimiter
from server.limits.exceeded import LimitExceededError
from server.limits.published_bytes import PublishedBytes
from server.limits.query_accounts import QueryAccounts
from server.limits.reading_shares import Arrivals, ReadingShares
from server.logs.clients import ClientLog
from server.observe.node_metrics import NodeMetrics
from server.observe.node_status import cluster_status, feed_status, live_status
from server.observe.refusals import CountedAuthenticator, CountedAuthorizer
from server.protocol.close_codes import CloseCode
from server.rules.authorizer import RuleAuthorizer
from server.rules.explain import Explanation
from server.rules.failures import RuleFailures
from server.rules.problems import RuleProblems
from server.session.session import Greeting, Session
from server.tracing.start import start_tracing
from server.transports.http_sessions import HttpSessions
from server.transports.websocket.websocket_connection import WebSocketConnection
from server.wire.wires import Wires
from server.wire.write_turns import WriteTurns
from server.workers.source import feed_of
from server.workers.worker import Worker

__all__ = ["Node"]

_BACKGROUND_TIMEOUT = 5.0  # seconds for requests that outlast their connections

_log = structlog.get_logger("realtime.node")


class Node:
    """Made before the database is reached, so that ``/health`` can answer at once.

    Accepts the connections of ``server.transports.websocket.upgrade`` and of ``sessions`` (SSE, long polling).
    """

    def __init__(self, settings: Settings, dsn: str, worker: Worker | None = None) -> None:
        self._settings = settings
        self._dsn = dsn
        self._limits, self._session_limits = settings.connection_limits, settings.session_limits
        self.metrics = NodeMetrics(package_version(), settings.planned_connections)
        self._id = uuid.uuid4().hex[:12]
        self._version = package_version()
        self._began = time.monotonic()
        self._insecure = insecure_settings(settings)
        self._feed = feed_of(dsn, settings.feed_settings, worker, package_version(), settings.cluster)
        self._node_id = self._feed.settings.node
        self.metrics.engine.follow_feed(self._feed)
        self._analytics = Analytics(settings)
        self._live: LiveQueries | None = None
        self._channels: Channels | None = None
        self._services: SharedServices | None = None
        self._shares: ReadingShares | None = None
        self._authorizer: RuleAuthorizer | None = None
        self._rules: RuleProblems | None = None
        self._connections = Connections()
        self._log = ClientLog(settings.log_events)
        self.addresses = AddressLists(settings.allowed_ips, settings.denied_ips)
        self._limiter = ConnectionLimiter(settings.arrival_limits)
        self.keys = KeyRing()
        self.sessions = HttpSessions(self, settings.session_timeout)
        self._stack = AsyncExitStack()
        self._draining = False
        self._stopping = False
        self._failed = asyncio.Event()
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Begin to follow the database.

        Raises ``FeedError`` or ``CatalogError`` if an operator must repair the setup first, and ``psycopg.Error`` if the
        database cannot be read.
        """
        for setting, reason in self._insecure.items():
            _log.warning("insecure_setting", setting=setting, reason=reason)
        hook = self._make_content_hook()  # first: a wrong name needs no database to be seen
        handler = None if self._settings.auth_handler is None else handler_of(self._settings.auth_handler)
        tracing = start_tracing(self._settings, self._node_id, self._version, self.metrics.meters.stages, self._stack)
        meters = self.metrics.meters if self._settings.metrics or tracing is not None else None
        stages = None if meters is None else meters.stages
        await self._stack.enter_async_context(self._feed)
        await self._feed.streaming()
        pooled = self._settings.pooled_dsn
        if pooled is not None:
            await check_pooler(self._dsn, pooled)
        tuning = self._settings.live_settings(stream_generated=self._feed.plugin != "wal2json")
        reader = make_reader(pooled or self._dsn, self._feed, tuning, pooled=pooled is not None)
        reading, refused = self._settings.max_reading_share, self._settings.max_refused_share
        self._shares = ReadingShares(reading, refused=refused, turns=reader.turns)
        stream = StreamDriver(self._feed, reader, stages=stages)
        live = LiveQueries(stream, reader, tuning, self.metrics.live)
        channels = Channels(
            self._dsn,
            stream,
            self._feed.lease,
            self._settings.channel_settings(self._node_id),
            pooled_dsn=pooled,
            metrics=self.metrics.publishing,
        )
        self._analytics.follow(channels)
        for service in (stream, live, channels):
            service.on_failure(self._fail)
        self._stack.push_async_callback(reader.close)
        await reader.open()
        self._stack.push_async_callback(live.stop)
        await live.start()
        self._stack.push_async_callback(stream.stop)
        stream.start()
        self._stack.push_async_callback(channels.stop)
        await channels.start()
        self._live, self._channels = live, channels
        self.metrics.engine.follow(stream, channels, reader)
        failures = RuleFailures(channels.store.keep)
        self._stack.push_async_callback(failures.stop)
        failures.start()
        self._rules = RuleProblems(channels.rules, failures.note)
        self._stack.push_async_callback(self._rules.close)
        self._limiter.follow(channels.core.census)
        channels.on_connection(self._shown)
        authentication = authentication_of(self._settings, handler, self.keys, channels, self._stack)
        names = NameRules(self._settings.open_channels, self._settings.anonymous_channels)
        self._authorizer = RuleAuthorizer(channels, names, failures.note)
        services = SharedServices(
            live,
            channels,
            CountedAuthorizer(self._authorizer, self.metrics.refusals),
            CountedAuthenticator(authentication.authenticator, self.metrics.refusals),
            content=ContentInspector(channels.policies),
            content_hook=hook,
            query_accounts=QueryAccounts(self._settings.query_limits, work=self._shares.work),
            published=PublishedBytes(self._settings.max_published_bytes, self._settings.max_message_size),
            meters=meters,
            usage=self._analytics.counter,
            tracing=tracing,
            wires=Wires.make(stages, self.metrics.meters.error),
            write_turns=WriteTurns(lambda: stream.behind),
            log=self._log,
            key_watch=authentication.key_watch,
            session_watch=authentication.session_watch,
        )
        self._stack.push_async_callback(services.background.drain, _BACKGROUND_TIMEOUT)
        self._services = services
        node_id, metrics = self._node_id, self.metrics
        start_observers(self._settings, node_id, self.status, metrics, live, channels, self._connections, self._stack)
        self._analytics.start(node_id, metrics.registry, channels, self._stack)
        _log.info("started", slot=self._settings.slot_name, plugin=self._feed.plugin, version=self._version)

    def _make_content_hook(self) -> ContentHook | None:
        settings = self._settings
        if settings.content_hook is None:
            return None
        allow = settings.content_hook_errors == "allow"
        return ContentHook(settings.content_hook, settings.content_hook_timeout, allow_on_error=allow)

    def _shown(self, connection: ConnectionInserted) -> None:
        """The stream shows a connection of any node."""
        if connection.node_id == self._node_id:
            self._limiter.shown(connection.connection_id)
        else:
            self._limiter.arrived_elsewhere(connection.ip)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the database was reached again; see :meth:`engine.feed.feed.Feed.on_reconnect`."""
        self._feed.on_reconnect(callback)

    def abandon(self) -> None:
        """The start has failed: remove everything that it created in the database."""
        self._feed.abandon()

    async def drain(self) -> None:
        """Stop accepting connections and ask the clients to reconnect; return when all are closed or it times out."""
        self._draining = True
        self._connections.close_unopened(CloseCode.TRY_AGAIN_LATER, "the server is stopping; try again")
        await drain(self._connections, self._settings.drain_time)

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self._failed.set()

    async def failed(self) -> None:
        """Wait until the node fails for good; ``failure`` holds the cause."""
        await self._failed.wait()

    def disconnect_all(self) -> None:
        """Close every connection."""
        self._stopping = True
        if self.failure is None:
            self._connections.close(CloseCode.GOING_AWAY, "the server is shutting down")
        else:
            self._connections.close(CloseCode.INTERNAL_ERROR, "the server failed; connect again")

    async def stop(self) -> None:
        """Stop following; the connections have been closed."""
        self._stopping = True
        await self._stack.aclose()
        _log.info("stopped")

    @property
    def message_hard_cap(self) -> int:
        """Bytes of the largest frame that is read at all."""
        return self._limits.message_hard_cap

    def accept(self, upgrade: HandshakeRequest) -> WebSocketConnection:
        """A new socket. Raises ``HandshakeRejectedError``."""
        if not self.addresses.admit(upgrade.ip):
            raise HandshakeRejectedError(HTTPStatus.FORBIDDEN, REFUSAL)
        packed = packed_of(upgrade)
        connection = WebSocketConnection(self.admit(upgrade, "websocket"), self.closed, packed=packed)
        self.accepted(connection)
        return connection

    def floods(self, ip: str) -> bool:
        """See ``ConnectionLimiter.floods``."""
        return self._limiter.floods(ip)

    def arrivals(self, ip: str) -> Arrivals | None:
        """See ``ReadingShares.arrivals``."""
        return None if self._shares is None else self._shares.arrivals(ip)

    def admit(self, handshake: HandshakeRequest, transport: str, secret: str | None = None) -> Admission:
        """Accept a connection. Raises ``HandshakeRejectedError`` for an origin that is not allowed, before the start, at the
        end, and for more connections than a client may have.
        """
        try:
            return self._admit(handshake, transport, secret)
        except HandshakeRejectedError as rejected:
            if self._log.connections:
                self._log.rejected(handshake.ip, transport, rejected.status, rejected)
            raise

    def _admit(self, handshake: HandshakeRequest, transport: str, secret: str | None) -> Admission:
        check_origin(handshake.origin, self._settings.allowed_origins)
        services = self.services
        usage = self._limiter.arrive(handshake.ip)
        if usage is not None and not usage.allowed:
            text = f"more than {usage.quota.amount:g} new connections per minute from this address"
            raise too_many(text, usage.wait, "max_connection_rate", rate_limit_headers(usage))
        principal = services.authenticator.identify(handshake)
        id = f"{self._id}-{os.urandom(16).hex()}"
        try:
            counted = self._limiter.enter(id, handshake.ip, None if principal is None else principal.user_id)
        except LimitExceededError as exceeded:
            raise too_many(str(exceeded), exceeded.retry_after, exceeded.limit) from exceeded
        greeting = Greeting(services.channels.epoch, self._settings.ping_interval, secret, delta_of(handshake))
        return Admission(
            Session(id, self._session_limits, greeting),
            handshake,
            transport,
            services,
            self._limits,
            principal,
            counted,
            None if self._shares is None else self._shares.of(handshake.ip),
        )

    def accepted(self, connection: Connection) -> None:
        """A connection was accepted."""
        self._connections.add(connection)

    @property
    def services(self) -> SharedServices:
        """What all clients share. Raises ``HandshakeRejectedError`` before the start and at the end."""
        if self._services is None or self._draining or self._stopping:
            raise HandshakeRejectedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "the server is starting or stopping; try again"
            )
        return self._services

    async def explain(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Explanation:
        """What the rules decide, and why. Raises ``UnavailableError``."""
        if self._authorizer is None:
            raise UnavailableError("the server is starting; try again")
        return await self._authorizer.explain(principal, action, channel, about)

    def closed(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)

    async def recorded(self) -> None:
        """Wait until the history has everything that is committed now. Raises ``RealtimeError`` (``RT_001``)."""
        if self._services is not None:
            await self._services.channels.recorded()

    def status(self) -> dict[str, Any]:
        """The body of ``GET /health``; ``status`` is ``ok``, ``starting``, ``degraded`` or ``draining``."""
        state, live, channels, failure = self._feed.state, self._live, self._channels, self.failure
        problem = live.problem if live is not None else None
        problems = self._feed.slot.problems + (channels.problems if channels is not None else [])
        working = state.status == "streaming" and not self._stopping
        well = working and not problems and (state.reason, failure, problem) == (None, None, None)
        return {
            "status": "draining" if self._draining else "starting" if live is None else "ok" if well else "degraded",
            "feed": feed_status(self._feed, live, failure),
            **cluster_status(self._feed),
            "problems": problems,
            **live_status(live),
            "channels": dict(channels.status()) if channels is not None else {},
            "content": {} if self._services is None else dict(self._services.content.status()),
            "rules": {"problems": [] if self._rules is None else self._rules.shown},
            "connections": len(self._connections),
            "refusedAddresses": self.addresses.refused,
            "insecure": list(self._insecure),
            "version": self._version,
            "uptimeSeconds": round(time.monotonic() - self._began),
        }
