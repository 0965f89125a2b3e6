"""The Python SDK waits as long as the server asks for."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from bunbase import AsyncRealtimeServer, ErrorCode, RealtimeError, RealtimeServer
from bunbase.connection.connection_manager import ConnectionManager
from bunbase.connection.link import Link, LinkHandler
from bunbase.connection.options import Options
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.protocol.codes import CloseCode
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import Address
from bunbase.transports.base import Transport, retry_after_of

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


class ClosedManager(RefusedManager):
    """One connection, which ends as the server closes it; then every attempt is refused."""

    link: Link

    async def _open(self, name: str) -> Link:
        if self.link.ended.done():
            return await super()._open(name)
        await self.link.open()
        return self.link

    async def _serve(self, link: Link) -> ConnectionEndedError:
        return await link.ended


class LimitedTransport(Transport):
    """A server that greets, reports a limit and closes the connection."""

    name = "websocket"

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(Address("http://localhost"), 1.0)
        self._messages: list[dict[str, Any]] = [{"type": "connected"}, error]

    async def open(self) -> None:
        self._received()

    async def send(self, messages: list[dict[str, Any]]) -> None:
        raise AssertionError("nothing is to be sent")

    async def receive(self) -> list[dict[str, Any]]:
        if not self._messages:
            raise ConnectionEndedError("too many connections", CloseCode.POLICY_VIOLATION)
        return [self._messages.pop(0)]

    async def close(self, *, leave: bool) -> None:
        self._messages.clear()


class SilentHandler(LinkHandler):
    def received(self, link: Link, message: dict[str, Any]) -> None:
        pass

    def next_message(self, link: Link) -> None:
        return None


async def test_a_connection_that_is_closed_because_of_a_limit_is_opened_again_when_the_server_wants_it() -> None:
    nothing: Any = None
    error = {"type": "error", "code": "RT_006", "message": "this user has 10 connections", "retryAfter": 12.0}
    manager = ClosedManager(Address("http://localhost"), OPTIONS, nothing, lambda state, error: None, nothing)
    manager.waits, manager.link = [], Link(LimitedTransport(error), OPTIONS, SilentHandler(), nothing)
    await manager.run()
    await manager.link.close()
    assert manager.waits[0] == 12.0


async def test_a_limit_of_the_number_of_something_does_not_hold_back_other_requests() -> None:
    nothing: Any = None
    for wait, blocked in ((10.0, False), (0.5, True)):
        error = {
            "type": "error",
            "code": "RT_006",
            "message": "too many live queries",
            "channel": "c",
            "retryAfter": wait,
        }
        link = Link(LimitedTransport(error), OPTIONS, SilentHandler(), nothing)
        await link.open()
        ended = await link.ended
        assert (link.pacer.wait(time.monotonic()) > 0) is blocked
        assert ended.retry_after == 0
        await link.close()


async def test_a_message_that_is_refused_for_seconds_fails_with_them_and_is_not_sent_again() -> None:
    nothing: Any = None
    manager = SubscriptionManager(10)
    link = manager.active = Link(LimitedTransport({}), OPTIONS, manager, nothing)
    for wait, sent_again in ((4.5, False), (0.5, True)):
        answers: list[Any] = []
        entry = manager.send_queue.add({"type": "message", "channel": "c"}, answers.append, online=True)
        assert manager.next_message(link) == entry.message
        error = {"type": "error", "code": "RT_006", "message": "too many", "channel": "c", "ref": entry.message["ref"]}
        manager.received(link, {**error, "retryAfter": wait})
        assert [answer.retry_after for answer in answers] == ([] if sent_again else [wait])
        assert manager.next_message(link) == (entry.message if sent_again else None)


def test_an_error_has_the_seconds_after_which_the_request_may_be_repeated() -> None:
    error = RealtimeError.of({"code": "RT_006", "message": "too many", "retryAfter": 0.5})
    assert (error.code, error.retry_after) == (ErrorCode.RATE_LIMITED, 0.5)
    assert RealtimeError.of({"code": "RT_003", "message": "no"}).retry_after is None


def test_the_header_is_seconds_and_anything_else_is_ignored() -> None:
    values = ("10", "", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert [retry_after_of({"Retry-After": value}) for value in values] == [10.0, 0, 0, 0, 0]
    assert retry_after_of({}) == 0


BUSY = {"code": "RT_006", "detail": "more than 1000 requests per second"}


class Server:
    """Answers 429 with the times that it is given, and then with a presence."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if not self.waits:
            return httpx.Response(200, json={"users": [], "count": 0})
        wait = self.waits.pop(0)
        return httpx.Response(429, json={**BUSY, "retryAfter": wait}, headers={"Retry-After": f"{wait:.0f}"})


def client_of(server: Server) -> RealtimeServer:
    client = RealtimeServer("http://realtime.test", timeout=10.0)
    client._http = httpx.Client(transport=httpx.MockTransport(server), base_url="http://realtime.test", timeout=10.0)
    return client


def test_a_time_that_fits_the_timeout_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", naps.append)
    server = Server(2.5, 0.2)
    with client_of(server) as client:
        assert client.channel("chat:1").get_presence().count == 0
    assert server.requests == 3
    assert 2.5 <= naps[0] <= 7.5
    assert 0.2 <= naps[1] <= 5.2


def test_a_longer_time_is_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    server = Server(*[30.0] * 9)
    with client_of(server) as client, pytest.raises(RealtimeError) as busy:
        client.channel("chat:1").get_presence()
    assert (busy.value.code, busy.value.retry_after, server.requests) == ("RT_006", 30.0, 1)


async def test_of_an_answer_without_a_document_it_is_the_header() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(429, headers={"Retry-After": "60"}))
    async with AsyncRealtimeServer("http://realtime.test") as client:
        client._http = httpx.AsyncClient(transport=transport, base_url="http://realtime.test", timeout=10.0)
        with pytest.raises(RealtimeError) as busy:
            await client.channel("chat:1").get_presence()
    assert (busy.value.code, busy.value.retry_after) == ("RT_001", 60.0)
