"""Which parts of an application use a subscription.

The invariant: who leaves ends a use of its own: none that began after the server ended its own, and none of another name.
"""

from __future__ import annotations

__all__ = ["BLOCK", "Use", "UseCount"]

BLOCK = object()
"""Who uses a channel in a ``with`` block, which is left once."""


class Use:
    """One call of ``subscribe``. ``user`` is what it names, any object; None if it names none."""

    def __init__(self, user: object = None) -> None:
        self.user = user
        self.left = False
        self.subscription = -1  # which one it is, from its beginning on

    def is_of(self, user: object) -> bool:
        """Whether it names this: the very same object, or an equal string."""
        return self.user is user or (isinstance(user, str) and self.user == user)


class UseCount:
    """Calls of ``subscribe``, each of which needs one of ``unsubscribe``, also after its subscription has ended.

    A call of ``unsubscribe`` that names neither the use nor its user is counted: the uses without a user have ended when no
    more of them are left than there are such calls. So these and those that name a use may come in any order.
    """

    def __init__(self) -> None:
        self._subscription = 0  # which one it is
        self._uses: list[Use] = []  # that are not left yet, oldest first
        self._calls = dict[int, int]()  # by subscription: calls that named nothing

    def begin(self, use: Use) -> bool:
        """One more use. Returns False if it was left before."""
        if not use.left:
            use.subscription = self._subscription
            self._uses.append(use)
        return not use.left

    def leave(self, user: object = None) -> bool:
        """The oldest use of this user is left, if there is one. Returns whether nothing uses the present subscription any
        more.
        """
        oldest = next((use for use in self._uses if use.is_of(user)), None)
        if oldest is None:
            return False
        if user is not None:
            return self.withdraw(oldest)
        self._calls[oldest.subscription] = self._calls.get(oldest.subscription, 0) + 1
        return self._end_unnamed(oldest.subscription)

    def withdraw(self, use: Use) -> bool:
        """As ``leave``, of this very use."""
        use.left = True
        if use not in self._uses:
            return False
        self._uses.remove(use)
        return self._end_unnamed(use.subscription)

    def end(self, *, refused: bool) -> None:
        """The subscription has ended, or was ``refused``: its users know that, and leave nothing."""
        if refused:
            self._remove(self._of(self._subscription))
            self._calls.pop(self._subscription, None)
        self._subscription += 1

    def _end_unnamed(self, subscription: int) -> bool:
        """Each that has no name is left when there are as many calls. Returns whether it is the present one, and unused."""
        unnamed = [use for use in self._of(subscription) if use.user is None]
        if len(unnamed) <= self._calls.get(subscription, 0):
            self._remove(unnamed)
            self._calls.pop(subscription, None)
        return subscription == self._subscription and not self._of(subscription)

    def _of(self, subscription: int) -> list[Use]:
        return [use for use in self._uses if use.subscription == subscription]

    def _remove(self, uses: list[Use]) -> None:
        self._uses = [use for use in self._uses if use not in uses]
