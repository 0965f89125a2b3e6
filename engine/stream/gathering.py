"""Which transactions are applied together, because they come faster than each can be applied by itself.

A consumer that gathers pays once for what it does at the end of a transaction: a list that ten transactions have changed is
compared, encoded and delivered once. So the more wait, the less each costs, and a burst is worked off before it grows old.
A server that keeps up gathers nothing: each transaction is delivered as soon as it is here.

Only short transactions of rows of exposed tables are gathered. One with a logical message (annotations, definitions,
commands) is applied by itself, as are large ones, and those of the schema `realtime`: messages are delivered one by one in
any case, and who is disconnected by a change of sessions or API keys gets nothing of the next transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine.stream.change_feed import ChangeFeed
from engine.transaction import Transaction

__all__ = ["Gathering"]


@dataclass(frozen=True, slots=True)
class Gathering:
    """When transactions are gathered: while at least ``many`` events wait, the first of them for ``late`` microseconds.
    ``at_once``: how many transactions are applied together at most.
    """

    late: int = 5_000
    many: int = 16
    at_once: int = 64

    def gather(self, first: Transaction, feed: ChangeFeed) -> list[Transaction]:
        """``first``, which ``feed`` has brought, and those behind it that are to be applied with it."""
        together = [first]
        if feed.waiting < self.many or time.time_ns() // 1000 - first.received_at < self.late or not _joins(first):
            return together
        while len(together) < self.at_once and (another := feed.take(_joins)) is not None:
            together.append(another)
        return together


def _joins(transaction: Transaction) -> bool:
    return not transaction.late and bool(transaction.received_at) and transaction.is_plain
