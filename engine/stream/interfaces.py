"""A tap: whoever else follows the one stream, beside the live queries (the channels do)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from engine.lsn import Lsn
from engine.transaction import Transaction

__all__ = ["StreamConsumer"]


class StreamConsumer(Protocol):
    """Called in the task that consumes the feed, for every transaction, in commit order.

    When it is called the live queries have applied the transaction and told their subscribers; the slot is not confirmed
    past it before the tap agrees.
    """

    def process(self, transaction: Transaction) -> Iterator[None]:
        """Take ``transaction``. Yields now and then, so that a large one can be interrupted; it ends in one step."""
        ...

    def discontinuity(self, reason: str, position: Lsn, *, missing: bool) -> None:
        """What was read before is to be read again; what commits behind ``position`` comes.

        ``missing``: transactions may be missing before ``position``. If not, the stream is whole, but snapshots may have
        shown transactions that a crash took back.
        """
        ...

    @property
    def confirmable(self) -> Lsn | None:
        """How far the slot may be confirmed; None: no objection."""
        ...
