"""How a client connects, reconnects and detects a dead connection. Times in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bunbase.transports import TRANSPORTS

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """See ``Realtime`` for their meaning. Raises ``ValueError`` for an invalid value."""

    reconnect: bool
    reconnect_delay: float
    max_reconnect_delay: float
    max_reconnect_attempts: float
    transports: Sequence[str]
    connect_timeout: float
    heartbeat_interval: float
    heartbeat_timeout: float
    upgrade_interval: float
    queue_limit: int

    def __post_init__(self) -> None:
        unknown = [name for name in self.transports if name not in TRANSPORTS]
        if unknown or not self.transports:
            raise ValueError(f"transports: {list(self.transports)!r}; known are {', '.join(TRANSPORTS)}")
        for name in ("connect_timeout", "heartbeat_interval", "heartbeat_timeout", "upgrade_interval"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be more than 0 seconds")
        for name in ("reconnect_delay", "max_reconnect_delay", "max_reconnect_attempts", "queue_limit"):
            if math.isnan(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative")
