"""``/health/live``, ``/health/ready`` and ``/health``: for who restarts the process, for who sends it clients, and in full.

``live`` is about the process alone: a node that waits for its database is not to be restarted. ``ready`` is about new
clients: what an operator has to repair, but clients can live with, leaves a node ready. ``/health`` has everything for
operators, and nothing but the status for all others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.errors import BunbaseError
from server.observe.endpoint import Admit

__all__ = ["health_routes", "is_live", "is_ready"]


def is_live(status: Mapping[str, Any]) -> bool:
    """Whether the node goes on: it has not failed for good."""
    return _feed_state(status) != "failed"


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether new clients can be served: it follows the database, and is not stopping."""
    return status["status"] in ("ok", "degraded") and _feed_state(status) in ("streaming", None)


def health_routes(
    status: Callable[[], Mapping[str, Any]],
    admit: Admit | None = None,
    configuration: Mapping[str, Any] | None = None,
    machine: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
) -> list[Route]:
    """The routes.

    Args:
        status: of the node; its ``status`` is ``ok`` if nothing is wrong.
        admit: lets operators in; None: all see everything.
        configuration: the settings, without secrets.
        machine: the status of all workers of this machine together, for ``/health``; None: it is that of the node.
    """

    async def live(request: Request) -> Response:
        return _answer({"status": status()["status"]}, well=is_live(status()))

    async def ready(request: Request) -> Response:
        return _answer({"status": status()["status"]}, well=is_ready(status()))

    async def health(request: Request) -> Response:
        now = status() if machine is None else await machine()
        shown = dict(now) if await _is_operator(request, admit) else {"status": now["status"]}
        if len(shown) > 1 and configuration is not None:
            shown["configuration"] = configuration
        return _answer(shown, well=now["status"] == "ok")

    return [
        Route("/health", health),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]


def _feed_state(status: Mapping[str, Any]) -> str | None:
    state: str | None = status.get("feed", {}).get("state")
    return state


async def _is_operator(request: Request, admit: Admit | None) -> bool:
    if admit is None:
        return True
    try:
        await admit(request)
    except BunbaseError:
        return False
    return True


def _answer(body: Mapping[str, Any], *, well: bool) -> Response:
    code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(body, code, headers={"Cache-Control": "no-store"})
