"""A connection to NATS that was closed is a failure of NATS, after which a node or a relay connects again."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import ConnectionClosedError

from engine.cluster.nats_errors import NatsFailedError
from engine.cluster.nats_stream import NatsStream
from engine.cluster.settings import ClusterSettings


class ClosedClient(Client):
    """One whose connection has been closed."""

    async def publish(self, *_: Any, **__: Any) -> None:
        raise ConnectionClosedError


async def test_what_is_sent_over_a_closed_connection_fails_as_nats_does() -> None:
    stream = NatsStream(ClosedClient(), ClusterSettings(urls=("nats://127.0.0.1:4222",), slot="s"))
    with pytest.raises(NatsFailedError, match="connection closed"):
        await stream.ask(b"")
    with pytest.raises(NatsFailedError, match="connection closed"):
        await stream.publish("subject", b"", "reply", {})
