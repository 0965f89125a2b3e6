"""The users whose live queries are counted together: over all of a user's connections of this node.

Clients without a proven user count by network, as their connections do (:func:`engine.identity.networks.network_of`); on the
server's own machine each connection counts for itself.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

from engine.identity.networks import network_of
from engine.live.planning_budget import PlanningBudget
from engine.live.query_accounts import ConnectionAccount, QueryLimits, UserAccount
from engine.time_budget import TimeBudget

__all__ = ["QueryAccounts"]

_Key = tuple[str, str]
_LOOK_AT: Final = 8  # at each new connection: more than come with it


class QueryAccounts:
    """Accounts by user. One without connections is kept until its budgets are full again: a client that comes
    back has no other one.

    Args:
        budget: makes the planning budget of a new user.
        work: the budget of all that is done for the clients of an address, if there is one.
    """

    def __init__(
        self,
        limits: QueryLimits | None = None,
        budget: Callable[[], PlanningBudget] = PlanningBudget,
        work: Callable[[str | None], TimeBudget | None] = lambda _: None,
    ) -> None:
        self._limits = limits or QueryLimits()
        self._budget = budget
        self._work = work
        self._users: dict[_Key, UserAccount] = {}
        self._keys: dict[UserAccount, _Key] = {}
        self._connections: Counter[UserAccount] = Counter()
        self._left: OrderedDict[UserAccount, None] = OrderedDict()  # those without connections

    def __len__(self) -> int:
        return len(self._users)

    def enter(self, user_id: str | None, ip: str | None) -> ConnectionAccount:
        """The account of a new connection. ``user_id``: a proven one (``Principal.proven_user_id``)."""
        self._forget()
        network = network_of(ip)
        if user_id is None and network is None:
            return ConnectionAccount(UserAccount(self._budget()), self._limits)
        key = ("network", network or "") if user_id is None else ("user", user_id)
        user = self._users.get(key)
        if user is None:
            work = self._work(ip) if user_id is None else None
            user = self._users[key] = UserAccount(self._budget(), work=work)
            self._keys[user] = key
        self._connections[user] += 1
        self._left.pop(user, None)
        return ConnectionAccount(user, self._limits)

    def leave(self, account: ConnectionAccount) -> None:
        """The connection has ended."""
        user = account.user
        if user not in self._keys:
            return
        self._connections[user] -= 1
        if not self._connections[user]:
            del self._connections[user]
            self._left[user] = None

    def _forget(self) -> None:
        """Drop accounts of which there is nothing to remember, out of the few that were looked at longest ago."""
        for user in list(islice(self._left, _LOOK_AT)):
            if user.full and not user.queries:
                del self._left[user]
                del self._users[self._keys.pop(user)]
            else:
                self._left.move_to_end(user)
