"""The interface of a consumer of :class:`engine.stream.driver.StreamDriver`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from engine.lsn import Lsn
from engine.transaction import Discontinuity, Transaction

__all__ = ["StreamConsumer"]


class StreamConsumer(Protocol):
    """Called in the task that consumes the feed, with every transaction, in commit order: with each by itself, or with
    several that have waited.

    By then the consumers added before it have applied the transaction and delivered its changes. The slot is not confirmed
    past a transaction before every consumer has applied it and ``confirmable`` allows it.
    """

    def process(self, *transactions: Transaction) -> Iterator[bool | None]:
        """Apply ``transactions``. Yields between batches and between transactions: other tasks run then, if it is time, or
        if it yields True. The results of each appear in one step, or those of several together.
        """
        ...

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        """Read every result again; commits after ``position`` will be delivered. Called between transactions."""
        ...

    @property
    def confirmable(self) -> Lsn | None:
        """The position up to which the slot may be confirmed; None: no limit."""
        ...
