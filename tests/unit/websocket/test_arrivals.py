"""New connections of a busy address are accepted in its turns; others at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from engine.work_turns import WorkTurns
from server.app import uvicorn_http
from server.limits.query_accounts import QueryAccounts
from server.limits.reading_shares import ReadingShares
from server.transports.websocket import arrival
from tests.support.fakes.opened import Opened
from tests.support.postgres.sql import until

BUSY, QUIET = "198.51.100.1", "198.51.100.2"
HANDSHAKE = (
    b"GET /realtime HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Port:
    """Where sockets arrive. ``accepted``: their addresses, as they become WebSockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turns = WorkTurns()
        self.shares = ReadingShares(1.0, turns=self.turns)
        self.accepted: list[str] = []
        monkeypatch.setattr(
            arrival,
            "become_websocket",
            lambda transport, *_: self.accepted.append(transport.get_extra_info("peername")[0]),
        )
        acceptor = SimpleNamespace(
            floods=lambda ip: False, arrivals=self.shares.arrivals, accept=lambda request: None, message_hard_cap=1024
        )
        self._factory = uvicorn_http.arrivals(cast(Any, acceptor))
        self._config = uvicorn.Config(app=lambda: None, lifespan="off", log_config=None)
        self._config.load()

    def arrive(self, ip: str) -> tuple[Any, Opened]:
        protocol, transport = self._factory(self._config, ServerState(), {}), Opened(ip)
        protocol.connection_made(transport)
        protocol.data_received(HANDSHAKE)
        return protocol, transport


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> Port:
    return Port(monkeypatch)


def _keep_busy(port: Port, ip: str) -> Any:
    share = port.shares.of(ip)
    assert share is not None
    share.exhausted(0.08, 0.0)
    return share


async def test_a_busy_address_waits_for_its_turn_and_another_does_not(port: Port) -> None:
    _keep_busy(port, BUSY)
    waiting = [port.arrive(BUSY)[1] for _ in range(3)]
    _, other = port.arrive(QUIET)
    assert port.accepted == [QUIET]
    assert other.reading
    assert [each.reading for each in waiting] == [False] * 3, "what the client sends on stays where it is"
    await until(lambda: len(port.accepted) == 4)
    assert all(each.reading for each in waiting)


async def test_one_that_is_closed_as_it_waits_is_not_accepted_and_leaves_nothing(port: Port) -> None:
    share = _keep_busy(port, BUSY)
    closed = [port.arrive(BUSY)[0] for _ in range(50)]
    for protocol in closed:
        protocol.connection_lost(None)
        protocol.connection_lost(None)
    assert len(share._busy._arrivals) == 1, "the one whose turn it is next"
    port.arrive(BUSY)
    await until(lambda: port.accepted)
    assert port.accepted == [BUSY]
    assert not share._busy._arrivals


async def test_one_that_waits_too_long_is_closed(port: Port) -> None:
    _keep_busy(port, BUSY)
    protocol, transport = port.arrive(BUSY)
    protocol.late()
    assert transport.closed


def test_queries_of_an_address_count_with_what_is_read_of_it() -> None:
    shares = ReadingShares(1.0, turns=WorkTurns())
    accounts = QueryAccounts(work=shares.work)
    anonymous, user = accounts.enter(None, BUSY), accounts.enter("ann", BUSY)
    anonymous.user.work.charge(1.0)
    assert shares.of(BUSY) is not None
    assert shares.arrivals(BUSY) is not None
    assert shares.arrivals(QUIET) is None
    assert user.user.work.left > 0, "who has proved to be another is not taken for the address"
    local = accounts.enter(None, "127.0.0.1")
    assert local.user.work.left > 0
    assert shares.arrivals("127.0.0.1") is None
