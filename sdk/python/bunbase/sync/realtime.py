"""The client of synchronous code."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from types import NoneType, TracebackType
from typing import Any, Self, overload

from bunbase.client.realtime import Realtime
from bunbase.connection.options import expect
from bunbase.core.status import ConnectionState, ConnectionStatus
from bunbase.sync.loop_thread import LoopThread
from bunbase.sync.query import SyncDatabase, SyncDB
from bunbase.sync.typed_channel import SyncChannel

__all__ = ["SyncRealtime"]


class SyncRealtime:
    """A client for code without asyncio: scripts, workers, threads, which may share it.

    ``with SyncRealtime(url) as realtime:`` connects and disconnects. The connection lives in a thread of its own, which ends
    with it; what goes wrong is raised in the thread that calls.

    Args:
        url: the server, see ``Realtime``.
        options: those of ``Realtime``. A ``get_token`` that is no coroutine function is called in another thread, so it may
            block.
    """

    def __init__(self, url: str | None = None, **options: Any) -> None:
        get_token = options.get("get_token")
        if callable(get_token) and not inspect.iscoroutinefunction(get_token):
            options["get_token"] = partial(asyncio.to_thread, get_token)
        self._realtime = Realtime(url, **options)
        self._thread = LoopThread()

    def __repr__(self) -> str:
        return repr(self._realtime).replace("<", "<Sync", 1)

    @property
    def state(self) -> ConnectionState:
        """The ``state`` of ``status``."""
        return self._realtime.state

    @property
    def retry_at(self) -> float | None:
        """When the next attempt to connect begins, see ``Realtime.retry_at``."""
        return self._realtime.retry_at

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection, and if not, why."""
        return self._realtime.status

    @property
    def transport(self) -> str | None:
        """The transport in use; None without a connection."""
        return self._realtime.transport

    @property
    def connection_id(self) -> str | None:
        """The current connection's id; None without a connection."""
        return self._realtime.connection_id

    def connect(self) -> None:
        """Connect, and wait until that is done. Raises ``RealtimeError`` (RT_001) when it fails for good."""
        self._thread.run(self._realtime.connect())

    def reconnect_now(self) -> None:
        """The network has changed or returned: reconnect at once, and check an open connection."""
        self._thread.run(self._reconnect_now())

    async def _reconnect_now(self) -> None:
        self._realtime.reconnect_now()

    def close(self) -> None:
        """Disconnect, and end the thread. Iterators end. A closed client stays closed."""
        self._thread.close(self._realtime.disconnect())

    def channel(self, name: str, **options: Any) -> SyncChannel:
        """A channel by its name. ``options``: those of ``Realtime.channel``."""
        return SyncChannel(self._thread, self._realtime, self._realtime.channel(name, **options))

    @overload
    def database(self) -> SyncDatabase: ...

    @overload
    def database(self, typed: type[SyncDB]) -> SyncDB: ...

    def database(self, typed: type[SyncDatabase] | None = None) -> Any:
        """Where live queries begin. ``typed``: ``SyncTypedDatabase`` of ``realtime types --py``."""
        expect("typed", typed, (type, NoneType))
        return SyncDatabase(self._thread, self._realtime)

    def when_seen(self, position: str, *, timeout: float = 30.0) -> None:
        """Wait until this client has all that a write has caused, see ``Realtime.when_seen``."""
        self._thread.run(self._realtime.when_seen(position, timeout=timeout))

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
