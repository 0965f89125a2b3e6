"""Messages of a cluster are counted by its relay, of all channels, whatever its nodes receive."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from server.cli.serving.local_nats import LocalNats
from tests.integration.analytics.test_served import sums
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run_each, until
from tests.support.servers.processes import GIVE_UP_AFTER, serving, start

BY_NODE = "select sum(published)::int from realtime.usage_totals where bucket = 'minute' group by node_id order by 1"


async def test_the_relay_counts_what_no_node_receives_and_the_next_one_goes_on(database: str, tmp_path: Path) -> None:
    nats = LocalNats(tmp_path / "nats", free_port())
    await asyncio.to_thread(nats.start)
    config: dict[str, Any] = {"slot_name": slot_name(), "nats_url": nats.url, "analytics_interval": 1}
    try:
        async with asyncio.timeout(4 * GIVE_UP_AFTER):
            for how, count in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
                relay = await start("relay", "--dsn", database, port=free_port(), config=config)
                try:
                    await relay.healthy()
                    async with serving(database, free_port(), **config):
                        for number in range(count):
                            run_each(database, f"select realtime.broadcast('room:{number}', 'sent', '1')")
                        if how == signal.SIGKILL:
                            await until(lambda: sums(database)["published"] == 8)
                finally:
                    await relay.end(how)
        assert sums(database)["published"] == 8
        assert read(database, BY_NODE)[-1] == (8,)
    finally:
        await asyncio.to_thread(nats.kill)
