"""What the server cannot do for the moment does not end a subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from bunbase import Realtime, RealtimeError, Snapshot

from engine.errors import DatabaseUnavailableError
from engine.identity.principal import Principal
from engine.live.core.resume_log import Resume
from engine.live.query_accounts import ConnectionAccount
from server.ports.live_queries import LiveEvent, LiveSubscription
from tests.support.fakes.server import FakeLiveQueries, FakeLiveSubscription, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER


class Away(FakeLiveQueries):
    """Refuses the first subscriptions, as a server does whose database is away."""

    refusals = 3

    async def subscribe(
        self,
        principal: Principal,
        collection: str,
        spec: Mapping[str, object],
        deliver: Callable[[LiveSubscription, LiveEvent], None],
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> FakeLiveSubscription:
        self.refusals -= 1
        if self.refusals >= 0:
            raise DatabaseUnavailableError("the database cannot be reached; try again")
        return await super().subscribe(principal, collection, spec, deliver, resume, account)


@pytest.mark.long
async def test_a_live_query_that_is_opened_while_the_database_is_away_is_served_when_it_is_back() -> None:
    received: asyncio.Queue[Any] = asyncio.Queue()
    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        fake_server(lists=Away()) as server,
        Realtime(f"http://127.0.0.1:{server.port}", transports=("websocket",)) as realtime,
    ):
        query = realtime.database().collection("messages").on_snapshot(received.put_nowait)
        query.on("error", received.put_nowait)
        first = await received.get()
        assert not isinstance(first, RealtimeError), first
        assert isinstance(first, Snapshot)
