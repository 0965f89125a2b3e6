"""What follows the stream: the interface of a consumer of :class:`engine.stream.consumer.StreamDriver`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from engine.lsn import Lsn
from engine.transaction import Discontinuity, Transaction

__all__ = ["StreamConsumer"]


class StreamConsumer(Protocol):
    """Called in the task that consumes the feed, for every transaction, in commit order.

    When it is called the consumers added before it have applied the transaction and delivered what it changed. The slot is
    not confirmed past a transaction before every consumer has applied it and ``confirmable`` allows it.
    """

    def process(self, transaction: Transaction) -> Iterator[None]:
        """Take ``transaction``. Yields now and then, so that a large one can be interrupted; it ends in one step."""
        ...

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        """What was read before is to be read again; what commits behind ``position`` comes. Called between transactions."""
        ...

    @property
    def confirmable(self) -> Lsn | None:
        """How far the slot may be confirmed; None: no objection."""
        ...
