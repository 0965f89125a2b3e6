"""Removals of users from channels, each carried out once: from the stream, or from its row after a hole. No I/O.

A removal is no ban: who subscribes after it stays. It comes as a logical message, which a hole in the stream hides, and has
a row that is read for a day. After a discontinuity these rows are read, and those that the stream has not brought end the
subscriptions that there are then: they began before. So they are read before clients are asked to come back, as after a
change of history, since they would stay then. The stream may bring such a removal later, when users may have come
back. A row may become visible long after the stream has brought its removal, where commits wait for a standby.

So each is known by its id until no read can show its row any more. The times of later removals show when that is: they are
of the database's clock, as is the bound of the reads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.channels.core.messages.decode import ControlMessage

__all__ = ["Kicks"]

_KEPT: Final = 25 * 3_600_000_000
"""Microseconds: the day of the query, and an hour by which clocks of servers may differ."""


class Kicks:
    """See the module. The length: how many removals are known."""

    def __init__(self) -> None:
        # By id, when: in microseconds since 1970, nearly in that order.
        self._known: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, control: ControlMessage) -> bool:
        """The stream brings a removal; returns whether it is to be carried out."""
        if control.id is None:  # emitted by functions of a version before
            return True
        return self._note(control.id, control.committed_at)

    def load(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[ControlMessage]:
        """Those among the table's rows, which are in the order of their time ``at``, that are to be carried out."""
        missed = [row for row in rows if self._note(row["id"], row["at"])]
        for row in missed:
            yield ControlMessage("kick", channel=row["channel"], user_id=row["user_id"], reason=row["reason"])

    def _note(self, id: str, at: int) -> bool:
        """Whether it is new. Those that are too old by its time are forgotten."""
        new = id not in self._known
        if new:
            self._known[id] = at
        while (first := next(iter(self._known))) != id and self._known[first] < at - _KEPT:
            del self._known[first]
        return new
