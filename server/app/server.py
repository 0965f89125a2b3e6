"""Run a node behind one port until a signal stops it.

The port answers from the first moment (``/health`` shows ``starting``). SIGINT, SIGTERM and SIGHUP stop it in order: the
clients are asked to reconnect, spread over ``drain`` seconds (``/health`` shows ``draining``; a second signal ends the
wait), the remaining connections are closed (close code 1001), then the node stops following the database.

A node with an unexpected failure is stopped: its clients are closed (1011), and ``serve`` raises ``NodeFailedError``. The
supervisor of the process restarts it, and the slot has kept the missed changes.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.routing import BaseRoute

from engine.errors import RealtimeError
from server.app.gc_tuning import share_interpreter, tune_gc
from server.app.http_app import make_app
from server.app.listening import listen, url_of
from server.app.loading import public_settings
from server.app.memory import give_back
from server.app.node import Node
from server.app.settings import Settings
from server.app.tls import Certificate, certificate_of
from server.app.uvicorn_http import HttpProtocol
from server.app.version import package_version
from server.dashboard import dashboard_routes
from server.http.client_address import TrustedProxies
from server.http.visitor import VisitorHeaders
from server.limits.network_rates import NetworkRates, Quota
from server.observe.health import health_routes
from server.observe.meters import HTTP
from server.rest import Rest
from server.rest.access import Access, Tokens
from server.rest.clients import Clients
from server.rest.operators import Operators, metrics_route
from server.transports.http_routes import transport_routes

__all__ = ["NodeFailedError", "Server", "serve"]

_SHUTDOWN_TIMEOUT = 8  # seconds for connections to close; above the close timeout of a WebSocket
_TLS_SHUTDOWN_TIMEOUT = 2.0  # seconds for a client to answer that its connection ends
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


class NodeFailedError(RealtimeError):
    """The server had to stop; the message names the cause."""


def serve(
    settings: Settings,
    dsn: str,
    routes: Sequence[BaseRoute] = (),
    ready: Callable[[str], None] = lambda url: None,
    listener: socket.socket | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        settings: everything that can be set.
        dsn: the database.
        routes: HTTP routes besides the server's own.
        ready: called with the server's URL once it follows the database.
        listener: the socket to accept connections on; None: opened according to the settings.

    Raises:
        CertificateError: there is no TLS with the files that the settings name.
        ServeError: the address cannot be listened on.
        FeedError: the database cannot be followed.
        NodeFailedError: the node failed for good.
    """
    certificate = certificate_of(settings)
    if listener is None:
        listener = listen(settings.host, settings.port, settings.user_timeout)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, dsn, routes, ready, listener, certificate))


async def _serve(
    settings: Settings,
    dsn: str,
    routes: Sequence[BaseRoute],
    ready: Callable[[str], None],
    listener: socket.socket,
    certificate: Certificate | None,
) -> None:
    loop = asyncio.get_running_loop()
    node = Node(settings, dsn)
    access, clients = _access(settings, node), _clients(settings, node)
    operators = Operators(access, clients)
    rest = _rest(settings, dsn, node, access, clients)
    node.metrics.engine.follow_pool("rest", lambda: rest.pool_usage)
    server = Server(
        uvicorn.Config(
            make_app(
                health_routes(node.status, operators.may_watch, public_settings(settings)),
                [*_own_routes(settings, node, operators), *routes, rest.mount],
                node.addresses,
                partial(node.metrics.meters.error, HTTP),
            ),
            http=_http_protocol(settings, node),
            ws="none",  # HttpProtocol makes them
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        ),
        certificate,
    )
    stop, force_stop = asyncio.Event(), asyncio.Event()
    for each in _SIGNALS:
        loop.add_signal_handler(each, lambda: (force_stop if stop.is_set() else stop).set())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    starting = asyncio.create_task(_start(node, rest))
    stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(node.failed())
    giving_back = asyncio.create_task(give_back())
    lagging = asyncio.create_task(node.metrics.loop_lag.watch())
    renewing = None if certificate is None else asyncio.create_task(certificate.follow())
    try:
        await asyncio.wait({serving, starting, stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            tune_gc()
            share_interpreter()
            ready(url_of(listener, "http" if certificate is None else "https"))
            await asyncio.wait({serving, stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
            if node.failure is None:
                await _drain(node, force_stop)
    finally:
        node.disconnect_all()
        server.should_exit = True
        stopped.cancel()
        failed.cancel()
        giving_back.cancel()
        lagging.cancel()
        if renewing is not None:
            renewing.cancel()
        await serving
        # uvicorn puts its own handlers in place while it serves, and raises the signal again for ours afterwards.
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
        await _finish(starting)
        await rest.stop()
        await node.stop()
    if node.failure is not None:
        raise _explained(node.failure) from node.failure
    if not starting.cancelled():
        starting.result()


def _explained(failure: BaseException) -> NodeFailedError:
    what = " ".join(f"{type(failure).__name__}: {failure}".split())
    return NodeFailedError(f"the server stopped because it could not go on ({what}); see its log, then start it again")


class Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would close every connection at the first one. TLS has limits of time."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None) -> None:
        super().__init__(config)
        self._certificate = certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's for given sockets, which leaves a client that ends neither a handshake nor a connection a minute."""
        loop, config = asyncio.get_running_loop(), self.config
        make = partial(
            cast("Any", config.http_protocol_class), config=config, server_state=self.server_state, app_state={}
        )
        tls: dict[str, Any] = {}
        if self._certificate is not None:
            tls = {
                "ssl": self._certificate.context,
                "ssl_handshake_timeout": HttpProtocol.head_timeout,
                "ssl_shutdown_timeout": _TLS_SHUTDOWN_TIMEOUT,
            }
        self.servers = [
            await loop.create_server(make, sock=each, backlog=config.backlog, **tls) for each in sockets or ()
        ]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See the class."""
        yield


async def _drain(node: Node, force_stop: asyncio.Event) -> None:
    draining, forced = asyncio.create_task(node.drain()), asyncio.create_task(force_stop.wait())
    await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
    await _finish(draining)
    await _finish(forced)
    if not draining.cancelled():
        draining.result()


async def _start(node: Node, rest: Rest) -> None:
    try:
        await node.start()
        await rest.start()
        node.on_reconnect(rest.renew)
    except BaseException:
        node.abandon()
        raise


def _http_protocol(settings: Settings, node: Node) -> Any:
    return partial(
        HttpProtocol,
        node,
        proxies=TrustedProxies(settings.trusted_proxies),
        proxy_protocol=settings.proxy_protocol,
        visitors=VisitorHeaders(settings.country_header, respect_do_not_track=settings.respect_do_not_track),
    )


def _own_routes(settings: Settings, node: Node, operators: Operators) -> list[BaseRoute]:
    """Beside health and the REST API."""
    return [
        *transport_routes(node.sessions, settings.allowed_origins),
        *([metrics_route(node.metrics.registry, operators)] if settings.metrics else []),
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


async def _finish(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
