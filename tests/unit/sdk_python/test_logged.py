"""What no listener of the application gets is logged by the Python SDK."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from bunbase import ErrorCode, Realtime, RealtimeError
from bunbase.client.live_query import QuerySubscription
from bunbase.client.typed_channel import Channel
from bunbase.connection.connection_manager import ConnectionManager
from bunbase.connection.link import Link
from bunbase.connection.options import Options
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.channel_state import ChannelOptions, ChannelState
from bunbase.core.live_state import LiveState
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import Address

REFUSED = RealtimeError(ErrorCode.NOT_FOUND, "no collection is named 'nope'", "db:collection:nope")


def live_query() -> QuerySubscription:
    return QuerySubscription(SubscriptionManager(1), LiveState("q", "db:collection:nope", {}), lambda snapshot: None)


def test_a_refused_live_query_without_an_error_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    live_query().ended(REFUSED)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bunbase", logging.ERROR)
    assert "RT_004: no collection is named 'nope' (db:collection:nope)" in record.getMessage()


def test_an_error_that_has_a_listener_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    live, errors = live_query(), list[RealtimeError]()
    live.on("error", errors.append)
    live.ended(REFUSED)
    assert (errors, caplog.records) == ([REFUSED], [])


async def test_the_presence_of_a_channel_without_presence_is_an_error() -> None:
    channel = Channel(SubscriptionManager(1), ChannelState("chat:1", ChannelOptions()))
    with pytest.raises(RealtimeError, match="presence=True") as refused:
        await channel.get_presence()
    assert refused.value.code == ErrorCode.PRESENCE_REJECTED


class UnreachableManager(ConnectionManager):
    """Nothing listens there; the waits are not waited for."""

    async def _open(self, name: str) -> Link:
        raise ConnectionEndedError("HTTP 404")

    async def _back_off(self, attempt: int, at_least: float) -> None:
        pass


async def test_the_first_failure_names_the_address_once(caplog: pytest.LogCaptureFixture) -> None:
    nothing: Any = None
    reasons: list[str] = []
    options = Options(True, 1.0, 30.0, 3, ("websocket", "sse"), 10.0, 10.0, 10.0, 60.0, 10)
    address = Address("http://localhost:8410")
    await UnreachableManager(address, options, nothing, lambda state, error: reasons.append(str(error)), nothing).run()
    (record,) = caplog.records
    text = "cannot reach http://localhost:8410/realtime (HTTP 404): is that the server's address? set url"
    assert text in record.getMessage()
    assert "http://localhost:8410/realtime" in reasons[-1]


async def test_a_token_that_is_none_is_no_doubt_about_the_address(caplog: pytest.LogCaptureFixture) -> None:
    given: Any = lambda: None  # noqa: E731
    realtime = Realtime("http://localhost:8410", get_token=given, reconnect=False)
    realtime.on("error", lambda _: None)
    with pytest.raises(RealtimeError, match="get_token returned NoneType, not a token"):
        await realtime.connect()
    (record,) = caplog.records
    text = "cannot connect to http://localhost:8410/realtime (get_token returned NoneType, not a token)"
    assert record.getMessage() == text


def test_a_client_never_gives_up_unless_it_is_asked_to() -> None:
    assert Realtime("http://localhost")._options.max_reconnect_attempts == float("inf")
