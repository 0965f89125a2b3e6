"""The two SDKs read what the other has encrypted; the tables hold only ciphertext."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from asyncio.subprocess import PIPE
from typing import Any

from bunbase import Encryption, Realtime

from tests.integration.sdk_js.scenario_server import SCENARIOS, scenario_server
from tests.support.postgres.sql import read

GIVE_UP_AFTER = 60
KEYS = {name: base64.b64encode(os.urandom(32)).decode() for name in ("k1", "k2")}
SECRET: dict[str, Any] = {"text": "für deine Augen 😀", "numbers": [1, -2.5, None, True]}


async def test_python_and_javascript_understand_each_other(database: str) -> None:
    async with scenario_server(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        environment = {**os.environ, "REALTIME_URL": one.url, "CONTROL_URL": one.control, "KEYS": json.dumps(KEYS)}
        node = await asyncio.create_subprocess_exec("node", str(SCENARIOS / "sealed.mjs"), env=environment, stdout=PIPE)
        assert node.stdout is not None
        assert await node.stdout.readline() == b"ready\n"
        async with Realtime(one.url) as realtime:
            channel = realtime.channel("chat:sealed", encryption=Encryption(key_id="k1", keys=KEYS))
            answers = channel.messages("answer")
            await channel.subscribe()
            await channel.send("question", SECRET)
            async for message in answers:
                assert message.data == {"received": SECRET}
                break
        assert await node.wait() == 0
    stored = read(database, "select payload from realtime.messages where channel = 'chat:sealed' order by seq")
    assert [payload["kid"] for (payload,) in stored] == ["k1", "k2"]
    assert "Augen" not in json.dumps(stored, ensure_ascii=False)
