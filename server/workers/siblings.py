"""The other workers of this machine, reached over local sockets: requests of their sessions, their status and metrics.

Each worker answers HTTP on a socket in the directory of its supervisor, which no other user may enter: the addresses of the
transports without sockets, as on the port, and ``/status`` and ``/metrics``. A session's secret begins with the number of
its worker, so whichever worker accepts a request knows where it belongs. A connection is made for each request: one that was
kept could be closed by the other side at the moment of the next request, which would look like the end of the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import structlog
import uvicorn
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.metrics.registry import Registry
from server.http.problems import ProblemError
from server.observe.endpoint import Families
from server.protocol.error_codes import ErrorCode
from server.transports.http_routes import transport_routes
from server.transports.http_sessions import HttpSessions, ended
from server.workers.entrance import Server
from server.workers.machine_metrics import of_process, of_workers, packed, shown_by
from server.workers.machine_status import Status, of_machine
from server.workers.source import relay_figures, relay_pid_file
from server.workers.worker import Worker

__all__ = ["Siblings"]

_log = structlog.get_logger("realtime.workers")

_FIGURES_TIMEOUT: Final = 2.0  # seconds for the status or the metrics of another worker
_ANSWER_TIMEOUT: Final = 90.0  # seconds; the longest poll takes 30
_NOT_HANDED_ON: Final = frozenset(("connection", "content-length", "date", "server", "transfer-encoding", "vary"))
"""Headers of another worker's answer that this one makes itself."""


class Siblings:
    """See the module; ``status``: of this worker, with its process. Gives the sessions the worker's number."""

    def __init__(self, worker: Worker, status: Status, registry: Registry, sessions: HttpSessions) -> None:
        sessions.prefix = f"{worker.number}."
        self._number, self._count = worker.number, worker.count
        self._directory = worker.directory
        self._status, self._exposed = status, registry.exposed()
        self._relay = of_process(relay_pid_file(worker.directory))
        app = Starlette(
            routes=[
                *transport_routes(sessions, ()),
                Route("/status", self._answer_status),
                Route("/metrics", self._answer_metrics),
            ]
        )
        config = uvicorn.Config(app, ws="none", http="h11", lifespan="off", log_config=None, access_log=False)
        self._server = _LocalServer(config, self._path(worker.number))
        self._serving: asyncio.Task[None] | None = None
        self._clients: dict[int, httpx.AsyncClient] = {}

    def _path(self, number: int) -> Path:
        return self._directory / f"worker{number}"

    @property
    def others(self) -> Siblings:
        """See ``server.workers.machine.Machine``."""
        return self

    @property
    def families(self) -> Families:
        """See ``server.workers.machine.Machine``."""
        return self._metrics

    # -- this worker ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Answer the others, and be able to ask them."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[]))
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        for number in range(1, self._count + 1):
            if number != self._number:
                transport = httpx.AsyncHTTPTransport(uds=str(self._path(number)), limits=limits)
                self._clients[number] = httpx.AsyncClient(transport=transport, base_url="http://worker")

    async def stop(self) -> None:
        """Answer no more."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        for client in self._clients.values():
            await client.aclose()

    async def _answer_status(self, request: Request) -> Response:
        return Response(msgspec.msgpack.encode(self._status()))

    async def _answer_metrics(self, request: Request) -> Response:
        return Response(packed(self._exposed))

    # -- sessions: server.transports.http_sessions.OtherWorkers --------------------------------------------------------

    def have(self, secret: str) -> bool:
        """Whether the secret is that of another worker's session, if it is one at all."""
        return self._owner(secret) in self._clients

    async def ask(self, secret: str, method: str, path: str, content: bytes) -> Response:
        """What that worker answers. Raises ``ProblemError``, also if the worker has ended, and the session with it."""
        client = self._clients[self._owner(secret)]
        try:
            answer = await client.request(method, path, content=content, timeout=_ANSWER_TIMEOUT)
        except httpx.TimeoutException as late:
            text = "the server did not answer in time; try again"
            raise ProblemError(ErrorCode.CONNECTION_FAILED, text, HTTPStatus.SERVICE_UNAVAILABLE) from late
        except httpx.TransportError as lost:
            raise ended() from lost
        headers = {name: value for name, value in answer.headers.items() if name not in _NOT_HANDED_ON}
        return Response(answer.content, answer.status_code, headers)

    def _owner(self, secret: str) -> int:
        number, dot, _ = secret.partition(".")
        return (
            int(number) if dot and number.isascii() and number.isdigit() and len(number) <= len(str(self._count)) else 0
        )

    # -- figures -------------------------------------------------------------------------------------------------------

    async def status(self) -> Mapping[str, Any]:
        """The body of ``/health``: of all workers together."""
        found, late = await self._figures("/status")
        others = {number: msgspec.msgpack.decode(content) for number, content in found.items()}
        statuses = others | {self._number: self._status()}
        reasons = dict.fromkeys(
            late, f"has not answered within {_FIGURES_TIMEOUT:g} s: it hangs, or has too much to do"
        )
        relay = await shown_by(relay_figures(self._directory), _FIGURES_TIMEOUT)
        shown = of_machine([statuses.get(number) for number in range(1, self._count + 1)], self._number, reasons)
        return shown if relay is None else shown | relay.status

    async def _metrics(self) -> Sequence[Metric]:
        """The metrics of all workers and of the relay; those of a process that does not answer are missing."""
        others, late = await self._figures("/metrics")
        if late:
            _log.warning("worker_not_measured", workers=sorted(late), seconds=_FIGURES_TIMEOUT)
        found = others | {self._number: packed(self._exposed)}
        figures = [(str(number), content) for number, content in sorted(found.items())]
        figures.append(("relay", packed(self._relay)))
        relay = await shown_by(relay_figures(self._directory), _FIGURES_TIMEOUT)
        if relay is not None:
            figures.append(("relay", relay.metrics))
        return of_workers(figures)

    async def _figures(self, path: str) -> tuple[dict[int, bytes], list[int]]:
        """What the others answer, those that do, and which of them have not answered in time."""
        found: dict[int, bytes] = {}
        late: list[int] = []

        async def ask(number: int, client: httpx.AsyncClient) -> None:
            try:
                async with asyncio.timeout(_FIGURES_TIMEOUT):  # httpx's own is of each part of an answer
                    found[number] = (await client.get(path, timeout=None)).content
            except TimeoutError:
                late.append(number)
            except httpx.TransportError as error:  # it starts, or has ended: the supervisor replaces it
                _log.debug("worker_not_reached", number=number, error=str(error))

        await asyncio.gather(*(ask(number, client) for number, client in self._clients.items()))
        return found, late


class _LocalServer(Server):
    """Listens on a socket of the file system."""

    def __init__(self, config: uvicorn.Config, path: Path) -> None:
        super().__init__(config, {})
        self._path = path

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Take the place of a worker's that has ended."""
        self._path.unlink(missing_ok=True)
        server = await asyncio.get_running_loop().create_unix_server(self._protocols(), str(self._path))
        self.servers.append(server)
        self.started = True

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """As uvicorn's, and remove the socket."""
        await super().shutdown(sockets)
        self._path.unlink(missing_ok=True)
