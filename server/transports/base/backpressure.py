"""The back-pressure of one connection: how much waits to be written, and why nothing is read. Without I/O.

Theory of operation
-------------------

``Writing`` is about the bytes for the client::

    FLOWING ⇄ CONGESTED
    FLOWING → BLOCKED, CONGESTED ⇄ BLOCKED

FLOWING
    What waits is written as fast as the client reads.
CONGESTED
    More than ``buffer_size`` bytes waited. Live queries are paused, and nothing is read from the client. Goes to FLOWING
    when enough has been written: a quarter of ``buffer_size`` waits at most.
BLOCKED
    CONGESTED, and the transport takes nothing: it holds more than ``buffer_size`` bytes itself. For transports that report
    this (WebSocket). Goes to CONGESTED when the transport has sent most of it, and is given the queue then.

``Pause`` is about the client's messages. A connection has a set of reasons for which nothing is read; reading goes on when
the set is empty. Each reason is added and removed by the part of the connection that has it. A connection that ends keeps
``TURN`` alone: what it reads is dropped, and the client's answer to the close has to be found.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["NO_PAUSE", "Pause", "Writing"]


class Writing(Enum):
    """See the module."""

    FLOWING = "flowing"
    CONGESTED = "congested"
    BLOCKED = "blocked"


class Pause(Enum):
    """A reason for which nothing is read from a client."""

    CONGESTED = "too much waits to be written to the client"
    INTAKE = "too many of the client's requests are not done"
    EARLY = "too much has arrived before the client was authenticated"
    SHARE = "the client's address has used its share of the processor"
    TURN = "much has been read in this turn of the event loop; other connections are next"

    __hash__ = object.__hash__  # members are compared by identity; Enum hashes the name, in Python


NO_PAUSE: Final[frozenset[Pause]] = frozenset()
"""The set of most connections, shared by them."""
