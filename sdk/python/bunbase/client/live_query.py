"""A live query as the application sees it: callbacks, or snapshots to iterate over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Generic, Protocol, Self, cast

from bunbase.client.emitter import Emitter, Listener
from bunbase.connection.subscription import Raw
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.lists import difference
from bunbase.core.live_state import Base, LiveState
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.model import Doc, Snapshot
from bunbase.protocol.type_variables import D, D_co

__all__ = ["Callback", "Followed", "QuerySubscription", "Snapshots"]

Callback = Callable[[Snapshot[D]], Awaitable[None] | None]


class QuerySubscription(Emitter, Generic[D_co]):
    """A subscription to a query, made by ``Query.on_snapshot``.

    Events: ``snapshot`` with a ``Snapshot``; ``error`` with the ``RealtimeError`` that ended it.
    """

    _EVENTS = ("snapshot", "error")

    def __init__(self, manager: SubscriptionManager, state: LiveState, callback: Callback[D_co] | None) -> None:
        super().__init__()
        self._manager = manager
        self._state = state
        self._begun = False
        self.error: RealtimeError | None = None
        if callback is not None:
            self.on("snapshot", callback)

    def __repr__(self) -> str:
        return f"<QuerySubscription {self._state.channel}, {len(self._state.docs)} documents>"

    @property
    def docs(self) -> tuple[Doc[D_co], ...]:
        """The list as it is now."""
        return cast("tuple[Doc[D_co], ...]", tuple(self._state.docs))

    @property
    def strategy(self) -> str | None:
        """``incremental`` or ``re-read``; None until the server has answered."""
        return self._state.strategy

    @property
    def reason(self) -> str | None:
        """Why the query is read again, in words; None if it is not, or until the server has answered."""
        return self._state.reason

    async def unsubscribe(self) -> None:
        """No more snapshots."""
        await self._manager.unsubscribe(self)

    # Called by the subscription manager.

    @property
    def key(self) -> str:
        """See ``Subscription``."""
        return self._state.id

    @property
    def begun(self) -> bool:
        """See ``Subscription``."""
        return self._begun

    def request(self) -> Raw:
        """See ``Subscription``."""
        return self._state.request()

    def unsubscribe_request(self) -> Raw:
        """See ``Subscription``."""
        return {"type": "unsubscribe", "channel": self._state.channel, "id": self._state.id}

    def base(self) -> object:
        """See ``Subscription``."""
        return self._state.base()

    def subscribed(self, message: Raw, base: object, *, seamless: bool) -> None:
        """See ``Subscription``."""
        self._begun = True
        self._state.subscribed(message, cast("Base | None", base))

    def received(self, message: Raw, *, quiet: bool) -> None:
        """See ``Subscription``."""
        self._show(self._state.receive(message, quiet=quiet))

    def catch_up(self, *, force: bool) -> bool:
        """See ``Subscription``."""
        if self._state.behind and not force:
            return False
        self._show(self._state.catch_up())
        return True

    def ended(self, error: RealtimeError, *, quiet: bool = False) -> None:
        """See ``Subscription``."""
        self.error = error
        if quiet:
            self._deliver("error", error)
        else:
            self._report_error(error)

    def _show(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self._deliver("snapshot", snapshot)


class Followed(Protocol):
    """What has the events ``snapshot`` and ``error``: a live query, or its pages."""

    error: RealtimeError | None

    def on(self, event: str, listener: Listener) -> object:
        """Call ``listener`` whenever ``event`` happens."""

    async def unsubscribe(self) -> None:
        """No more snapshots."""


class Snapshots(Generic[D_co]):
    """See ``Query.snapshots``. Never holds more than the list itself."""

    def __init__(self, live: Followed) -> None:
        self._live = live
        self._seen: tuple[Doc[D_co], ...] = ()
        self._first = True
        self._latest: Snapshot[D_co] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        live.on("snapshot", self._take)
        live.on("error", self._wake)

    def __repr__(self) -> str:
        return f"<Snapshots of {self._live!r}{', closed' if self._closed else ''}>"

    async def close(self) -> None:
        """Unsubscribe."""
        self._closed = True
        self._changed.set()
        await self._live.unsubscribe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Snapshot[D_co]:
        while True:
            if self._closed:
                raise StopAsyncIteration
            if self._latest is not None and (snapshot := self._next(self._latest)) is not None:
                return snapshot
            if self._live.error is not None:
                raise self._live.error
            self._changed.clear()
            await self._changed.wait()

    def _next(self, latest: Snapshot[D_co]) -> Snapshot[D_co] | None:
        self._latest = None
        first, self._first = self._first, False
        changes = difference(self._seen, latest.docs)
        self._seen = latest.docs
        return replace(latest, changes=changes) if changes or first else None

    def _take(self, snapshot: Snapshot[D_co]) -> None:
        # The difference to what was seen last is of one transaction only if this snapshot is the only one since then.
        self._latest = snapshot if self._latest is None else replace(snapshot, meta=None)
        self._changed.set()

    def _wake(self, error: RealtimeError) -> None:
        self._changed.set()
