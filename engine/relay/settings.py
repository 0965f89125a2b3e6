"""The settings of a relay."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RelaySettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Settings of the relay of one slot. Times are in seconds, sizes in bytes.

    Attributes:
        backlog: of the events that wait for the slowest worker, beyond which the slot is not read; also what is kept for
            workers that come back.
        part: payload of one message; a larger transaction is sent in several.
        hold_time: a worker that has kept the others waiting for this time is cut off.
        unconfirmed: WAL that a worker may leave unconfirmed beyond what another one leaves; one that has more, and has
            confirmed nothing for ``hold_time``, is cut off.
        grace: for this time after the last worker has gone (or the start) the slot is kept where it is.
        beat: longest time between two messages to a worker.
        look: time between two looks at the workers.
    """

    backlog: int = 64 << 20
    part: int = 256 << 10
    hold_time: float = 30.0
    unconfirmed: int = 1 << 30
    grace: float = 60.0
    beat: float = 5.0
    look: float = 1.0
