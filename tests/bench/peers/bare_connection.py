"""A client of a server that does not speak first (``tests.bench.parts.relay``)."""

from __future__ import annotations

from server.bench.load.clients.connection import Connection

__all__ = ["BareConnection"]


class BareConnection(Connection):
    """The handshake is the greeting."""

    __slots__ = ()

    def connected(self) -> None:
        self.greeted()
