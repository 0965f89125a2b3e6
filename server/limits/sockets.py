"""How many sockets of one network may be open that are no WebSockets: those on which no request has come, or one that goes
on, or between two requests.

They come before every other limit: a connection of the protocol counts from its handshake on, a request with its head.
Without a bound of their own one client could hold as many as the process may have open, at no cost. So each is counted when
it is accepted, and what is beyond the bound is closed unread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from engine.identity.networks import network_of

__all__ = ["CountedSocket", "NetworkSockets"]

_REPORTED: Final = 60.0  # seconds between two reports

_log = structlog.get_logger("realtime.http")


class CountedSocket:
    """What one socket counts for, until ``leave``."""

    __slots__ = ("_network", "_sockets")

    def __init__(self, sockets: NetworkSockets, network: str | None) -> None:
        self._sockets = sockets
        self._network = network

    def leave(self) -> None:
        """It is closed, or has become a WebSocket. May be called again."""
        network, self._network = self._network, None
        if network is not None:
            self._sockets.remove(network)


class NetworkSockets:
    """Sockets by network (:func:`engine.identity.networks.network_of`); those of the server's own machine do not count.

    Args:
        most: of one network at the same time.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._reported: float | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, ip: str | None) -> CountedSocket | None:
        """Count a new socket of ``ip`` (None: that of a proxy, which does not count); None: it is one too many."""
        network = network_of(ip)
        if network is not None:
            if self._open[network] >= self._most:
                self._report(network)
                return None
            self._open[network] += 1
        return CountedSocket(self, network)

    def remove(self, network: str) -> None:
        """One of them is open no more."""
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]

    def _report(self, network: str) -> None:
        now = self._clock()
        if self._reported is None or now - self._reported >= _REPORTED:
            self._reported = now
            _log.warning("sockets_refused", network=network, most=self._most)
