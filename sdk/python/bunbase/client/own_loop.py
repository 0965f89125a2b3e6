"""The event loop of a client: a connection, and all that waits for it, is in one."""

from __future__ import annotations

import asyncio

__all__ = ["own_loop"]


def own_loop(connection: asyncio.Task[None] | None) -> asyncio.AbstractEventLoop:
    """The running loop. Raises ``RuntimeError`` where there is none, or ``connection`` runs in another: what waits there
    for an answer would wait for ever.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("Realtime needs asyncio: call it in a coroutine, or take SyncRealtime") from None
    if connection is not None and not connection.done() and connection.get_loop() is not loop:
        raise RuntimeError("this client belongs to another event loop: make one for each, or take SyncRealtime")
    return loop
