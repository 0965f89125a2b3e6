"""The end of connections whose credential is no longer valid: an API key or a session that was revoked or has expired.

A connection enters when it opens, and is judged then, too: what a change took away while the client was authenticated does
not let it in.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Protocol

from server.auth.refusal import AuthenticationError

__all__ = ["Credential", "CredentialWatch", "Judge"]

_CHECK: Final = 300.0  # seconds after which the clock is read again: it may be set, and the machine may sleep

Judge = Callable[["Credential"], float | None]
"""When a credential ends, in seconds since the Unix epoch; None: never. Raises ``AuthenticationError``."""


class _Holder(Hashable, Protocol):
    def refuse(self, refusal: AuthenticationError) -> None:
        """What let the client in has ended: send the reason, and end the connection."""


@dataclass(frozen=True, slots=True)
class Credential:
    """``name`` is what it is found by; ``user_id``: whose it is to be, ``address``: from where it is used, where that
    matters. ``operator``: it stands for an operator, and not for an application or a user.
    """

    name: str
    user_id: str | None = None
    address: str | None = None
    operator: bool = False


@dataclass(slots=True, eq=False)
class _Entry:
    holders: dict[Credential, set[_Holder]] = field(default_factory=lambda: defaultdict(set))
    timer: asyncio.TimerHandle | None = None


class CredentialWatch:
    """The open connections by the credential that let them in."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._entries: dict[str, _Entry] = {}
        self._changed: set[str] = set()
        self._scheduled: asyncio.Handle | None = None
        self._stopped = False

    def enter(self, credential: Credential, holder: _Holder) -> None:
        """A connection opens, or renews, with a credential. Raises ``AuthenticationError`` if that has ended meanwhile."""
        ends_at = self._judge(credential)
        entry = self._entries.setdefault(credential.name, _Entry())
        entry.holders[credential].add(holder)
        if ends_at is not None and entry.timer is None:
            self._arm(credential.name, entry, ends_at)

    def leave(self, credential: Credential, holder: _Holder) -> None:
        """The connection no longer depends on the credential."""
        entry = self._entries.get(credential.name)
        if entry is None:
            return
        holders = entry.holders[credential]
        holders.discard(holder)
        if not holders:
            del entry.holders[credential]
        if not entry.holders:
            del self._entries[credential.name]
            if entry.timer is not None:
                entry.timer.cancel()

    def changed(self, name: str | None) -> None:
        """What ``name`` is judged by has changed, or that of any (None). Judged in the next turn: the stream is at work,
        and a connection that ends leaves its channels.
        """
        if name is None:
            self._changed.update(self._entries)
        elif name in self._entries:
            self._changed.add(name)
        if self._changed and self._scheduled is None and not self._stopped:
            self._scheduled = asyncio.get_running_loop().call_soon(self._review)

    def stop(self) -> None:
        """Judge nothing any more."""
        self._stopped = True
        for handle in (self._scheduled, *(entry.timer for entry in self._entries.values())):
            if handle is not None:
                handle.cancel()

    def _review(self) -> None:
        self._scheduled = None
        changed, self._changed = self._changed, set()
        for name in changed:
            self._look(name)

    def _look(self, name: str) -> None:
        entry = self._entries.get(name)
        if entry is None or self._stopped:
            return
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        ends: list[float] = []
        for credential, holders in list(entry.holders.items()):
            try:
                ends_at = self._judge(credential)
            except AuthenticationError as refusal:
                for holder in list(holders):
                    holder.refuse(refusal)
            else:
                if ends_at is not None:
                    ends.append(ends_at)
        if ends:
            self._arm(name, entry, min(ends))

    def _arm(self, name: str, entry: _Entry, ends_at: float) -> None:
        if not self._stopped:
            seconds = min(max(ends_at - time.time(), 0), _CHECK)
            entry.timer = asyncio.get_running_loop().call_later(seconds, self._look, name)
