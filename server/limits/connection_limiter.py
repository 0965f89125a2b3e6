"""How many connections a user and a network may have, on all nodes together, and how many new ones per minute.

Theory of operation. A connection counts from its admission to its end. This node counts its own ones; those of other nodes
are counted from the stream (``engine.channels.core.census``). A connection that would be one too many by both counts is
refused. Two nodes that admit the last one at the same moment do not see each other's in time; so each connection is judged
again when the stream shows its row: commits have one order, and the node whose row was the one too many closes it.
After that the limit holds on all nodes together, whatever their number.

The rate of new connections is counted per node when a client asks, and again from the stream for those of other nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.identity.networks import network_of
from server.limits.exceeded import LimitExceededError
from server.limits.network_rates import NetworkRates, Quota, Usage

__all__ = ["ArrivalLimits", "ConnectionLimiter", "CountedConnection"]

_RETRY_AFTER = 10.0  # seconds; when another connection of the same client ends is not known
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ArrivalLimits:
    """Connections per user and per network at the same time; new ones per minute and network."""

    per_user: int = 10
    per_network: int = 100
    per_minute: int = 100


class OtherNodes(Protocol):
    """The connections of other nodes, as the stream shows."""

    def of_user(self, user_id: str) -> int:
        """How many a user has."""
        ...

    def of_network(self, network: str) -> int:
        """How many a network has."""
        ...


class _NoOtherNodes:
    def of_user(self, user_id: str) -> int:
        """See ``OtherNodes``."""
        return 0

    def of_network(self, network: str) -> int:
        """See ``OtherNodes``."""
        return 0


class CountedConnection:
    """What one connection counts for, until ``leave``. ``close``: how it is ended if it turns out to be one too many."""

    __slots__ = ("_limiter", "close", "connection_id", "network", "shown", "user_id")

    def __init__(self, limiter: ConnectionLimiter, connection_id: str, network: str | None) -> None:
        self._limiter: ConnectionLimiter | None = limiter
        self.connection_id = connection_id
        self.network = network
        self.user_id: str | None = None
        self.shown = False
        self.close: Callable[[LimitExceededError], None] | None = None

    def identify(self, user_id: str | None) -> None:
        """The connection is this user's. Raises ``LimitExceededError`` if the user has as many as it may."""
        if self._limiter is not None and user_id is not None and self.user_id is None:
            self._limiter.add_user(self, user_id)

    def leave(self) -> None:
        """The connection has ended. May be called again."""
        limiter, self._limiter, self.close = self._limiter, None, None
        if limiter is not None:
            limiter.remove(self)


class _Counts:
    """Connections of this node per user and network."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.networks: dict[str, int] = {}

    def add(self, user_id: str | None, network: str | None, by: int) -> None:
        if user_id is not None:
            _add(self.users, user_id, by)
        if network is not None:
            _add(self.networks, network, by)


def _add(counts: dict[str, int], key: str, by: int) -> None:
    if (now := counts.get(key, 0) + by) != 0:
        counts[key] = now
    else:
        counts.pop(key, None)


class ConnectionLimiter:
    """See the module. ``clock``: seconds, monotonic."""

    def __init__(self, limits: ArrivalLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._others: OtherNodes = _NoOtherNodes()
        self._rates = NetworkRates(Quota("connections", limits.per_minute, _MINUTE))
        self._connections: dict[str, CountedConnection] = {}
        self._open = _Counts()
        self._shown = _Counts()  # those of them whose row the stream has shown

    def __len__(self) -> int:
        return len(self._connections)

    def follow(self, others: OtherNodes) -> None:
        """Count the connections of other nodes, too."""
        self._others = others

    def arrive(self, ip: str | None) -> Usage | None:
        """A client asks for a connection: count it. None: clients from there are not counted."""
        network = network_of(ip)
        return None if network is None else self._rates.count(network, self._clock())

    def floods(self, ip: str | None) -> bool:
        """Whether clients from there go on asking although they were refused again and again: not worth an answer."""
        network = network_of(ip)
        return network is not None and self._rates.floods(network, self._clock())

    def enter(self, connection_id: str, ip: str | None, user_id: str | None = None) -> CountedConnection:
        """Count a new connection. Raises ``LimitExceededError`` if its network or its user has as many as it may."""
        network = network_of(ip)
        self._check(self._open, None, network, 1)
        connection = CountedConnection(self, connection_id, network)
        connection.identify(user_id)
        self._connections[connection_id] = connection
        self._open.add(None, network, 1)
        return connection

    def add_user(self, connection: CountedConnection, user_id: str) -> None:
        """Count a connection for its user. Raises ``LimitExceededError`` if the user has as many as it may."""
        self._check(self._open, user_id, None, 1)
        connection.user_id = user_id
        self._open.add(user_id, None, 1)

    def arrived_elsewhere(self, ip: str | None) -> None:
        """The stream shows a new connection of another node."""
        self.arrive(ip)

    def shown(self, connection_id: str) -> None:
        """The stream shows the row of a connection of this node; the rows before it are in the census."""
        connection = self._connections.get(connection_id)
        if connection is None or connection.shown:
            return
        connection.shown = True
        self._shown.add(connection.user_id, connection.network, 1)
        try:
            self._check(self._shown, connection.user_id, connection.network, 0)
        except LimitExceededError as exceeded:
            close = connection.close
            connection.leave()
            if close is not None:
                close(exceeded)

    def remove(self, connection: CountedConnection) -> None:
        """A connection does not count any more."""
        known = self._connections.pop(connection.connection_id, None) is not None
        self._open.add(connection.user_id, connection.network if known else None, -1)
        if connection.shown:
            self._shown.add(connection.user_id, connection.network, -1)

    def _check(self, counts: _Counts, user_id: str | None, network: str | None, more: int) -> None:
        """Raise ``LimitExceededError`` if ``more`` connections beyond ``counts`` and those elsewhere would be too many."""
        limits, others = self._limits, self._others
        if network is not None:
            found = counts.networks.get(network, 0)
            if found + others.of_network(network) + more > limits.per_network:
                raise _full(f"address {network}", limits.per_network, "max_connections_per_ip")
        if user_id is not None and counts.users.get(user_id, 0) + others.of_user(user_id) + more > limits.per_user:
            raise _full("user", limits.per_user, "max_connections_per_user")


def _full(whose: str, most: int, limit: str) -> LimitExceededError:
    text = f"this {whose} has {most} connections already, and may have no more"
    return LimitExceededError(text, _RETRY_AFTER, limit)
