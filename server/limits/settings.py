"""Settings that bound what clients may ask for, as the limits of connections, requests and live queries take them."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from engine.live.query_accounts import QueryLimits
from engine.work_share import TARGET
from server.limits.connection_limiter import ArrivalLimits
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.limits.reading_shares import REFUSED_SHARE

__all__ = ["LimitSettings"]


_SOCKETS_PER_CONNECTION = 3  # an event stream, and requests beside it


class LimitSettings(BaseSettings):
    """A part of :class:`server.app.settings.Settings`."""

    max_subscriptions: int = Field(100, ge=1, description="subscriptions per connection")
    max_message_rate: float = Field(100.0, ge=1, description="messages per second and connection")
    max_published_bytes: int = Field(
        4 << 20,
        ge=1,
        description="bytes of messages per second that one user, or one address without a token, may publish",
    )
    max_presence_rate: float = Field(10.0, ge=1, description="presence updates per second and connection")
    planned_connections: int | None = Field(
        None,
        ge=1,
        description="connections that a node is planned for; without it, what its limit of open files allows",
    )
    max_connections_per_user: int = Field(10, ge=1, description="connections of one user, on all nodes together")
    max_connections_per_ip: int = Field(
        100, ge=1, description="connections from one address (IPv6: one /64), on all nodes together"
    )
    max_sockets_per_ip: int | None = Field(
        None,
        ge=1,
        description="sockets from one address that are no WebSockets; without it, three times max_connections_per_ip",
    )
    max_connection_rate: int = Field(100, ge=1, description="new connections per minute from one address")
    max_reading_share: float = Field(
        0.1, gt=0, le=1, description="part of the processor that reading the WebSockets of one address may take"
    )
    max_refused_share: float = Field(
        REFUSED_SHARE, gt=0, le=1, description="part of the processor that reading what is refused of it may take"
    )
    max_work_share: float = Field(
        TARGET,
        gt=0,
        le=1,
        description="part of the processor for all users and addresses together that have had much done lately",
    )
    max_rest_rate: int = Field(1000, ge=1, description="REST requests per second from one address")
    max_windows: int = Field(
        100, ge=1, description="different live queries per connection that are followed incrementally"
    )
    max_windows_per_user: int = Field(500, ge=1, description="the same, of all connections of a user to this node")
    max_reread_queries: int = Field(50, ge=1, description="different live queries per connection that are re-read")
    max_reread_queries_per_user: int = Field(
        200, ge=1, description="the same, of all connections of a user to this node"
    )
    max_reads_per_user: int = Field(
        2, ge=1, description="reads of a user's live queries at the same time; at most half of pool_size"
    )
    max_query_rows: int = Field(10_000, ge=1, le=100_000, description="rows of a live query")
    max_query_cost: float = Field(
        100_000.0,
        ge=0,
        description="cost that PostgreSQL estimates for a live query that is re-read, when it is subscribed to; 0: any",
    )
    query_timeout: float = Field(30.0, ge=0.1, le=3600, description="seconds that reading a live query may take")
    query_memory_size: int = Field(16, ge=1, le=65536, description="megabytes for a sort or hash of such a read")
    query_temporary_size: int = Field(1024, ge=0, description="megabytes of temporary files of a read; 0: no bound")
    max_message_size: int = Field(128 * 1024, ge=1024, le=1024 * 1024, description="bytes of one client message")
    max_buffer_size: int = Field(
        1024 * 1024,
        ge=16 * 1024,
        description="bytes that may wait for one connection before its live queries are conflated",
    )
    max_backlog: int = Field(
        4 * 1024 * 1024,
        ge=16 * 1024,
        description="bytes that may wait for one connection before it is closed because of its channels",
    )
    stall_timeout: float = Field(
        60.0, gt=0, description="seconds without progress after which a congested connection is dropped"
    )
    authentication_timeout: float = Field(
        10.0, gt=0, description="seconds within which a client must be authenticated, or it is asked to come again"
    )
    max_early_size: int = Field(
        128 * 1024,
        ge=16 * 1024,
        description="bytes that a WebSocket may send before it is authenticated; then nothing more is read from it",
    )
    ping_interval: float = Field(25.0, gt=0, description="seconds between pings")
    missed_pings: int = Field(2, ge=1, description="unanswered pings after which a connection is dropped")

    @property
    def user_timeout(self) -> float:
        """Seconds for which sent data may stay unacknowledged by a client."""
        return 2 * self.ping_interval

    @property
    def session_limits(self) -> SessionLimits:
        """Limits of one client's requests."""
        return SessionLimits(
            self.max_subscriptions, self.max_message_rate, self.max_message_size, self.max_presence_rate
        )

    @property
    def arrival_limits(self) -> ArrivalLimits:
        """Limits of the connections of one user, and of one address."""
        return ArrivalLimits(self.max_connections_per_user, self.max_connections_per_ip, self.max_connection_rate)

    @property
    def sockets_per_ip(self) -> int:
        """How many sockets of one address may be open before a request, with one, or between two."""
        return self.max_sockets_per_ip or _SOCKETS_PER_CONNECTION * self.max_connections_per_ip

    @property
    def query_limits(self) -> QueryLimits:
        """Limits of the live queries of one connection, and of one user."""
        return QueryLimits(
            self.max_windows,
            self.max_windows_per_user,
            self.max_reread_queries,
            self.max_reread_queries_per_user,
            self.max_query_cost or None,
        )

    @property
    def connection_limits(self) -> ConnectionLimits:
        """Limits of one connection, whatever its transport."""
        return ConnectionLimits(
            message_size=self.max_message_size,
            buffer_size=self.max_buffer_size,
            backlog=self.max_backlog,
            stall_timeout=self.stall_timeout,
            ping_interval=self.ping_interval,
            missed_pings=self.missed_pings,
            authentication_timeout=self.authentication_timeout,
            early_size=self.max_early_size,
        )
