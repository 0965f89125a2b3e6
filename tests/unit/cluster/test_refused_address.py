"""A NATS server that is not there is passed over at once, and the reason is named: the client library would try it again."""

from __future__ import annotations

import time

import pytest

from engine.cluster.nats_errors import NatsFailedError
from engine.cluster.nats_stream import connected
from engine.cluster.settings import ClusterSettings
from tests.support.ports import free_port


async def test_an_address_that_refuses_is_given_up_at_once_with_the_reason() -> None:
    gone = f"nats://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(NatsFailedError, match=r"Connect call failed"):
        async with connected(ClusterSettings(urls=(gone, gone), slot="s"), "test"):
            pass
    assert time.monotonic() - began < 1, "less than one pause of the library's, which is two seconds"
