"""What a content policy refuses is an error of that message alone; the messages behind it are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest
from bunbase import RealtimeError

from tests.integration.sdk_python.conftest import MakeClient
from tests.support.clients.list_client import read, write
from tests.support.servers.processes import GIVE_UP_AFTER

POLICY = "insert into realtime.content_policies (name, channel, {}) values ('{}', '{}', '{}')"


@pytest.fixture
def transport() -> str:
    """The answers are the same on all."""
    return "websocket"


async def code_of(sending: Awaitable[object]) -> str | None:
    """The code of the refusal; None: the message was stored."""
    try:
        await sending
    except RealtimeError as refused:
        return refused.code
    return None


async def test_a_refused_message_ends_with_its_code_and_holds_nothing_up(client: MakeClient, table: str) -> None:
    spam = {"threshold": 3, "half_life": 86_400, "link": 10}
    write(table, POLICY.format("spam", "spam", "s:*", json.dumps(spam)))
    write(table, POLICY.format("schema", "numbers", "n:*", json.dumps({"type": "number"})))
    ada = client("ada")
    numbers, talk = ada.channel("n:1"), ada.channel("s:1")
    async with asyncio.timeout(2 * GIVE_UP_AFTER):
        while await code_of(numbers.send("e", "text")) is None:
            pass  # until the node has learned the policies
        assert await code_of(numbers.send("e", "text")) == "RT_007"
        sent = ["https://x.example", "a", "b", "c", "d"]
        codes = [await code_of(talk.send("e", text)) for text in sent]
        assert codes == ["RT_007", None, None, None, "RT_003"]
        assert await code_of(numbers.send("e", 1)) is None
    assert read(table, "select payload::text from realtime.messages where channel = 's:1' order by seq") == [
        ('"a"',),
        ('"b"',),
        ('"c"',),
    ]
