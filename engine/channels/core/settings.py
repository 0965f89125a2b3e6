"""Tuning of the channel service."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ChannelSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Times are in seconds, sizes in bytes.

    Attributes:
        node_id: this node's name in ``realtime.nodes``; its connections go when its lease has run out.
        max_history: messages that ``history`` brings at most; the rest is read by REST.
        max_replay: messages that ``since`` brings at most; a client that missed more gets ``recovered: false``.
        max_replay_bytes: bytes of payload that ``since`` brings at most; a client that missed more gets
        ``recovered: false``.
        max_history_bytes: bytes of payload that ``history`` brings at most; beyond it, it brings fewer messages.
        linger: how long a publish may wait for others to share its commit, behind a commit of many.
        batch: messages per commit at most.
        queue: publishes that may wait; beyond it, publishing waits (back-pressure).
        record_interval: how often the commit positions of delivered messages are written under load; after a pause: at once.
        trim_interval: how often a snapshot is taken to let go of what is recorded.
        maintenance_interval: how often partitions are created and dropped.
        partitions_ahead: days for which partitions are made ahead.
        connections: database connections for reads and writes, beside the publisher's and the recorder's.
        timeout: how long a write may take.
        publish_timeout: after which a message that could not be stored gets an error.
        others_wait: how long messages whose commits the stream does not have wait for nodes that may know their positions,
        beside those that the database shows; nodes behind NATS have no slots of their own.
        sessions: whether the rows of ``realtime.sessions`` are kept.
    """

    node_id: str
    max_history: int = 1000
    max_replay: int = 10_000
    max_replay_bytes: int = 64 << 20
    max_history_bytes: int = 16 << 20
    linger: float = 0.002
    batch: int = 500
    queue: int = 10_000
    record_interval: float = 0.1
    trim_interval: float = 1.0
    maintenance_interval: float = 60.0
    partitions_ahead: int = 3
    connections: int = 4
    timeout: float = 30.0
    publish_timeout: float = 30.0
    others_wait: float = 0.0
    sessions: bool = False
