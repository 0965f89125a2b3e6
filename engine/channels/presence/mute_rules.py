"""The mutes (of channels and events) of the users subscribed on this node: read once per user, then updated from the
stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.filters.mutes import Mutes
from engine.channels.core.messages.decode import RowChange
from engine.channels.db.store import Store
from engine.channels.presence.preference_reader import PreferenceReader
from engine.lsn import Lsn
from engine.transaction import Kind

__all__ = ["MuteRules"]


@dataclass(slots=True)
class _Known:
    mutes: Mutes = field(default_factory=Mutes)
    holders: set[Subscription] = field(default_factory=set)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    loaded: bool = False


class MuteRules:
    """Invariant: a subscription that was let through by :meth:`load` has the preferences of the stream's position, so every
    message is judged by the changes that committed before it. ``reached`` waits for the stream.
    """

    def __init__(self, store: Store, reached: Callable[[Lsn], Awaitable[None]]) -> None:
        self._reader = PreferenceReader(store, reached)
        self._users: dict[str, _Known] = {}

    async def load(self, subscription: Subscription) -> None:
        """Give ``subscription`` its user's preferences; they stay known until :meth:`release`."""
        user = subscription.member.user_id
        if user is None:
            return
        known = self._users.setdefault(user, _Known())
        known.holders.add(subscription)
        async with known.loading:
            if not known.loaded:
                known.mutes.load(await self._reader.rows_of(user))
                known.loaded = True
        subscription.mutes = known.mutes

    async def reload(self) -> None:
        """Changes may be missing in the stream: read the rules of all users again."""
        for user, known in list(self._users.items()):
            async with known.loading:
                if known.loaded:
                    known.mutes.read_again()
                    known.mutes.load(await self._reader.rows_of(user))

    def release(self, subscription: Subscription) -> None:
        """A subscription has ended, or was never opened."""
        user = subscription.member.user_id
        known = self._users.get(user or "")
        if user is not None and known is not None:
            known.holders.discard(subscription)
            if not known.holders:
                del self._users[user]

    def apply(self, change: RowChange) -> None:
        """A row of ``realtime.preferences`` changed."""
        if change.kind is Kind.TRUNCATE:
            for known in self._users.values():
                known.mutes.clear()
            return
        for row, old, new in ((change.old, change.old, None), (change.new, None, change.new)):
            if (user := self._users.get((row or {}).get("user_id") or "")) is not None:
                user.mutes.apply(old, new)
