"""All settings in one place. :mod:`server.app.loading` reads them from their sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from engine.channels.core.settings import ChannelSettings
from engine.cluster.settings import ClusterSettings
from engine.errors import RealtimeError
from engine.feed.settings import FeedSettings
from engine.identity.address_lists import AddressLists
from engine.live.settings import LiveSettings
from server.alerts.settings import AlertWebhook
from server.analytics.settings import AnalyticsSettings
from server.auth.issuers import TokenIssuer, check_distinct
from server.auth_handler.settings import HandlerSettings
from server.balance.settings import BalanceSettings
from server.limits.settings import LimitSettings
from server.logs.clients import Kind
from server.tracing.settings import TracingSettings
from server.workers.nats_settings import NatsSettings

__all__ = ["PREFIX", "WITH_SECRETS", "Settings", "SettingsError"]

PREFIX: Final = "REALTIME_"
"""Of their names in the environment."""

WITH_SECRETS: Final = ("alert_webhook", "auth_handler", "auth_issuers", "dsn", "nats_url", "pooled_dsn", "rest_key")
"""Settings whose values are never shown."""


class SettingsError(RealtimeError):
    """A setting is unknown or has a wrong value; the message names it and where it came from."""


class Settings(LimitSettings, AnalyticsSettings, TracingSettings, NatsSettings, BalanceSettings):
    """What can be set. Names in the environment are upper case with ``REALTIME_`` in front, in the file as here."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    dsn: str | None = Field(None, description="connection string of the database (libpq URI or key=value)")
    pooled_dsn: str | None = Field(
        None, description="connection string of a pooler (PgBouncer) before it, for all but the replication connection"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int | None = Field(
        None, ge=1, le=256, description="processes that serve on the port; one per processor if it is not given"
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate with its chain: the server then speaks TLS (https, wss)"
    )
    tls_key: Path | None = Field(None, description="PEM file of its key; without it the certificate's file has the key")

    slot_name: str = Field("bunbase_realtime", pattern=r"^[a-z0-9_]{1,63}$", description="this node's replication slot")
    slot_failover: bool = Field(
        True,
        description="on PostgreSQL 17 and later the slot is a failover slot: standbys can copy it, and clients see nothing "
        "that the standbys of synchronized_standby_slots lack",
    )
    ephemeral: bool = Field(
        False, description="drop the slot when this node stops, instead of keeping it for the next start"
    )
    throw_away: bool | None = Field(None, description="the former name of ephemeral, which counts if that is not given")
    decoder: Literal["auto", "pgoutput", "wal2json"] = Field("auto", description="output plugin of the slot")
    heartbeat_interval: float = Field(
        10.0, gt=0, description="seconds between looks at whether the slot must be moved on"
    )
    definitions_interval: float = Field(
        10.0,
        gt=0,
        le=60,
        description="seconds between looks at all definitions, for what no event trigger announces",
    )
    lease: float = Field(30.0, ge=3, description="seconds after which the other nodes take over from a silent node")
    pool_size: int = Field(8, ge=1, le=100, description="database connections that read rows for live queries")
    channels_pool_size: int = Field(
        4,
        ge=2,
        le=100,
        description="database connections that write for the channels; as many and one more read histories",
    )

    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="Origin headers from which browsers may connect; * is any"
    )
    allowed_ips: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses and CIDR blocks that clients may come from; empty: any"
    )
    denied_ips: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="addresses and CIDR blocks that clients may not come from, also if they are among the allowed ones",
    )
    open_channels: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="patterns of the channels outside public:, presence: and private: that clients may use"
    )
    anonymous_channels: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="patterns of those of them, and of presence:, that clients without a token may use"
    )
    trust_user_parameter: bool = Field(
        False, description="believe ?user= in the address of a WebSocket; for development only"
    )
    auth_issuers: tuple[TokenIssuer, ...] = Field(
        (), description="issuers of the tokens that are accepted, each a table (JSON in the environment)"
    )
    auth_leeway: float = Field(
        10.0, ge=0, le=300, description="seconds by which the clocks of issuers may differ from this one"
    )
    auth_handler: HandlerSettings | None = Field(
        None,
        description="function or webhook that judges the tokens of no such issuer, a table (JSON in the environment)",
    )
    session_validation: Literal["off", "optional", "required"] = Field(
        "off",
        description="check the session that a token names against realtime.sessions; required: refuse tokens without one",
    )
    anonymous_role: str = Field(
        "anonymous",
        min_length=1,
        max_length=63,
        description="role as which clients without a token read, if it is served",
    )
    claims_setting: str = Field(
        "request.jwt.claims",
        pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$",
        description="PostgreSQL setting in which policies find the claims of a token",
    )
    allow_anonymous: bool = Field(True, description="accept clients without a token, as anonymous ones")
    content_hook: str | None = Field(
        None, description="function that is asked about each message of a client, as module:function"
    )
    content_hook_timeout: float = Field(1.0, gt=0, le=60, description="seconds that it may take")
    content_hook_errors: Literal["deny", "allow"] = Field(
        "deny", description="what becomes of a message if it fails or takes longer"
    )
    require_api_key: bool = Field(
        False, description="refuse clients without an API key, and REST requests without a key also from this machine"
    )
    rest_key: SecretStr | None = Field(
        None, description="key for REST requests, beside secret API keys; without one this machine needs no key"
    )
    rest_pool_size: int = Field(4, ge=1, le=100, description="database connections that REST requests share")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses and CIDR blocks of proxies whose X-Forwarded-For is believed"
    )
    proxy_protocol: bool = Field(
        False,
        description="connections of the trusted proxies begin with a header of the PROXY protocol, version 1 or 2",
    )
    session_timeout: float = Field(
        30.0, gt=0, description="seconds without a request after which a polling client counts as disconnected"
    )
    drain_time: float = Field(
        10.0, ge=0, description="seconds over which clients are asked to reconnect before the server stops; 0: at once"
    )

    dashboard: bool = Field(
        False, description="serve the page /dashboard, which shows operators what the REST API answers them"
    )
    alert_interval: float = Field(10.0, ge=1, le=300, description="seconds between looks at what raises alerts")
    alert_webhook: AlertWebhook | None = Field(
        None, description="where alerts are sent to, a table (JSON in the environment)"
    )
    metrics: bool = Field(True, description="count what connections do and how long it takes; GET /metrics")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe messages to log")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")
    log_events: Annotated[tuple[Kind, ...], NoDecode] = Field(
        ("connections", "authentication", "authorization", "channels"),
        description="kinds of events of clients to log, beside those of the server",
    )

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, given: dict[str, object]) -> dict[str, object]:
        """A setting under the name that it had."""
        former = given.get("throw_away")
        return given if former is None or "ephemeral" in given else {**given, "ephemeral": former}

    @field_validator(
        "allowed_origins",
        "open_channels",
        "anonymous_channels",
        "allowed_ips",
        "denied_ips",
        "trusted_proxies",
        "log_events",
        mode="before",
    )
    @classmethod
    def _split(cls, given: object) -> object:
        """In the environment a list is JSON, or simply separated by commas."""
        if not isinstance(given, str):
            return given
        return json.loads(given) if given.lstrip().startswith("[") else given.split(",")

    @field_validator("allowed_origins")
    @classmethod
    def _normal_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin.strip().rstrip("/").lower() for origin in origins)

    @field_validator("allowed_ips", "denied_ips", "trusted_proxies")
    @classmethod
    def _address_blocks(cls, blocks: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(block.strip() for block in blocks if block.strip())
        AddressLists(found)
        return found

    @field_validator("auth_issuers")
    @classmethod
    def _distinct_issuers(cls, issuers: tuple[TokenIssuer, ...]) -> tuple[TokenIssuer, ...]:
        check_distinct(issuers)
        return issuers

    @model_validator(mode="after")
    def _fit_each_other(self) -> Settings:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key is given without tls_certificate, so the server would not speak TLS")
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError("proxy_protocol is given without trusted_proxies: no client's header would be believed")
        if self.country_header is not None and not self.trusted_proxies:
            raise ValueError("country_header is given without trusted_proxies: no client's header would be believed")
        if self.proxy_protocol and self.tls_certificate is not None:
            raise ValueError("proxy_protocol and tls_certificate exclude each other: let the proxy end TLS")
        return self

    def of_worker(self, number: int, count: int) -> Settings:
        """The settings of one of ``count`` workers, counted from 1: its share of what a machine has."""
        planned = self.planned_connections
        return self.model_copy(
            update={
                "pool_size": _share(self.pool_size, number, count),
                "rest_pool_size": _share(self.rest_pool_size, number, count),
                "channels_pool_size": _share(self.channels_pool_size, number, count, 2),
                "planned_connections": None if planned is None else _share(planned, number, count),
            }
        )

    @property
    def feed_settings(self) -> FeedSettings:
        """Of the replication stream."""
        return FeedSettings(
            slot_name=self.slot_name,
            node_id=self.cluster_name if self.nats_url else None,
            decoder=self.decoder,
            ephemeral=self.ephemeral,
            failover=self.slot_failover,
            heartbeat_interval=self.heartbeat_interval,
            lease=self.lease,
        )

    def channel_settings(self, node_id: str) -> ChannelSettings:
        """Settings of the channels of a node."""
        return ChannelSettings(
            node_id=node_id, connections=self.channels_pool_size, sessions=self.session_validation != "off"
        )

    @property
    def cluster(self) -> ClusterSettings | None:
        """The cluster that this node is of; None: it has a slot of its own."""
        return self.cluster_of(self.slot_name)

    @property
    def cluster_name(self) -> str:
        """This node's name in the cluster."""
        return self.name_in_cluster(self.slot_name, self.port)

    def live_settings(self, *, stream_generated: bool) -> LiveSettings:
        """Settings of the live queries. ``stream_generated``: see :class:`engine.live.settings.LiveSettings`."""
        return LiveSettings(
            readers=self.pool_size,
            stream_generated=stream_generated,
            watch_interval=self.definitions_interval,
            anonymous_role=self.anonymous_role,
            claims_setting=self.claims_setting,
            max_rows=self.max_query_rows,
            read_timeout_ms=round(self.query_timeout * 1000),
            reads_per_user=self.max_reads_per_user,
            read_memory=self.query_memory_size,
            read_temporary=self.query_temporary_size or None,
            work_share=self.max_work_share,
        )


def _share(amount: int, number: int, count: int, least: int = 1) -> int:
    """Of ``amount``, what one of ``count`` gets: all of it together, and ``least`` at least for each."""
    return max(least, amount // count + (number <= amount % count))
