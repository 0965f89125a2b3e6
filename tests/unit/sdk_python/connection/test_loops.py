"""A client belongs to one event loop: what another one calls fails at once, instead of waiting for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bunbase import Channel, QuerySubscription, Realtime, Snapshot

from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

Call = Callable[[Realtime, Channel, QuerySubscription], Awaitable[object]]


def ignore(_: Snapshot) -> None:
    pass


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda realtime, channel, live: realtime.connect(), id="connect"),
        pytest.param(lambda realtime, channel, live: realtime.disconnect(), id="disconnect"),
        pytest.param(lambda realtime, channel, live: realtime.when_seen("0/1"), id="when_seen"),
        pytest.param(lambda realtime, channel, live: realtime.channel("other").subscribe(), id="subscribe"),
        pytest.param(lambda realtime, channel, live: channel.send("e", 1), id="send"),
        pytest.param(lambda realtime, channel, live: channel.history(), id="history"),
        pytest.param(lambda realtime, channel, live: channel.unsubscribe(), id="unsubscribe"),
        pytest.param(lambda realtime, channel, live: realtime.database().collection("messages").get(), id="get"),
        pytest.param(lambda realtime, channel, live: live.unsubscribe(), id="of a query"),
    ],
)
async def test_a_call_in_another_event_loop_fails_at_once_and_changes_nothing(call: Call) -> None:
    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        fake_server() as server,
        Realtime(f"http://127.0.0.1:{server.port}", transports=("websocket",)) as realtime,
    ):
        channel = await realtime.channel("chat:loops").subscribe()
        live = realtime.database().collection("messages").on_snapshot(ignore)

        async def elsewhere() -> None:
            async with asyncio.timeout(GIVE_UP_AFTER / 4):
                await call(realtime, channel, live)

        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        assert realtime.state == "open"
        assert channel.is_subscribed
        await realtime.channel("other").subscribe()
