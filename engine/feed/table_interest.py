"""What a process looks at, for a feed that can leave out the transactions about all else. Plain state, no I/O.

Theory of operation
-------------------
The live queries *hold* the tables that their results depend on, from before a read on. A feed that is *selective* brings the
transactions of these tables alone (and everything that is about no single table). When it takes further ones, it first
brings those of their transactions that a snapshot might not show, as late ones for the tail, and then a ``Progress`` with a
number (``followed``). A table is *followed* once the driver has processed the number under which
the feed has taken it. A snapshot that is read after that joins the stream as with a feed that brings everything.

Relations are what the stream names (oids); a table is what queries depend on: a partition's is its root.

Messages of channels are one table that is the most of what is written, and a process needs those of some channels. So they
have *topics* in place of the table's oid: one for each value of a hash of the channel's name (:func:`channel_topic`), held
by those who look at a channel, and all of them by a query that depends on the table.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping, Set
from typing import Final

__all__ = ["CHANNEL_TOPICS", "FIRST_CHANNEL_TOPIC", "TableInterest", "channel_topic"]

FIRST_CHANNEL_TOPIC: Final = 1 << 32
"""Topics from this one on are of channels; those before are oids of relations."""

CHANNEL_TOPICS: Final = range(FIRST_CHANNEL_TOPIC, FIRST_CHANNEL_TOPIC + 128)
"""All topics of channels."""


def channel_topic(channel: str) -> int:
    """The topic of a channel's messages: by CRC-32 of its name in UTF-8, the same in each process and version."""
    return FIRST_CHANNEL_TOPIC + zlib.crc32(channel.encode()) % len(CHANNEL_TOPICS)


class TableInterest:
    """See the module. ``selective``: set by a feed that brings what is held; else everything is followed.

    ``wake``: called when a relation is waited for that the feed has not taken; ``messages``: the oid of the table of
    messages, set by such a feed.
    """

    def __init__(self) -> None:
        self.selective = False
        self.messages = 0
        self.wake: Callable[[], None] = lambda: None
        self.tables: dict[int, int] = {}
        """The table of each relation that is held, or was."""
        self._held: dict[Hashable, dict[int, int]] = {}
        self._holders: dict[int, int] = {}  # how many hold a relation
        self._taken: dict[int, int] = {}
        self._all: int | None = None
        self._number = 0

    # -- what is looked at -----------------------------------------------------------------------------------------

    def hold(self, holder: Hashable, relations: Mapping[int, int]) -> None:
        """``holder`` depends on these relations, too. ``relations``: the table of each."""
        self._keep(holder, {**self._held.get(holder, {}), **relations})

    def keep(self, holder: Hashable, relations: Mapping[int, int]) -> None:
        """``holder`` depends on these relations and no others any more."""
        self._keep(holder, dict(relations))

    def release(self, holder: Hashable) -> None:
        """``holder`` depends on nothing any more."""
        self._keep(holder, {})

    def _keep(self, holder: Hashable, relations: dict[int, int]) -> None:
        if self.messages in relations:
            relations.update(dict.fromkeys(CHANNEL_TOPICS, self.messages))
        before = self._held.pop(holder, {})
        if relations:
            self._held[holder] = relations
        for relation in relations.keys() - before.keys():
            self._holders[relation] = self._holders.get(relation, 0) + 1
        for relation in before.keys() - relations.keys():
            self._holders[relation] -= 1
            if not self._holders[relation]:
                del self._holders[relation]
        self.tables.update(relations)

    @property
    def held(self) -> Set[int]:
        """The relations that a result depends on."""
        return self._holders.keys()

    # -- what the feed takes ---------------------------------------------------------------------------------------

    @property
    def taken(self) -> Set[int]:
        """The relations that the feed brings, if it does not bring all."""
        return self._taken.keys()

    @property
    def lacking(self) -> set[int]:
        """The relations that are held and that the feed does not bring."""
        return set() if self._all is not None else self._holders.keys() - self._taken.keys()

    def take(self, relations: Set[int]) -> int:
        """The feed brings these, too. Returns the number of the event that it has to bring behind the late ones."""
        self._number += 1
        self._taken.update(dict.fromkeys(relations, self._number))
        return self._number

    def take_all(self) -> int:
        """The feed brings everything. Returns as :meth:`take`."""
        self._number += 1
        self._all = self._number
        return self._number

    def begin(self) -> int:
        """The feed brings what is held and nothing else; for this it has lost nothing. Returns as :meth:`take`."""
        self._all = None
        self._taken.clear()
        return self.take(set(self.held))

    def drop(self, relations: Set[int]) -> None:
        """The feed does not bring these any more. None of them is held."""
        for relation in relations:
            self._taken.pop(relation, None)
            self.tables.pop(relation, None)

    def follows(self, relations: Set[int], processed: int) -> bool:
        """Whether all of these are followed, where the driver has ``processed`` the events up to that number."""
        if not self.selective:
            return True
        if self._all is not None:
            return self._all <= processed
        asked = {*relations, *CHANNEL_TOPICS} if self.messages in relations else relations
        numbers = [self._taken.get(relation) for relation in asked]
        if None in numbers:
            self.wake()
            return False
        return all(number is not None and number <= processed for number in numbers)
