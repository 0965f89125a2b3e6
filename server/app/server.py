"""Run a node behind one port until a signal stops it.

The port answers from the first moment (``/health`` shows ``starting``). SIGINT, SIGTERM and SIGHUP stop it in order: the
clients are asked to reconnect, spread over ``drain`` seconds (``/health`` shows ``draining``; a second signal ends the
wait), the remaining connections are closed (close code 1001), then the node stops following the database.

A worker (:mod:`server.workers`) does the same when its supervisor asks it to, and accepts connections when that is wanted.

A node with an unexpected failure is stopped: its clients are closed (1011), and ``serve`` raises ``NodeFailedError``. The
supervisor of the process restarts it, and the slot has kept the missed changes.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import uvicorn
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from engine.errors import RealtimeError
from server.app.gc_tuning import share_interpreter, tune_gc
from server.app.http_app import make_app
from server.app.listening import listen, url_of
from server.app.loading import public_settings
from server.app.memory import give_back, resident
from server.app.node import Node
from server.app.settings import Settings
from server.app.tls import Certificate, certificate_of, listening_with
from server.app.uvicorn_http import arrivals
from server.app.version import package_version
from server.browser_sdk.routes import sdk_routes
from server.dashboard import dashboard_routes
from server.http.client_address import TrustedProxies
from server.http.visitor import VisitorHeaders
from server.limits.network_rates import NetworkRates, Quota
from server.limits.sockets import NetworkSockets
from server.logs.output import OUTPUT
from server.observe.health import health_routes
from server.observe.meters import HTTP
from server.rest import Rest
from server.rest.access import Access, Tokens
from server.rest.clients import Clients
from server.rest.operators import Operators, metrics_route
from server.transports.http_routes import transport_routes
from server.workers.entrance import Server
from server.workers.machine import Alone, Machine
from server.workers.machine_status import with_process
from server.workers.siblings import Siblings
from server.workers.worker import Worker

__all__ = ["NodeFailedError", "serve"]

_IDLE_TIMEOUT = (
    120  # seconds for a connection without a request: longer than proxies keep theirs (docs: "Load balancing")
)
_SHUTDOWN_TIMEOUT = 8  # seconds for connections to close; above the close timeout of a WebSocket
_MAX_DATA = 1024 * 1024  # upper bound of realtime.settings.max_payload
_SIGNALS = tuple(
    each
    for name in (
        "SIGINT",
        "SIGTERM",
        "SIGHUP",
    )  # SIGHUP: a terminal was closed; nohup(1) has it ignored, and that stays
    if (each := getattr(signal, name, None)) is not None and signal.getsignal(each) is not signal.SIG_IGN
)

_SIGNALS_OF_WORKERS = (signal.SIGTERM,)
"""Of a terminal's signals their supervisor makes orders."""


class NodeFailedError(RealtimeError):
    """The server had to stop; the message names the cause."""


