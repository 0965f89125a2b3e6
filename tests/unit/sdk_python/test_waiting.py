"""The Python SDK waits as long as the server asks for."""

from __future__ import annotations

from typing import Any

from bunbase import ErrorCode, RealtimeError
from bunbase.connection.connection_manager import ConnectionManager
from bunbase.connection.link import Link
from bunbase.connection.options import Options
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import Address
from bunbase.transports.base import retry_after_of

OPTIONS = Options(True, 1.0, 30.0, 2, ("websocket", "sse"), 10.0, 10.0, 10.0, 60.0, 10)


class RefusedManager(ConnectionManager):
    """Every attempt is refused; the waits are noted, not waited for."""

    waits: list[float]

    async def _open(self, name: str) -> Link:
        raise ConnectionEndedError("HTTP 429", retry_after=7.0 if name == "sse" else 0.0)

    async def _back_off(self, attempt: int, at_least: float) -> None:
        self.waits.append(at_least)


async def test_before_the_next_attempt_it_waits_as_long_as_the_server_asked() -> None:
    nothing: Any = None
    manager = RefusedManager(Address("http://localhost"), OPTIONS, nothing, lambda state, error: None, nothing)
    manager.waits = []
    await manager.run()
    assert manager.waits == [7.0, 7.0]


def test_an_error_has_the_seconds_after_which_the_request_may_be_repeated() -> None:
    error = RealtimeError.of({"code": "RT_006", "message": "too many", "retryAfter": 0.5})
    assert (error.code, error.retry_after) == (ErrorCode.RATE_LIMITED, 0.5)
    assert RealtimeError.of({"code": "RT_003", "message": "no"}).retry_after is None


def test_the_header_is_seconds_and_anything_else_is_ignored() -> None:
    values = ("10", "", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert [retry_after_of({"Retry-After": value}) for value in values] == [10.0, 0, 0, 0, 0]
    assert retry_after_of({}) == 0
