"""The settings of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.feed.table_interest import FIRST_CHANNEL_TOPIC

__all__ = ["ClusterSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How relays and nodes reach NATS, and the stream of a slot. Times are in seconds, sizes in bytes.

    Attributes:
        urls: of the NATS servers (``nats://user:password@host:4222``, ``tls://...``).
        slot: the replication slot's name, which names the stream and its subjects.
        ca: file of the certificates that NATS servers are checked by; None: those of the system.
        origin: JetStream domain of the primary region. With it nodes read a mirror of the stream, in another region, and
            ``urls`` are of the NATS servers there (:mod:`engine.cluster.mirror`); None: they read the stream itself.
        replicas: NATS servers that have the stream.
        max_bytes: of the stream; beyond it the oldest messages go.
        max_age: of a message in the stream.
        beat: longest time between two messages of the leading relay.
        silence: after this time without a message the relay counts as away.
        lease: after this time without a sign of life another relay takes the place of the leading one.
        publish_timeout: a leading relay that cannot publish for this time gives its place to another one.
        answer: NATS has this time for a connection, for an answer and for an acknowledgement.
        window: messages that wait for the acknowledgement of NATS are no more than these bytes.
        index: after this time a sign of life follows an event that not all nodes take.
        cool_down: a node goes on to take the transactions of a table, or of channels, for this time after it has looked at
            them last.
    """

    urls: tuple[str, ...]
    slot: str
    ca: Path | None = None
    origin: str | None = None
    replicas: int = 1
    max_bytes: int = 1 << 30
    max_age: float = 600.0
    beat: float = 1.0
    silence: float = 5.0
    lease: float = 1.0
    publish_timeout: float = 5.0
    answer: float = 2.0
    window: int = 16 << 20
    index: float = 0.1
    cool_down: float = 30.0

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return f"realtime_{self.slot}"

    @property
    def prefix(self) -> str:
        """Of all subjects."""
        return f"realtime.{self.slot}"

    @property
    def events(self) -> str:
        """The subject of events that every node takes."""
        return f"{self.prefix}.events"

    @property
    def tables(self) -> str:
        """All subjects of transactions of single tables."""
        return f"{self.prefix}.table.*"

    @property
    def channels(self) -> str:
        """All subjects of messages of channels."""
        return f"{self.prefix}.channel.*"

    def subject(self, topic: int) -> str:
        """The subject of a topic's events."""
        if topic >= FIRST_CHANNEL_TOPIC:
            return f"{self.prefix}.channel.{topic - FIRST_CHANNEL_TOPIC}"
        return f"{self.prefix}.table.{topic}" if topic else self.events

    def topic(self, subject: str) -> int:
        """The topic of the events of ``subject``."""
        head, _, last = subject.rpartition(".")
        if head == f"{self.prefix}.channel":
            return FIRST_CHANNEL_TOPIC + int(last)
        return int(last) if head == f"{self.prefix}.table" else 0

    @property
    def pulses(self) -> str:
        """The subject of the leading relay's signs of life."""
        return f"{self.prefix}.pulses"

    @property
    def control(self) -> str:
        """The subject of what nodes send to the leading relay; it is not stored."""
        return f"{self.prefix}.control"

    @property
    def crossing(self) -> str:
        """The prefix of the subjects over which mirrors are filled; none of the stream."""
        return f"realtime_mirror.{self.slot}"