def serve(
    settings: Settings,
    dsn: str,
    routes: Sequence[BaseRoute] = (),
    ready: Callable[[str], None] = lambda url: None,
    listener: socket.socket | None = None,
    worker: Worker | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; a worker, until SIGTERM or an order of its supervisor.

    Args:
        settings: everything that can be set.
        dsn: the database.
        routes: HTTP routes besides the server's own.
        ready: called with the server's URL once it follows the database.
        listener: the socket to accept connections on; None: opened according to the settings.
        worker: which of several this process is; None: it is alone. A worker opens its own listener.

    Raises:
        CertificateError: there is no TLS with the files that the settings name.
        ServeError: the address cannot be listened on.
        FeedError: the database cannot be followed.
        NodeFailedError: the node failed for good.
    """
    certificate = certificate_of(settings)
    if listener is None and worker is None:
        listener = listen(settings.host, settings.port, settings.user_timeout)

    async def report(server: Server) -> None:
        if worker is not None:
            await worker.ready(server)
        elif listener is not None:
            ready(url_of(listener, "http" if certificate is None else "https"))

    with OUTPUT.apart(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, dsn, routes, report, listener, certificate, worker))


async def _serve(
    settings: Settings,
    dsn: str,
    routes: Sequence[BaseRoute],
    report: Callable[[Server], Awaitable[None]],
    listener: socket.socket | None,
    certificate: Certificate | None,
    worker: Worker | None,
) -> None:
    loop = asyncio.get_running_loop()
    node = Node(settings, dsn, worker)
    access, clients = _access(settings, node), _clients(settings, node)
    operators = Operators(access, clients)
    rest = _rest(settings, dsn, node, access, clients)
    node.metrics.engine.follow_pool("rest", lambda: rest.pool_usage)
    machine = _machine(node, worker)
    app = make_app(
        health_routes(node.status, operators.may_watch, public_settings(settings), machine.status),
        [*_own_routes(settings, node, operators, machine), *routes, rest.mount],
        node.addresses,
        partial(node.metrics.meters.error, HTTP),
    )
    entrance = None if worker is None else worker.listener
    server = Server(_config(app, _http_protocol(settings, node)), listening_with(certificate), entrance)
    stop, force_stop = asyncio.Event(), asyncio.Event()
    signals = _follow_signals(stop, force_stop, alone=worker is None)
    await machine.start()
    serving = asyncio.create_task(server.serve(sockets=[] if listener is None else [listener]))
    obeying = set() if worker is None else {asyncio.create_task(worker.obey(server, stop.set, force_stop.set))}
    starting = asyncio.create_task(_start(node, rest))
    stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(node.failed())
    beside = [give_back(), node.metrics.loop_lag.watch(), *([] if certificate is None else [certificate.follow()])]
    running = [asyncio.create_task(each) for each in beside]
    try:
        await asyncio.wait({serving, starting, stopped, failed, *obeying}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            tune_gc()
            share_interpreter()
            await report(server)
            await asyncio.wait({serving, stopped, failed, *obeying}, return_when=asyncio.FIRST_COMPLETED)
            if node.failure is None:
                await _drain(node, force_stop)
    finally:
        node.disconnect_all()
        server.should_exit = True
        for task in (stopped, failed, *running):
            task.cancel()
        await serving
        await machine.stop()
        for each in signals:
            loop.remove_signal_handler(each)
        for task in (starting, *obeying):
            await _finish(task)
        await rest.stop()
        await node.stop()
    if node.failure is not None:
        raise _explained(node.failure) from node.failure
    for ended in (starting, *obeying):
        _raise_error_of(ended)


def _explained(failure: BaseException) -> NodeFailedError:
    what = " ".join(f"{type(failure).__name__}: {failure}".split())
    return NodeFailedError(f"the server stopped because it could not go on ({what}); see its log, then start it again")


def _config(app: ASGIApp, http: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        ws="none",  # Arrival and HttpProtocol make them
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_TIMEOUT,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )


def _follow_signals(stop: asyncio.Event, force: asyncio.Event, *, alone: bool) -> Sequence[signal.Signals]:
    """Set ``stop`` at the first signal, ``force`` at the next one; a worker is forced by its supervisor. Returns which."""
    signals = _SIGNALS if alone else _SIGNALS_OF_WORKERS
    for each in signals:
        asyncio.get_running_loop().add_signal_handler(each, lambda: (force if alone and stop.is_set() else stop).set())
    return signals


async def _drain(node: Node, force_stop: asyncio.Event) -> None:
    draining, forced = asyncio.create_task(node.drain()), asyncio.create_task(force_stop.wait())
    await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
    await _finish(draining)
    await _finish(forced)
    _raise_error_of(draining)


async def _start(node: Node, rest: Rest) -> None:
    try:
        await node.start()
        await rest.start()
        node.on_reconnect(rest.renew)
    except BaseException:
        node.abandon()
        raise


def _http_protocol(settings: Settings, node: Node) -> Any:
    return arrivals(
        node,
        proxies=TrustedProxies(settings.trusted_proxies),
        proxy_protocol=settings.proxy_protocol,
        visitors=VisitorHeaders(settings.country_header, respect_do_not_track=settings.respect_do_not_track),
        sockets=NetworkSockets(settings.sockets_per_ip),
    )


def _machine(node: Node, worker: Worker | None) -> Machine:
    """What this process knows of the others, with a status that has what its process takes."""
    if worker is None:
        return Alone(lambda: with_process(node.status(), 1, resident))
    number = worker.number
    return Siblings(worker, lambda: with_process(node.status(), number, resident), node.metrics.registry, node.sessions)


def _own_routes(settings: Settings, node: Node, operators: Operators, machine: Machine) -> list[BaseRoute]:
    """Beside health and the REST API."""
    return [
        *transport_routes(node.sessions, settings.allowed_origins, machine.others),
        *sdk_routes(),
        *([metrics_route(node.metrics.registry, operators, machine.families)] if settings.metrics else []),
        *(dashboard_routes() if settings.dashboard else ()),
    ]


def _access(settings: Settings, node: Node) -> Access:
    key = None if settings.rest_key is None else settings.rest_key.get_secret_value()
    return Access(key, node.keys, required=settings.require_api_key, tokens=_tokens(settings))


def _clients(settings: Settings, node: Node) -> Clients:
    return Clients(node, settings.session_limits, settings.allowed_origins, settings.authentication_timeout)


def _rest(settings: Settings, dsn: str, node: Node, access: Access, clients: Clients) -> Rest:
    return Rest(
        settings.pooled_dsn or dsn,
        package_version(),
        access=access,
        pool_size=settings.rest_pool_size,
        message_size=_MAX_DATA,
        recorded=node.recorded,
        pooled=settings.pooled_dsn is not None,
        rates=NetworkRates(Quota("requests", settings.max_rest_rate, 1.0)),
        node=node,
        clients=clients,
        origins=settings.allowed_origins,
    )


def _tokens(settings: Settings) -> Tokens:
    """Which bearer tokens are users'; a handler judges any text."""
    if settings.auth_handler is not None:
        return Tokens.ANY
    return Tokens.JWT if settings.auth_issuers else Tokens.NONE


def _raise_error_of(ended: asyncio.Task[Any]) -> None:
    if not ended.cancelled():
        ended.result()


async def _finish(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
