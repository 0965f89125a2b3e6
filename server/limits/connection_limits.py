"""Limits of one connection, the same for every transport: of its bytes and times, and of its requests."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConnectionLimits", "SessionLimits"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Sizes in bytes, times in seconds.

    A message above ``message_size`` is discarded and answered with an error; above ``message_hard_cap`` the connection is
    closed. ``stall_timeout``: drop a congested connection after this many seconds without progress. ``ping_interval``,
    ``missed_pings``: drop a connection after this many unanswered pings in a row. ``close_timeout``: time for the peer to
    answer a close frame. ``authentication_timeout``: reject a client that is not authenticated within this time.
    ``early_size``: pause reading from a client that has sent more than this before it is authenticated.
    """

    message_size: int = 128 * 1024
    message_hard_cap: int = 1024 * 1024
    buffer_size: int = 1024 * 1024
    backlog: int = 4 * 1024 * 1024
    stall_timeout: float = 60.0
    ping_interval: float = 25.0
    missed_pings: int = 2
    close_timeout: float = 5.0
    authentication_timeout: float = 10.0
    early_size: int = 128 * 1024


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What the requests of one connection may ask for.

    ``message_size`` in bytes of JSON; ``message_rate`` and ``presence_rate`` (of updates of presence) per second,
    kept by :class:`server.limits.token_bucket.TokenBucket`.
    """

    subscriptions: int = 100
    message_rate: float = 100.0
    message_size: int = 128 * 1024
    presence_rate: float = 10.0
