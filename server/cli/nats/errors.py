"""The error of ``realtime nats-config``."""

from __future__ import annotations

from engine.errors import RealtimeError

__all__ = ["NatsConfigError"]


class NatsConfigError(RealtimeError):
    """The files cannot be written."""
