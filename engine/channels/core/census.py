"""How many connections each user and each network has on the other nodes, as the stream shows. No I/O.

Invariant: after each transaction the counts are those of the rows of ``realtime.connections`` that belong to other nodes and
whose connection is there (``dropped_at`` is null). A node's own connections are not counted here: it knows them before their
rows are written. The rows have replica identity FULL, so a change names what it counts for, and no row is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from engine.channels.core.messages.decode import RowChange
from engine.identity.networks import network_of
from engine.transaction import Kind

__all__ = ["ConnectionCensus"]

_Row = Mapping[str, str | None]


class ConnectionCensus:
    """See the module. ``node_id``: this node, whose connections are left to it."""

    def __init__(self, node_id: str) -> None:
        self._node = node_id
        self._users: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()

    def of_user(self, user_id: str) -> int:
        """The user's connections on other nodes."""
        return self._users.get(user_id, 0)

    def of_network(self, network: str) -> int:
        """The connections from a network (see :func:`engine.identity.networks.network_of`) on other nodes."""
        return self._networks.get(network, 0)

    def load(self, rows: Iterable[_Row]) -> None:
        """Start from what a query of all rows shows."""
        self.clear()
        for row in rows:
            self._count(row, 1)

    def clear(self) -> None:
        """There are no rows."""
        self._users.clear()
        self._networks.clear()

    def apply(self, change: RowChange) -> None:
        """A row changed."""
        if change.kind is Kind.TRUNCATE:
            self.clear()
            return
        if change.kind is Kind.UPDATE and change.old is None:
            return  # the replica identity was changed: what the row counted for is not known
        if change.old is not None:
            self._count(change.old, -1)
        if (row := change.merged) is not None:
            self._count(row, 1)

    def _count(self, row: _Row, by: int) -> None:
        if row.get("node_id") == self._node or row.get("dropped_at") is not None:
            return
        for counts, key in ((self._users, row.get("user_id")), (self._networks, network_of(row.get("ip")))):
            if key is not None:
                counts[key] += by
                if counts[key] <= 0:
                    del counts[key]
