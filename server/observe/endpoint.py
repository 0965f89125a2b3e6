"""``GET /metrics``: the registry in Prometheus' text format, or OpenMetrics where the request asks for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response

from engine.errors import BunbaseError
from engine.metrics.registry import Registry
from server.http.problems import problem_of

__all__ = ["PATH", "Admit", "Families", "MetricsEndpoint"]

PATH: Final = "/metrics"

Admit = Callable[[Request], Awaitable[None]]
"""Returns if the request may see how the server is doing; else raises what ``problem_of`` knows."""


Families = Callable[[], Awaitable[Sequence[Metric]]]


class MetricsEndpoint:
    """Answers scrapes that ``admit`` lets in. ``machine``: the metrics of all workers of this machine; None: it is alone."""

    def __init__(self, registry: Registry, admit: Admit, machine: Families | None = None) -> None:
        self._exposed = registry.exposed()
        self._admit = admit
        self._machine = machine

    async def __call__(self, request: Request) -> Response:
        """The answer."""
        try:
            await self._admit(request)
        except BunbaseError as refused:
            problem = problem_of(refused)
            if problem is None:
                raise
            return problem.response()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Starlette would add a second charset to a content type without the first.
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        exposed = self._exposed if self._machine is None else _Collected(await self._machine())
        return Response(encode(exposed), headers=headers)


class _Collected:
    """As the registry of ``prometheus_client``."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families
