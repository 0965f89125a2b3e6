"""This node's connections as rows of ``realtime.connections``. A connection whose row is deleted ends, in the stream's
order.

A row stands from its INSERT in the stream to its DELETE. What removes all rows (TRUNCATE, the removal of this node by the
others) ends those connections whose INSERT came before, and no other. Only ``reconcile``, after a discontinuity of the
stream, asks the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import psycopg

from engine.channels.core.messages.model import Deliver, DisconnectedError, Member, NodeRemovedError, UnavailableError
from engine.channels.db.store import Store
from engine.errors import FeedError, RealtimeError
from engine.feed.leases import NodeLease
from engine.lsn import Lsn

__all__ = ["ConnectionRegistry", "Follower"]


Again = Callable[[Member, Deliver], Coroutine[Any, Any, None]]


class Follower(Protocol):
    """What is needed of :class:`engine.stream.driver.StreamDriver`."""

    async def reached(self, position: Lsn) -> None:
        """Wait until everything before ``position`` has been taken from the stream."""
        ...


@dataclass(slots=True, eq=False)
class _Client:
    member: Member
    deliver: Deliver
    written: bool = False  # the insert is committed
    shown: bool = False  # the stream has shown it, or never will


class ConnectionRegistry:
    """See the module. ``ended`` is called with each connection that lost its row, and the reason."""

    def __init__(
        self,
        store: Store,
        stream: Follower,
        lease: NodeLease,
        node_id: str,
        ended: Callable[[Member, Deliver, RealtimeError], None],
    ) -> None:
        self._store = store
        self._stream = stream
        self._lease = lease
        self._node = node_id
        self._ended = ended
        self._clients: dict[str, _Client] = {}
        self._writing: set[asyncio.Future[None]] = set()
        self._mine: set[str] = set()  # rows of this node, also of broken connections
        self._incarnation: str | None = None  # of this node's own row, on which the others hang; None: not known
        self._noting: asyncio.Task[None] | None = None
        self._repeated: set[asyncio.Task[None]] = set()

    def __contains__(self, connection_id: object) -> bool:
        """Whether the row is this node's; it may be that of a connection that broke."""
        return connection_id in self._mine

    def find(self, connection_id: str) -> Member | None:
        """The member, while the connection is here."""
        client = self._clients.get(connection_id)
        return None if client is None else client.member

    def connected(self) -> list[tuple[Member, Deliver]]:
        """The connections of this node, also those whose row is about to be committed: their clients have been greeted."""
        return [(client.member, client.deliver) for client in self._clients.values()]

    def begin(self, member: Member, deliver: Deliver, again: Again) -> asyncio.Future[None] | None:
        """As ``connect``, without a task. If that fails ``again``, which does all of it, finds out why. None: something has
        to be waited for first, and nothing was done.
        """
        if self._incarnation is None:
            return None
        try:
            write = self._store.connect(member)
        except UnavailableError:
            return None
        client = self._keep(member, deliver)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing.add(done)
        write.add_done_callback(partial(self._begun, client, done, again))
        return done

    def _begun(self, client: _Client, done: asyncio.Future[None], again: Again, write: asyncio.Future[Any]) -> None:
        failed = write.cancelled() or write.exception() is not None
        if failed and not done.done():
            task = asyncio.create_task(again(client.member, client.deliver))
            self._repeated.add(task)
            task.add_done_callback(partial(self._ended_again, done))
            return
        self._writing.discard(done)
        client.written = client.written or not failed
        if not done.done():
            done.set_result(None)

    def _ended_again(self, done: asyncio.Future[None], task: asyncio.Task[None]) -> None:
        self._repeated.discard(task)
        self._writing.discard(done)
        if done.done():
            _seen(task)
        elif task.cancelled():
            done.cancel()
        elif (failure := task.exception()) is not None:
            done.set_exception(failure)
        else:
            done.set_result(None)

    def _keep(self, member: Member, deliver: Deliver) -> _Client:
        self._mine.add(member.connection_id)
        client = self._clients.get(member.connection_id)
        if client is None:
            client = self._clients[member.connection_id] = _Client(member, deliver)
        client.deliver = deliver
        return client

    async def connect(self, member: Member, deliver: Deliver) -> None:
        """Insert the connection's row, and keep ``deliver``. May be repeated. Raises ``UnavailableError``."""
        client = self._keep(member, deliver)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing.add(written)
        try:
            if self._incarnation is None:
                await asyncio.shield(self._noted())  # one that gives up must not end the read of the others
            await self._store.connect(member)
            client.written = True
        except psycopg.errors.ForeignKeyViolation:  # this node was removed, and has not registered again
            await self._write_again(member)
            client.written = True
        finally:
            self._writing.discard(written)
            written.set_result(None)

    async def _write_again(self, member: Member) -> None:
        try:
            await self._lease.renew()
            await self._note_incarnation()
            await self._store.connect(member)
        except (psycopg.Error, FeedError, OSError) as error:
            raise UnavailableError("this server is about to take its place again; try again") from error

    def _noted(self) -> asyncio.Task[None]:
        """The read of the incarnation that is under way: many connect at once to a node that has just started."""
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note_incarnation())
            self._noting.add_done_callback(_seen)
        return self._noting

    async def _note_incarnation(self) -> None:
        """Call before a row is written: a removal of this node in between then counts."""
        self._incarnation = (await self._own([]))[0]

    async def _own(self, ids: list[str]) -> tuple[str | None, set[str]]:
        """Since when this node has had its row, and which of these connections have one."""
        [row] = await self._store.rows("engine_own_connections", node=self._node, ids=ids)
        return row["incarnation"], set(row["ids"])

    def closed(self, connection_id: str) -> None:
        """The connection broke. Its row stays this node's until the stream shows that it is deleted."""
        self._clients.pop(connection_id, None)

    # -- from the stream -------------------------------------------------------------------------------------------

    def shown(self, connection_id: str, node_id: str | None) -> None:
        """A row was inserted."""
        if node_id == self._node:
            self._mine.add(connection_id)
        if (client := self._clients.get(connection_id)) is not None:
            client.shown = True

    def deleted(self, connection_id: str) -> None:
        """A row was deleted: that is how a connection is ended."""
        self._mine.discard(connection_id)
        if (client := self._clients.get(connection_id)) is not None:
            self._end(client, _deleted())

    def emptied(self) -> None:
        """The table was truncated."""
        self._end_shown(_deleted)

    def node_removed(self, node_id: str | None) -> None:
        """A node's row was deleted, and with it those of its connections. Its clients reconnect."""
        if node_id == self._node:
            self._incarnation = self._noting = None  # a read that began before does not count for those that come
            self._end_shown(_removed)

    def _end_shown(self, why: Callable[[], RealtimeError]) -> None:
        for client in [client for client in self._clients.values() if client.shown]:
            self._end(client, why())
        self._mine = set(self._clients)

    def _end(self, client: _Client, why: RealtimeError) -> None:
        del self._clients[client.member.connection_id]
        self._ended(client.member, client.deliver, why)

    async def reconcile(self) -> list[str]:
        """After a discontinuity: end the connections that the stream would have ended. Returns those of the others whose row
        the stream has not shown.

        The stream will show rows that are written from now on. Once it has reached the position where the table is read, it
        has shown every other row, or missed it; so no row is waited for any more.
        """
        if self._writing:
            await asyncio.wait(set(self._writing))
        known = [client for client in self._clients.values() if client.written or client.shown]
        await self._store.insistence.done("catching up with the stream", self._catch_up)
        lacked = [client for client in known if not client.shown]
        for client in known:
            client.shown = True
        ids = [client.member.connection_id for client in known]
        incarnation, there = await self._store.insistence.done("the look for connections", partial(self._own, ids))
        # Which of them were disconnected before this node was removed is not known: all may reconnect.
        why, self._incarnation = _removed if incarnation != self._incarnation else _deleted, incarnation
        for client in known:
            id = client.member.connection_id
            if id not in there and self._clients.get(id) is client:
                self._mine.discard(id)
                self._end(client, why())
        return [id for client in lacked if (id := client.member.connection_id) in self._clients]

    async def _catch_up(self) -> None:
        await self._stream.reached(await self._store.flushed())


def _seen(read: asyncio.Task[None]) -> None:
    """Its error is for those that wait, which may have gone."""
    if not read.cancelled():
        read.exception()


def _deleted() -> DisconnectedError:
    return DisconnectedError("this connection was ended by the server")


def _removed() -> NodeRemovedError:
    return NodeRemovedError("this server had been silent for too long and was taken for dead; connect again and resume")
