"""One running server: its feed, its live queries, its connections, and how they are doing."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from engine.channels.service import Channels
from engine.channels.settings import ChannelSettings
from engine.feed.feed import Feed, FeedSettings
from engine.live.service import LiveQueries, LiveSettings
from engine.lsn import format_lsn
from server.authorizer import NameRules
from server.identity import Refused, Upgrade, member_of
from server.services import Services
from server.session import Session
from server.settings import Settings
from server.ws_connection import WebSocketConnection

__all__ = ["Node", "package_version"]

_FAREWELL = 5.0  # seconds for what clients asked for before they went

_log = structlog.get_logger("realtime.node")


def package_version() -> str:
    """The version of this installation."""
    try:
        return version("bunbase-realtime")
    except PackageNotFoundError:
        return "0+checkout"


class Node:
    """Made before the database is reached, so that ``/health`` can answer at once. The acceptor of ``server.ws``."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._id = uuid.uuid4().hex[:12]
        self._version = package_version()
        self._feed = Feed(dsn, _feed_settings(settings))
        self._live: LiveQueries | None = None
        self._channels: Channels | None = None
        self._services: Services | None = None
        self._connections: set[WebSocketConnection] = set()
        self._stack = AsyncExitStack()
        self._stopping = False

    async def start(self) -> None:
        """Begin to follow the database.

        Raises ``FeedError`` or ``CatalogError`` if that cannot work until somebody mends something, and ``psycopg.Error`` if
        the database cannot be read.
        """
        await self._stack.enter_async_context(self._feed)
        await self._feed.streaming()
        live = LiveQueries(
            self._dsn,
            self._feed,
            LiveSettings(readers=self._settings.pool_size, stream_generated=self._feed.plugin != "wal2json"),
        )
        channels = Channels(
            self._dsn,
            live,
            ChannelSettings(node_id=_feed_settings(self._settings).node, max_payload=self._settings.max_message_size),
        )
        self._stack.push_async_callback(live.stop)
        await live.start()
        self._stack.push_async_callback(channels.stop)
        await channels.start()
        self._live, self._channels = live, channels
        services = Services(live, channels, NameRules(self._settings.open_channels))
        self._stack.push_async_callback(services.background.drain, _FAREWELL)
        self._services = services
        _log.info("started", slot=self._settings.slot_name, plugin=self._feed.plugin, version=self._version)

    async def stop(self) -> None:
        """Stop following; the connections are closed by whoever serves them."""
        self._stopping = True
        await self._stack.aclose()
        _log.info("stopped")

    @property
    def message_hard_cap(self) -> int:
        """Bytes of the largest frame that is read at all."""
        return self._settings.connection_limits.message_hard_cap

    def accept(self, upgrade: Upgrade) -> WebSocketConnection:
        """A new connection. Raises ``Refused`` for an origin that is not allowed, before the start and at the end."""
        allowed, origin = self._settings.allowed_origins, upgrade.origin
        if origin is not None and "*" not in allowed and origin.lower() not in allowed:
            raise Refused(HTTPStatus.FORBIDDEN, f"connections from {origin} are not allowed")
        if self._services is None or self._stopping:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is starting or stopping; try again")
        id = f"{self._id}-{uuid.uuid4().hex}"
        connection = WebSocketConnection(
            Session(id, self._settings.session_limits),
            member_of(id, upgrade, trust_user_parameter=self._settings.trust_user_parameter),
            self._services,
            self._settings.connection_limits,
            self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    def status(self) -> dict[str, Any]:
        """What ``GET /health`` says; ``status`` is ``ok``, ``starting`` or ``degraded``."""
        state, lag, live = self._feed.state, self._feed.lag, self._live
        channels = self._channels
        failure = (live.failure if live is not None else None) or (channels.failure if channels is not None else None)
        well = state.status == "streaming" and not self._stopping and failure is None
        figures = live.status() if live is not None else {}
        return {
            "status": "starting" if live is None else "ok" if well else "degraded",
            "feed": {
                "position": format_lsn(live.position if live is not None else 0),
                "lagBytes": lag.bytes,
                "lagSeconds": round(lag.seconds, 3),
                "state": state.status if failure is None else "failed",
                "reason": state.reason if failure is None else str(failure),
                "slot": self._settings.slot_name,
                "decoder": self._feed.plugin,
            },
            "queries": figures.get("queries", 0),
            "subscriptions": figures.get("subscriptions", 0),
            "channels": dict(channels.status()) if channels is not None else {},
            "connections": len(self._connections),
            "version": self._version,
        }


def _feed_settings(settings: Settings) -> FeedSettings:
    return FeedSettings(
        slot_name=settings.slot_name,
        decoder=settings.decoder,
        throw_away=settings.throw_away,
        heartbeat_interval=settings.heartbeat_interval,
        lease=settings.lease,
    )
