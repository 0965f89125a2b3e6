"""Answers about the state of the service: nodes, slots, channels, live queries, latencies, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from server.rest.description.models import Body, Connection, Text

__all__ = [
    "ActiveChannel",
    "ActiveChannelList",
    "Alert",
    "AlertList",
    "AlertRule",
    "AlertRuleChanges",
    "AlertRuleList",
    "ConnectionDetails",
    "Explained",
    "Latencies",
    "LiveQuery",
    "LiveQueryList",
    "Move",
    "Node",
    "NodeList",
    "Slot",
    "SlotList",
    "StageLatency",
]

_Next = Annotated[
    str | None, Field(description="Give it as `after` to get the next page; null: this was the last one.")
]
_Count = Annotated[int | None, Field(description="How many match on all pages together; null: that was not asked for.")]


class ConnectionDetails(Connection):
    """A connected client, with what only one is asked about."""

    metadata: dict[str, object] = Field(description="Of its row in `realtime.connections`.")


class Node(Body):
    """A node: a running server, or one that was stopped and keeps its slot."""

    node: str
    host: str | None
    pid: int | None
    version: str | None = Field(description="Of the service; null: it wrote no figures yet.")
    schema_version: int | None = Field(description="Of `sql/schema`; null: it was stopped.")
    started_at: datetime
    renewed_at: datetime | None
    lease_expires_at: datetime = Field(description="From when on other nodes may drop its slot, unless it renews.")
    state: str = Field(description="ok, degraded, draining, starting, stopped or expired.")
    reason: str | None = Field(description="Why it is degraded.")
    slot: str | None
    position: str | None = Field(description="The commit that its lists show last.")
    connections: int
    channels: int | None = Field(description="Channels with subscribers on it.")
    subscriptions: int | None
    queries: int | None = Field(description="Live queries that it keeps.")
    query_subscriptions: int | None
    messages: int | None = Field(description="Messages that the stream brought to it since it started.")
    reads: int | None = Field(description="Reads for live queries since it started.")
    collected_at: datetime | None = Field(description="When it wrote its figures last.")
    url: str | None = Field(description="Its address.")
    region: str | None = Field(description="Where it is.")
    capacity: int | None = Field(description="Connections that it can have; null: unlimited, or not known yet.")
    cpu: float | None = Field(description="Processor time of the last seconds, as a part of one processor.")
    loop_lag: float | None = Field(description="Seconds by which its event loop was late.")
    feed_lag: float | None = Field(description="Seconds by which it is behind the WAL.")
    ready: bool | None = Field(description="Whether it accepts clients.")


class Move(Body):
    """An order that a node takes within two seconds."""

    id: int = Field(description="In `realtime.moves`, which has how many clients were asked.")


class NodeList(Body):
    """All nodes."""

    nodes: list[Node]


class Slot(Body):
    """A replication slot of the cluster, or one that a node should have."""

    slot: str
    slot_type: str | None = Field(description="logical or physical; null: it is missing.")
    plugin: str | None
    database: str | None
    own: bool = Field(description="It belongs to the nodes of this database.")
    node: str | None
    host: str | None
    active: bool | None
    active_pid: int | None
    restart_lsn: str | None
    confirmed_flush_lsn: str | None
    retained_bytes: int | None = Field(description="WAL that it keeps from being removed.")
    lag_bytes: int | None = Field(description="WAL written since the confirmed position.")
    lag: float | None = Field(description="Seconds that the last confirmation took, or since when it is inactive.")
    wal_status: str | None = Field(description="reserved, extended, unreserved, lost, unused or missing.")
    safe_wal_size: int | None
    invalidation_reason: str | None
    inactive_since: datetime | None
    failover: bool | None
    synced: bool | None


class SlotList(Body):
    """All slots."""

    slots: list[Slot]


class StageLatency(Body):
    """How long messages spend in a stage of their delivery."""

    stage: Literal["feed", "apply", "encode", "write", "total"]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    count: int = Field(description="Observations; without any the others are null.")


class Latencies(Body):
    """Latencies of all nodes together."""

    minutes: float = Field(description="Over how many minutes.")
    stages: list[StageLatency]


class ActiveChannel(Body):
    """A channel that is in use, or has stored messages, or is a room."""

    channel: str
    room: bool = Field(description="It has settings of its own.")
    subscribers: int = Field(description="Subscriptions of connections, over all nodes.")
    members: int = Field(description="Users that are present.")
    capacity: int | None = Field(description="How many users may be present; null: any number.")
    last_message_at: datetime | None = Field(description="When the last stored message was published.")
    messages: int | None = Field(description="Stored messages; null unless `history` is asked for.")
    history_bytes: int | None = Field(description="Their size; null unless `history` is asked for.")


class ActiveChannelList(Body):
    """A page of channels."""

    channels: list[ActiveChannel]
    next: _Next
    count: _Count


class LiveQuery(Body):
    """A live query, with the figures of all nodes that keep it."""

    query_id: str
    collection: str
    role: str = Field(description="Of its subscribers.")
    strategy: str = Field(description="incremental or re-read.")
    reason: str | None = Field(description="Why it is re-read.")
    query: str = Field(description="As the client sent it, with its values: the first 1,000 characters of its JSON.")
    subscribers: int
    rows: int
    reads: int
    read_ms: float = Field(description="How long the reads took, altogether.")
    cost: float | None = Field(description="Of a read, as PostgreSQL estimates it; null: not asked for.")
    nodes: list[str]


class LiveQueryList(Body):
    """A page of live queries."""

    queries: list[LiveQuery]
    next: _Next
    count: _Count


class Explained(Body):
    """How a live query is kept, and how PostgreSQL reads it."""

    query_id: str
    strategy: str
    reason: str | None = Field(description="Why it is re-read.")
    sql: str | None = Field(description="What reads its rows; null: another node keeps it.")
    parameters: list[str | None] | None = Field(description="The values of `$1`, `$2` and so on.")
    plan: str | None = Field(description="EXPLAIN of it as the role of the query; null: see `note`.")
    note: str | None = Field(description="Why there is no plan.")


class Alert(Body):
    """An alert, open or past."""

    id: int
    rule: str
    measure: str
    subject: str = Field(description="The node or the slot.")
    severity: str
    value: float = Field(description="What was measured when it was raised.")
    threshold: float
    description: str | None
    raised_at: datetime
    cleared_at: datetime | None
    cleared_because: str | None = Field(description="measure, rule or subject.")


class AlertList(Body):
    """A page of alerts, the latest first."""

    alerts: list[Alert]
    next: _Next
    count: _Count


class AlertRule(Body):
    """A rule of alerts."""

    name: str
    measure: str
    threshold: float
    clear_at: float | None = Field(
        description="Cleared when the measure is not above it any more; null: the threshold."
    )
    hold: float = Field(description="Seconds for which it must have been above.")
    severity: str
    enabled: bool
    description: str | None


class AlertRuleList(Body):
    """All rules of alerts."""

    rules: list[AlertRule]


_Level = Annotated[float, Field(ge=0, le=1e18)]


class AlertRuleChanges(Body):
    """The fields to change; omitted fields stay."""

    threshold: _Level = Field(0, description="Raised while the measure is above it; shares are 0 to 1.", examples=[0.9])
    clear_at: _Level | None = Field(None, description="Cleared when the measure is not above it; null: the threshold.")
    hold: Annotated[float, Field(ge=0, le=86400)] = Field(0, description="Seconds for which it must have been above.")
    severity: Literal["info", "warning", "critical"] = Field("warning", description="For those who get the alert.")
    enabled: bool = Field(True, description="false: it raises nothing, and what it raised is cleared.")
    description: Text | None = Field(None, description="What to do.")
