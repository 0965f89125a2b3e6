"""Which parts of an application use a subscription.

The invariant: a use that the server has ended is left without ending one that began later.
"""

from __future__ import annotations

__all__ = ["UseCount"]


class UseCount:
    """Calls of ``subscribe``, each of which needs one of ``unsubscribe``, also after its subscription has ended."""

    def __init__(self) -> None:
        self._subscription = 0  # which one it is
        self._present = 0  # uses of that
        self._ended: list[int] = []  # uses of former subscriptions that are not left yet, by their numbers

    def begin(self) -> int:
        """One more use. Returns the number of its subscription, for ``withdraw``."""
        self._present += 1
        return self._subscription

    def leave(self) -> bool:
        """The oldest use is left. Returns whether nothing uses the present subscription any more."""
        return self.withdraw(self._ended[0] if self._ended else self._subscription)

    def withdraw(self, subscription: int) -> bool:
        """As ``leave``, of a use of this subscription."""
        if subscription in self._ended:
            self._ended.remove(subscription)
        if subscription != self._subscription:
            return False
        self._present -= 1
        return self._present <= 0

    def end(self, *, refused: bool) -> None:
        """The subscription has ended, or was ``refused``: its users know that, and leave nothing."""
        if not refused:
            self._ended += [self._subscription] * self._present
        self._subscription += 1
        self._present = 0
