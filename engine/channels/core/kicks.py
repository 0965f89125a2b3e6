"""Removals of users from channels, each carried out once: from the stream, or from its row after a hole. No I/O.

A removal is no ban: who subscribes after it stays. It comes as a logical message, which a hole in the stream hides, and has
a row for a day. After a discontinuity all rows are read, and those that the stream has not brought end the subscriptions
that there are then: they began before. The stream may bring such a removal later, when users may have come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from engine.channels.core.messages.decode import ControlMessage

__all__ = ["Kicks"]


class Kicks:
    """See the module."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._taken: set[str] = set()  # since the last load, whose snapshot may not show all of them

    def take(self, control: ControlMessage) -> bool:
        """The stream brings a removal; returns whether it is to be carried out."""
        if control.id is None:  # emitted by functions of a version before
            return True
        new = control.id not in self._known
        self._known.add(control.id)
        self._taken.add(control.id)
        return new

    def load(self, rows: Iterable[Mapping[str, str | None]]) -> Iterator[ControlMessage]:
        """Those among the table's rows that are to be carried out. What the table does not have any more is forgotten."""
        there = {row["id"] or "": row for row in rows}
        missed = [row for id, row in there.items() if id not in self._known]
        self._known, self._taken = there.keys() | self._taken, set()
        for row in missed:
            yield ControlMessage("kick", channel=row["channel"], user_id=row["user_id"], reason=row["reason"])
