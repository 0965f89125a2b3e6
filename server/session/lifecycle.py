"""The life of a connection, the same for every transport. A state machine without I/O.

Theory of operation
-------------------

A connection goes through these states in this order, and never back::

    CONNECTING → AUTHENTICATING → OPEN → DRAINING → CLOSED

CONNECTING
    The handshake was accepted: its form is right, its origin is allowed, the server accepts connections. No answer has been
    written. Ends when the transport is ready.
AUTHENTICATING
    The authenticator identifies the client, which may take a round trip. Only the transport's control frames are sent.
    The client's messages are kept within a bound and carried out after the greeting. Goes to OPEN with a principal,
    to DRAINING with a refusal, after a timeout, or when the server stops, to CLOSED if the client disconnects.
OPEN
    There is a ``Client``. It was greeted, its messages are carried out and events are delivered to it.
DRAINING
    The connection has its close code. No frame is added to the send queue, and no message of the client is carried
    out. The queue is still written (or polled for), then the transport closes. Also the state of a connection that is
    dropped because its client does not read: the queue is discarded.
CLOSED
    The transport is closed and the client's subscriptions are released. The final state.

Any state but CLOSED can go to CLOSED, because a socket can break at any time. Every other step is listed in ``_NEXT``;
``advance`` raises for any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from engine.errors import BunbaseError

__all__ = ["IllegalTransitionError", "State", "advance"]


class State(Enum):
    """See the module."""

    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"

    __hash__ = object.__hash__  # members are compared by identity; Enum hashes the name, in Python

    def __init__(self, name: str) -> None:
        self.ending: Final = name in ("draining", "closed")
        """Whether no message of the client is accepted and no frame is added to the send queue."""


_NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.CONNECTING: frozenset((State.AUTHENTICATING, State.CLOSED)),
    State.AUTHENTICATING: frozenset((State.OPEN, State.DRAINING, State.CLOSED)),
    State.OPEN: frozenset((State.DRAINING, State.CLOSED)),
    State.DRAINING: frozenset((State.CLOSED,)),
    State.CLOSED: frozenset(),
}


class IllegalTransitionError(BunbaseError):
    """A connection was to enter a state that does not follow its own: a fault of the server."""


def advance(before: State, after: State) -> State:
    """``after``, if it may follow ``before``. Raises ``IllegalTransitionError``."""
    if after not in _NEXT[before]:
        allowed = ", ".join(sorted(each.value for each in _NEXT[before])) or "nothing"
        raise IllegalTransitionError(f"a connection cannot go from {before.value} to {after.value}, only to {allowed}")
    return after
