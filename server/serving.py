"""Run a node behind one port until it is told to stop.

The port answers from the first moment (``/health`` says ``starting``). SIGINT and SIGTERM end it in order:
connections are told to go (close code 1001), then the node stops following the database.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.routing import BaseRoute

from engine.errors import RealtimeError
from server.app import make_app
from server.collector import calm
from server.node import Node, package_version
from server.rest import Rest
from server.settings import Settings
from server.ws import RealtimeProtocol

__all__ = ["ServeError", "serve"]

_SHUTDOWN_TIMEOUT = 8  # seconds for connections to close; above the close timeout of a WebSocket
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServeError(RealtimeError):
    """The server cannot listen; the message says where and why."""


def serve(
    settings: Settings, dsn: str, routes: Sequence[BaseRoute] = (), ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: everything that can be set.
        dsn: the database.
        routes: HTTP routes besides the server's own.
        ready: called with the server's URL once it follows the database.

    Raises:
        ServeError: the address cannot be listened on.
        FeedError: the database cannot be followed.
    """
    listener = _listen(settings.host, settings.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, dsn, routes, ready, listener))


async def _serve(
    settings: Settings,
    dsn: str,
    routes: Sequence[BaseRoute],
    ready: Callable[[str], None],
    listener: socket.socket,
) -> None:
    loop = asyncio.get_running_loop()
    node = Node(settings, dsn)
    rest = _rest(settings, dsn)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(node.status, [*routes, rest.mount]),
            ws=cast("Any", partial(RealtimeProtocol, node)),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
    )
    stop = asyncio.Event()
    for each in _SIGNALS:
        loop.add_signal_handler(each, stop.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    starting = asyncio.create_task(_start(node, rest))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            calm()
            ready(_url(listener))
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopped.cancel()
        await serving
        # uvicorn puts its own handlers in place while it serves, and raises the signal again for ours afterwards.
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
        await _finish(starting)
        await rest.stop()
        await node.stop()
    if not starting.cancelled():
        starting.result()


async def _start(node: Node, rest: Rest) -> None:
    await node.start()
    await rest.start()


def _rest(settings: Settings, dsn: str) -> Rest:
    key = None if settings.rest_key is None else settings.rest_key.get_secret_value()
    return Rest(
        dsn,
        package_version(),
        key=key,
        pool_size=settings.rest_pool_size,
        message_size=settings.max_message_size,
    )


async def _finish(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServeError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::", "127.0.0.1", "::1"):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
