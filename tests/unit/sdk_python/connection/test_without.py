"""What waits without a connection has the reason in its error; so has a REST client that is closed."""

from __future__ import annotations

import pytest
from bunbase import AsyncRealtimeServer, Realtime, RealtimeError, RealtimeServer

from tests.support.ports import free_port


async def test_what_takes_too_long_without_a_connection_has_the_reason() -> None:
    realtime = Realtime(f"http://127.0.0.1:{free_port()}", transports=("polling",))
    why = r"within 1 s: the client is offline \(.*(refused|failed)"
    with pytest.raises(RealtimeError, match=f"no result {why}"):
        await realtime.database().collection("messages").get(timeout=1)
    with pytest.raises(RealtimeError, match=f"0/1 was not seen {why}"):
        await realtime.when_seen("0/1", timeout=1)
    await realtime.disconnect()


async def test_a_rest_client_that_is_closed_is_a_realtime_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    closed, aclosed = RealtimeServer(url), AsyncRealtimeServer(url)
    closed.close()
    await aclosed.aclose()
    with pytest.raises(RealtimeError, match=r"^RT_001: the client is closed$"):
        closed.channel("chat:1").broadcast("e", 1)
    with pytest.raises(RealtimeError, match=r"^RT_001: the client is closed$"):
        await aclosed.get_connections()
