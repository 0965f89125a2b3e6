"""Joining a channel, changing presence there, and leaving it: rows of ``realtime.presence``, written here and shown by the
stream.

Theory of operation. A membership, by channel and connection, is in one of these states:

- absent: no row. ``join`` inserts one.
- joining (``_joining``): the INSERT is under way, or committed (``written``) and not shown by the stream. ``join`` returns
  when ``shown`` gets the row, so that a client never reads a list that the next event contradicts. A room that is full, a
  refusal or a timeout ends it with an error; if the row may be written all the same, the membership is leaving.
- present (``Subscription.joined``): ``change`` updates the row, and returns when the stream shows the update
  (``_changing``).
- leaving (``_leaving``): the DELETE is repeated until the database accepts it. A new ``join`` waits for it, else the DELETE
  would remove the new row.

A discontinuity of the stream may hide rows and deletions. Recovery reads all presence again, then ``reconcile`` gives every
waiting call and every joined subscription the result that the stream would have given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import structlog

from engine.channels.core.delivery.events import EndEvent
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.decode import RowChange
from engine.channels.core.messages.model import (
    ChannelFullError,
    KickedError,
    Member,
    PresenceRefusedError,
    UnavailableError,
)
from engine.channels.core.state_machine import ChannelCore
from engine.channels.db.insistence import REFUSED
from engine.channels.db.store import Store

__all__ = ["Membership"]

_log = structlog.get_logger(__name__)

Key = tuple[str, str]  # channel and connection


@dataclass(slots=True, eq=False)
class _Joining:
    member: Member
    shown: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    written: bool = False  # the insert is committed

    def resolve(self, error: Exception | None = None) -> None:
        if self.shown.done():
            return
        if error is None:
            self.shown.set_result(None)
        else:
            self.shown.set_exception(error)


class Membership:
    """See the module. ``spawn`` runs a coroutine as a task of the service; ``timeout``: seconds to wait for the stream."""

    def __init__(
        self,
        core: ChannelCore,
        store: Store,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        timeout: float,
    ) -> None:
        self._core = core
        self._store = store
        self._spawn = spawn
        self._timeout = timeout
        self._joining: dict[Key, _Joining] = {}
        self._changing: dict[Key, tuple[str, asyncio.Future[None]]] = {}
        self._leaving: dict[Key, asyncio.Task[None]] = {}

    async def join(self, subscription: Subscription) -> None:
        """Make the member present, if it asked for it or the room counts its members. Returns when the stream shows it."""
        channel, member = subscription.channel, subscription.member
        limited = self._core.rooms.limited(channel) or await self._is_limited(channel)
        if subscription.options.presence is None and not limited:
            return
        key = (channel, member.connection_id)
        if (leaving := self._leaving.get(key)) is not None:
            await asyncio.wait({leaving}, timeout=self._timeout)  # else it would take the new row with it
        joining = self._joining[key] = _Joining(member)
        try:
            await self._enter(subscription, limited)
            joining.written = True
            async with asyncio.timeout(self._timeout):
                await joining.shown
        except TimeoutError as error:
            raise UnavailableError("the database's stream does not answer; try again") from error
        finally:
            if self._joining.get(key) is joining:
                del self._joining[key]

    async def _is_limited(self, channel: str) -> bool:
        """Ask the table: the stream may not have shown a new room yet."""
        try:
            return await self._store.is_limited(channel)
        except psycopg.errors.UntranslatableCharacter:
            raise
        except REFUSED:  # without the database, the stream's state counts
            return False

    async def _enter(self, subscription: Subscription, limited: bool) -> None:
        """Insert the presence row. If the caller is cancelled while the insert is in flight, the row is deleted again once
        it completes.
        """
        channel, member = subscription.channel, subscription.member
        join = self._store.join(channel, member, subscription.options.presence or {}, limited)
        entering = asyncio.create_task(join)
        try:
            await asyncio.shield(entering)
            subscription.joined = True
        except (ChannelFullError, PresenceRefusedError):
            raise
        except BaseException:  # perhaps it is written
            self._remove((channel, member.connection_id), entering)
            raise

    def leave(self, subscription: Subscription) -> None:
        """A subscription has ended, the connection goes on: its presence ends now."""
        if subscription.joined:
            subscription.joined = False
            self._remove((subscription.channel, subscription.member.connection_id))

    def _remove(self, key: Key, entering: asyncio.Task[None] | None = None) -> None:
        task = self._leaving[key] = self._spawn(self._remove_after(entering, key))
        task.add_done_callback(lambda done: self._row_removed(key, done))

    async def _remove_after(self, entering: asyncio.Task[None] | None, key: Key) -> None:
        if entering is not None:
            await asyncio.gather(entering, return_exceptions=True)
        await self._store.insistence.done("the removal of a member", partial(self._store.leave, *key))

    def _row_removed(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._leaving.get(key) is task:
            del self._leaving[key]

    async def change(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        """Change what the others see. Returns when the stream has shown it, or does not answer; it is committed then."""
        at = await self._store.set_presence(channel, member.connection_id, data)
        row = self._core.presence.rows_of(member.connection_id, channel, member.presence_id)
        if row is not None and row.updated_at >= at:
            return
        key = (channel, member.connection_id)
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changing[key] = (at, shown)
        try:
            async with asyncio.timeout(self._timeout):
                await shown
        except TimeoutError:
            _log.warning("presence_change_not_shown", channel=channel)
        finally:
            if self._changing.get(key) == (at, shown):
                del self._changing[key]

    # -- from the stream -------------------------------------------------------------------------------------------

    def shown(self, key: Key, change: RowChange) -> None:
        """The presence row of ``key`` changed."""
        if change.new is not None and (joining := self._joining.get(key)) is not None:
            joining.resolve()
        at, changing = self._changing.get(key, ("", None))
        if (
            changing is not None
            and not changing.done()
            and (change.new is None or at <= (change.row.get("updated_at") or ""))
        ):
            changing.set_result(None)

    def written(self) -> list[object]:
        """Joins whose row is committed, for :meth:`reconcile`. Call it before the stream's end is read."""
        return [joining for joining in self._joining.values() if joining.written]

    def reconcile(self, written: list[object]) -> None:
        """Resolve what a discontinuity hid. The stream has passed everything in ``written`` by now: if such a row is absent,
        it was removed meanwhile.
        """
        for subscription in list(self._core.hub):
            if subscription.joined and not self._is_present(subscription.channel, subscription.member):
                subscription.joined = False
                subscription.finish(EndEvent(_removed(subscription.channel), subscription.channel))
        for (channel, _), joining in list(self._joining.items()):
            if self._is_present(channel, joining.member) or (joining in written and self._core.rooms.closed(channel)):
                joining.resolve()  # subscribe() checks the room afterwards
            elif joining in written:
                joining.resolve(_removed(channel))
        present = {(row.channel, row.connection_id): row for row in self._core.presence.rows()}
        for key, (at, changing) in self._changing.items():
            if not changing.done() and (key not in present or at <= present[key].updated_at):
                changing.set_result(None)

    def _is_present(self, channel: str, member: Member) -> bool:
        return self._core.presence.rows_of(member.connection_id, channel, member.presence_id) is not None


def _removed(channel: str) -> KickedError:
    return KickedError(f"you were removed from {channel}")
