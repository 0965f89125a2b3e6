"""What one connection may cost, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConnectionLimits"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Sizes in bytes, times in seconds.

    A message above ``message_size`` is thrown away and answered with an error; above ``message_hard_cap`` the
    connection is closed. ``stall_timeout``: a congested connection from which nothing could be sent for so long is
    dropped. ``ping_interval``, ``missed_pings``: silence for so many pings in a row drops it as well. ``close_timeout``: so
    long the other side has to answer a close frame. ``authentication_timeout``: a client that was not authenticated within
    this time is refused. ``early_size``: when the client has sent more than this before it was authenticated, nothing more
    is read from it until it is.
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
