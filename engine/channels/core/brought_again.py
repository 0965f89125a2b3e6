"""Which transactions the stream brings again after a discontinuity, and which it may bring again. Plain state, no I/O.

Transactions with row changes and control messages are common (:mod:`engine.cluster.topics`): none is taken behind one that
is missing, unless the tables were read in between. So after a hole nothing of them is done again up to the last one that was
taken; what comes again are messages, which subscriptions know by their positions.

In another history the stream may begin far below (the copy of the slot that a promoted standby has is older). Up to where
it stood before, a transaction is *in doubt*: one that both histories have, which was done, or one of this history alone. So
none of them is done until it is known where the histories parted (what is behind that place is of this one alone), or until
the tables were read once the stream has passed them all. What has rows is there. Removals of users have ids by which they
are known, and are done. Messages to connections have neither: where one was passed over that may be of this history alone,
``lost`` is set.
"""

from __future__ import annotations

from engine.channels.core.messages.decode import DecodedTransaction
from engine.lsn import Lsn

__all__ = ["BroughtAgain"]


class BroughtAgain:
    """See the module. Positions are those of the history at hand, unless another one is named."""

    def __init__(self) -> None:
        self.lost = False
        """Messages to connections may have been lost, and no one was informed."""
        self._taken: Lsn = 0  # the last transaction with row changes or control messages
        self._since: Lsn = 0  # the last one since the last discontinuity
        self._again: Lsn = 0  # up to there the stream may bring them again
        self._doubt: Lsn = 0  # up to there they are in doubt
        self._done: Lsn = 0  # up to there they were done in the history before
        self._sure: Lsn = 0  # up to there they were done, and are in both histories
        self._silent: Lsn = 0  # the last one with a message to connections that was passed over
        self._skipped: Lsn = 0  # the last one that was passed over since the stream has announced another history

    @property
    def in_doubt(self) -> bool:
        """Whether there is a place up to which transactions are in doubt."""
        return self._doubt > 0

    def take(self, decoded: DecodedTransaction) -> bool:
        """The stream brings ``decoded``. Returns whether it did before, or may have: what must not be done twice is
        taken out of it.
        """
        if decoded.changes or decoded.control_messages:
            self._taken, self._since = max(self._taken, decoded.lsn), max(self._since, decoded.lsn)
        if decoded.lsn > max(self._again, self._doubt):
            return False
        controls = decoded.control_messages
        if any(each.command == "broadcast" for each in controls):
            self._silent = max(self._silent, decoded.lsn)
        self._skipped = max(self._skipped, decoded.lsn)
        decoded.changes, decoded.control_messages = (
            [],
            [each for each in controls if each.command == "kick" and each.id],
        )
        return True

    def was_passed_over(self, lsn: Lsn) -> bool:
        """Whether a transaction that no snapshot shows yet was passed over. As new as it is, it is of this history alone."""
        return self.in_doubt and self._sure < lsn <= self._skipped

    def interrupted(self, position: Lsn, *, other_history: bool) -> None:
        """A discontinuity of the stream, which stood at ``position``."""
        if other_history:
            self._judge()
            self._doubt_up_to(position, self._taken)
            self._taken = self._skipped = 0
        elif not self.in_doubt:
            self._silent = 0
        self._again, self._since = self._taken, 0

    def parted(self, position: Lsn, parted: Lsn) -> None:
        """Another history, behind ``parted``; 0: that is not known. It has come with the last discontinuity, whether or not
        that has announced it. The stream is at ``position``.
        """
        if not self.in_doubt:
            self._doubt_up_to(position, self._again)
            self._taken, self._again = self._since, 0
        self._sure = min(self._done, parted)
        if parted:
            self._doubt = min(self._doubt, parted)
        self._judge()

    def loaded(self) -> None:
        """The tables were read, behind everything that is in doubt."""
        self._judge()
        self._doubt = self._done = self._sure = self._skipped = 0

    def _doubt_up_to(self, position: Lsn, done: Lsn) -> None:
        self._doubt = max(self._doubt, position, done)
        self._done = max(self._done, done)

    def _judge(self) -> None:
        if self.in_doubt:
            self.lost = self.lost or self._silent > self._sure
            self._silent = 0
