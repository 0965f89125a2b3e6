"""Who may see how the server is doing: a holder of the rest_key, of a secret API key with the scope for it or of an
administrator's token, and, where no key is required, programs of this machine. So metrics are open where the whole REST API
is, and nowhere else.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from engine.metrics.registry import Registry
from server.auth.authorizer import NotAllowedError
from server.observe.endpoint import PATH, Families, MetricsEndpoint
from server.rest.access import NOT_AN_OPERATOR, Access
from server.rest.clients import Clients

__all__ = ["Operators", "metrics_route"]


class Operators:
    """Lets requests of operators in; ``clients`` authenticates those that come with a user's token."""

    def __init__(self, access: Access, clients: Clients) -> None:
        self._access = access
        self._clients = clients

    async def may_watch(self, request: Request) -> None:
        """As ``admit``, for metrics and health."""
        await self.admit(request, "metrics")

    async def admit(self, request: Request, scope: str) -> None:
        """Return if it is one's; ``scope``: what a secret key needs for it. Raises what ``problem_of`` knows."""
        handshake = self._access.check(request, scope)
        if handshake is not None and not (await self._clients.admit(handshake)).principal.administrator:
            raise NotAllowedError(NOT_AN_OPERATOR)


def metrics_route(registry: Registry, operators: Operators, machine: Families | None = None) -> Route:
    """``GET /metrics``, for operators. ``machine``: as of ``MetricsEndpoint``."""
    endpoint = MetricsEndpoint(registry, operators.may_watch, machine)
    return Route(PATH, endpoint.__call__, methods=["GET"])
