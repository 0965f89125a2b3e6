"""One live query's list: as the application sees it, and as the current connection has sent it.

The two are the same until a connection begins anew. Then the new connection's list is built separately, and the application
gets the difference, so that a reconnect shows only real changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bunbase.core.lists import difference, take
from bunbase.core.position import is_later
from bunbase.protocol.codec import expect_json
from bunbase.protocol.model import Change, Doc, Snapshot

__all__ = ["Base", "LiveState"]

Base = tuple[list[Doc], str | None, str | None]
"""A list, its position and its epoch."""


class LiveState:
    """See the module. ``id`` names the subscription on the connection; ``options`` of its request: ``meta``, ``fresh``.

    Raises ``TypeError`` or ``ValueError`` if the query has no JSON.
    """

    def __init__(
        self, id: str, channel: str, query: Mapping[str, Any], options: Mapping[str, bool] | None = None
    ) -> None:
        expect_json(query)
        self.id = id
        self.channel = channel
        self.strategy: str | None = None
        self.reason: str | None = None
        self.docs: list[Doc] = []
        self._query = dict(query)
        self._options = dict(options or {})
        self._shown: str | None = None  # position of the application's list; None: it has no list yet
        self._feed: list[Doc] = self.docs  # the same object unless a list is to be reconciled
        self._feed_position: str | None = None
        self._epoch: str | None = None

    def request(self) -> dict[str, Any]:
        """The ``subscribe`` message."""
        message: dict[str, Any] = {"type": "subscribe", "channel": self.channel, "id": self.id}
        if self._query:
            message["query"] = self._query
        message |= self._options
        if self._shown and self._epoch:
            message |= {"since": self._shown, "epoch": self._epoch}
        return message

    def base(self) -> Base:
        """The state that ``request`` refers to; to be passed to ``subscribed``."""
        return list(self.docs), self._shown, self._epoch

    def subscribed(self, message: Mapping[str, Any], base: Base | None = None) -> None:
        """A connection begins. ``base``: the list at the time of the request, if that is not the current one."""
        self.strategy, self.reason = message.get("strategy"), message.get("reason")
        epoch = message.get("epoch")
        docs, position, epoch_sent = (self.docs, self._shown, self._epoch) if base is None else base
        if message.get("recovered") and epoch == epoch_sent:
            self._feed, self._feed_position = docs, position
        else:
            self._feed, self._feed_position = [], None
        if epoch != self._epoch and self._shown is not None:
            self._shown = ""  # of another history: not comparable
        self._epoch = epoch

    def receive(self, message: Mapping[str, Any], *, quiet: bool = False) -> Snapshot | None:
        """A ``snapshot`` message. ``quiet``: only take it in; ``catch_up`` is called later."""
        if message.get("reset"):
            self._feed = []
        changes = take(self._feed, message["changes"])
        self._feed_position = message["position"]
        if quiet:
            return None
        if self._feed is not self.docs:
            return self.catch_up()
        return self._show(changes, message.get("meta"))

    @property
    def behind(self) -> bool:
        """Whether the connection's list is older than what the application sees."""
        if self._feed is self.docs or not self._shown:
            return False
        return self._feed_position is None or is_later(self._shown, self._feed_position)

    def catch_up(self) -> Snapshot | None:
        """Show the connection's list. None if there is no change, or no list yet."""
        if self._feed is self.docs or self._feed_position is None:
            return None
        changes = difference(self.docs, self._feed)
        self.docs = self._feed
        return self._show(changes)

    def _show(self, changes: tuple[Change, ...], meta: Mapping[str, Any] | None = None) -> Snapshot | None:
        assert self._feed_position is not None
        first, self._shown = self._shown is None, self._feed_position
        if not changes and not first:
            return None
        return Snapshot(tuple(self.docs), changes, self._shown, meta, self.strategy, self.reason)
