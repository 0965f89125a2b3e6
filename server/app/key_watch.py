"""The end of connections whose API key has been revoked or has expired."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from engine.channels.core.watched_rows import WatchedRows
from server.app.drain import Connections
from server.auth.api_keys import KeyRing
from server.auth.key_gate import KeyGate
from server.auth.refusal import AuthenticationError

__all__ = ["KeyWatch"]

_CHECK: Final = 300.0  # seconds after which the clock is read again: it may be set, and the machine may sleep


class KeyWatch:
    """Judges the key of every connection again when a key has changed, and when one expires."""

    def __init__(self, ring: KeyRing, gate: KeyGate, connections: Connections) -> None:
        self._ring = ring
        self._gate = gate
        self._connections = connections
        self._timer: asyncio.Handle | None = None
        self._stopped = False

    def start(self, rows: WatchedRows) -> None:
        """The keys are ``rows`` from now on."""
        self._ring.follow(rows)
        rows.changed = self._schedule
        self._schedule()

    def stop(self) -> None:
        """Do nothing any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        """In the next turn: the stream is at work, and a connection that ends leaves its channels."""
        self._arm(0)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        judged: dict[str, AuthenticationError | None] = {}
        for connection in self._connections.shuffled():
            key = connection.handshake.api_key
            if key is None:
                continue
            if key not in judged:
                judged[key] = self._refusal(key)
            if (refusal := judged[key]) is not None:
                connection.refuse(refusal)
        expiry = self._ring.next_expiry
        if expiry is not None:
            self._arm(min(max(expiry - time.time(), 0), _CHECK))

    def _refusal(self, key: str) -> AuthenticationError | None:
        try:
            self._gate.check(key)
        except AuthenticationError as refusal:
            return refusal
        return None
