"""Which parts of an application use a subscription.

The invariant: who leaves ends a use of its own: none that began after the server ended its own, and none of another name.
"""

from __future__ import annotations

__all__ = ["BLOCK", "UseCount"]

BLOCK = object()
"""Who uses a channel in a ``with`` block, which is left once."""


class UseCount:
    """Calls of ``subscribe``, each of which needs one of ``unsubscribe``, also after its subscription has ended.

    ``user`` is any object that both calls name, compared by identity; None for those that name none.
    """

    def __init__(self) -> None:
        self._subscription = 0  # which one it is
        self._uses: list[
            tuple[int, object]
        ] = []  # that are not left yet, oldest first: the subscription, and who uses it

    def begin(self, user: object = None) -> int:
        """One more use. Returns the number of its subscription, for ``withdraw``."""
        self._uses.append((self._subscription, user))
        return self._subscription

    def leave(self, user: object = None) -> bool:
        """The oldest use of this user is left, if there is one. Returns whether nothing uses the present subscription any
        more.
        """
        mine = (subscription for subscription, other in self._uses if other is user)
        return self.withdraw(next(mine, -1), user)

    def withdraw(self, subscription: int, user: object = None) -> bool:
        """As ``leave``, of a use of this subscription."""
        for index, (number, other) in enumerate(self._uses):
            if number == subscription and other is user:
                del self._uses[index]
                return number == self._subscription and not self._present()
        return False

    def end(self, *, refused: bool) -> None:
        """The subscription has ended, or was ``refused``: its users know that, and leave nothing."""
        if refused:
            del self._uses[len(self._uses) - self._present() :]
        self._subscription += 1

    def _present(self) -> int:
        return sum(number == self._subscription for number, _ in self._uses)
