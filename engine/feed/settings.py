"""The settings of a feed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import FeedError

__all__ = ["DecoderName", "FeedSettings"]

DecoderName = Literal["pgoutput", "wal2json", "auto"]

_SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """Settings of one feed. Times are in seconds, sizes in bytes.

    Attributes:
        slot_name: the replication slot, this node's own; made if it is missing.
        decoder: the output plugin. ``auto``: what the slot already uses, else ``pgoutput``.
        ephemeral: slot and node row are removed when the feed closes. Otherwise they stay for ``keep_slot``.
        failover: on PostgreSQL 17 and later the slot is a failover slot, which standbys can copy, and which
            is sent nothing that the standbys of ``synchronized_standby_slots`` lack. False: a slot is made without the
            property; one that has it keeps it.
        node_id: this node's name in ``realtime.nodes``; the slot's name if None.
        heartbeat_interval: time between two checks whether the slot needs a heartbeat to advance.
        heartbeat_bytes: WAL beyond the confirmed position that is worth a heartbeat; an idle database stays idle.
        lease: a node that has not renewed its lease for this time counts as dead, and its slot is dropped.
        keep_slot: the lease that a node with a lasting slot keeps after a clean shutdown.
        status_interval: longest time between two status updates (shorter if ``wal_sender_timeout`` requires it).
        silence: after this time without a message from a server that is not busy, the connection counts as dead.
        buffer_bytes: size of the events between socket and consumer; beyond it reading is suspended.
        transaction_memory: a transaction larger than this goes to a spill file.
        spill_dir: where; the system's temporary folder if None.
        shared: the events go to other processes, whose snapshots are not reported here: every crash of the server is
            announced, with the position up to which it lost nothing.
    """

    slot_name: str = "bunbase_realtime"
    decoder: DecoderName = "auto"
    ephemeral: bool = False
    failover: bool = True
    node_id: str | None = None
    heartbeat_interval: float = 10.0
    heartbeat_bytes: int = 1 << 20
    lease: float = 30.0
    keep_slot: float = 3600.0
    status_interval: float = 10.0
    silence: float = 60.0
    buffer_bytes: int = 32 << 20
    transaction_memory: int = 16 << 20
    spill_dir: Path | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        """Refuse what PostgreSQL would refuse later."""
        if not _SLOT_NAME.fullmatch(self.slot_name):
            raise FeedError(
                f"{self.slot_name!r} cannot name a replication slot: use 1 to 63 lower-case letters, digits and underscores"
            )

    @property
    def node(self) -> str:
        """This node's name in ``realtime.nodes``."""
        return self.node_id or self.slot_name
