"""How many of its clients a node asks to connect again, so that they spread over the nodes of its region.

Each node decides for itself, from the figures that all nodes write. A node is asked for its part: of the clients of all, as
much as its capacity is of the capacity of all. Only a node that has clearly more than its part asks, and only for what is
above it; so all together ask for what the others lack, and a receiver never has more than its part by that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["SPREAD", "Balance", "NodeLoad", "excess"]

SPREAD: Final = 10.0
"""Seconds over which clients that were asked connect again."""

_TOLERANCE: Final = 0.2  # as a share of a node's part: no less is worth a move
_FEW: Final = 10  # clients above its part that no node asks for
_SETTLING: Final = 10.0  # seconds after which clients that moved are in the figures of all nodes
_MINUTE: Final = 60.0
_FUTILE: Final = 0.25  # if fewer than this share of those that were asked have left, they come back to this node
_LONGEST: Final = 3600.0  # seconds between attempts that change nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """``capacity``: connections that it can have; None: unlimited. ``ready``: it accepts clients, and its figures
    are new.
    """

    node: str
    connections: int
    capacity: float | None = None
    ready: bool = True


def excess(me: NodeLoad, others: Sequence[NodeLoad]) -> int:
    """How many clients ``me`` has above its part; 0 if that is not worth a move, or now is not the time: while a node does
    not accept clients, what it has is about to change, and clients that are asked might come to it.
    """
    nodes = (me, *others)
    if not others or not all(each.ready for each in nodes):
        return 0
    weights = [each.capacity for each in nodes]
    known = [each for each in weights if each is not None and math.isfinite(each)]
    weight = known[0] / sum(known) if len(known) == len(nodes) and sum(known) > 0 else 1 / len(nodes)
    part = weight * sum(each.connections for each in nodes)
    above = me.connections - part
    return math.floor(above) if above >= _FEW and above > _TOLERANCE * part else 0


class Balance:
    """The decisions of one node over time. ``share``: of its clients, how many it may ask in a minute; 0: none."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._asked: deque[tuple[float, int]] = deque()
        self._until = -math.inf  # before that nothing is decided
        self._before: tuple[int, int] | None = None  # clients before the last request, and how many were asked
        self._pause = SPREAD + _SETTLING

    def decide(self, now: float, me: NodeLoad, others: Sequence[NodeLoad]) -> int:
        """How many clients are to be asked now. ``now``: seconds on a clock that never goes back."""
        if now < self._until:
            return 0
        if self._before is not None:
            connections, asked = self._before
            self._before = None
            if connections - me.connections < _FUTILE * asked:
                self._pause = min(2 * self._pause, _LONGEST)
                self._until = now + self._pause
                return 0
            self._pause = SPREAD + _SETTLING
        while self._asked and self._asked[0][0] <= now - _MINUTE:
            self._asked.popleft()
        allowed = math.floor(self._share * me.connections) - sum(count for _, count in self._asked)
        count = min(excess(me, others), max(0, allowed))
        if count:
            self._asked.append((now, count))
            self._before = me.connections, count
            self._until = now + SPREAD + _SETTLING
        return count
