"""Notices that the server has done what was asked over a connection, and its answer does not arrive.

For a connection whose statements have no limit: a commit may wait for a synchronous standby for as long as that is away. So
the server is asked, over another connection, whether the backend still works for us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
import structlog

from engine.channels.model import Unavailable
from engine.channels.store import Store
from engine.connecting import PooledConnection

__all__ = ["watch_silence"]

_LOOK_EVERY: Final = 1.0  # seconds
_LONG: Final = 3.0  # seconds without an answer after which the server is asked

_log = structlog.get_logger(__name__)


async def watch_silence(
    store: Store, watched: Callable[[], tuple[PooledConnection[Any] | None, Mapping[str, object]]]
) -> None:
    """Whenever the connection that ``watched`` returns, with its backend (``pid``, ``started``), is found dead: end it."""
    clock = asyncio.get_running_loop().time
    idle_since: float | None = None  # the question whose backend was found idle already
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        connection, backend = watched()
        asked = None if connection is None else connection.asked
        if connection is None or asked is None or clock() - asked < _LONG or not backend:
            continue
        try:
            idle = (await store.rows("engine_backend_idle", **backend))[0]["idle"]
        except (Unavailable, psycopg.Error) as error:
            _log.info("silence_not_explained", error=str(error).strip())
            continue
        if not idle or connection.asked != asked:
            idle_since = None
        elif idle_since == asked:  # and the answer had all the time since the last look to arrive
            connection.hang_up("the server has answered, and nothing arrived")
        else:
            idle_since = asked
