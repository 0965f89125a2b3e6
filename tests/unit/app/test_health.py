"""Live, ready and health in full, for each state that a node can be in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.app.http_app import make_app
from server.http.problems import ProblemError
from server.observe.health import health_routes
from server.protocol.error_codes import ErrorCode


def node(status: str, feed: str) -> dict[str, Any]:
    return {"status": status, "feed": {"state": feed}, "connections": 3}


async def statuses(status: dict[str, Any], **options: Any) -> list[tuple[int, dict[str, Any]]]:
    transport = httpx.ASGITransport(make_app(health_routes(lambda: status, **options)))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
        answers = [await http.get(path) for path in ("/health/live", "/health/ready", "/health")]
    return [(answer.status_code, answer.json()) for answer in answers]


@pytest.mark.parametrize(
    ("status", "feed", "codes"),
    [
        ("starting", "starting", [200, 503, 503]),
        ("ok", "streaming", [200, 200, 200]),
        ("degraded", "streaming", [200, 200, 503]),  # what an operator has to repair, other nodes have, too
        ("degraded", "reconnecting", [200, 503, 503]),  # the database is away: a restart would not help
        ("draining", "streaming", [200, 503, 503]),
        ("degraded", "failed", [503, 503, 503]),
    ],
    ids=str,
)
async def test_a_node_is_live_until_it_fails_and_ready_while_it_can_serve_new_clients(
    status: str, feed: str, codes: list[int]
) -> None:
    found = await statuses(node(status, feed))
    assert [code for code, _ in found] == codes
    assert [body["status"] for _, body in found] == [status] * 3


async def refuse(request: object) -> None:
    raise ProblemError(ErrorCode.AUTHENTICATION_FAILED, "no key")


async def admit(request: object) -> None:
    pass


async def test_all_get_the_status_and_operators_the_rest() -> None:
    status, configuration = node("ok", "streaming"), {"port": 1}
    [_, _, (code, body)] = await statuses(status, admit=refuse, configuration=configuration)
    assert (code, body) == (200, {"status": "ok"})
    [_, _, (code, body)] = await statuses(status, admit=admit, configuration=configuration)
    assert (code, body) == (200, status | {"configuration": configuration})
