"""What is older than a subscription, as the application reads it."""

from __future__ import annotations

import asyncio

import pytest
from bunbase import Encryption, RealtimeError

from tests.integration.sdk_python.conftest import MakeClient
from tests.support.servers.processes import GIVE_UP_AFTER


async def test_what_is_older_than_the_subscription_is_read_page_by_page(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        for n in range(5):
            await ada.channel(channel_name).send("sent" if n else "whispered", {"n": n})
        channel = bob.channel(channel_name, filter={"events": ["sent"]})
        with pytest.raises(RealtimeError, match="subscribe") as refused:
            await channel.history()
        assert refused.value.code == "RT_004"
        await channel.subscribe()
        page = await channel.history(limit=3)
        assert [(message.data["n"], message.sender) for message in page.messages] == [
            (2, "ada"),
            (3, "ada"),
            (4, "ada"),
        ]
        assert page.before == page.messages[0].position
        page = await channel.history(before=page.before)
        assert ([message.data["n"] for message in page.messages], page.before) == ([1], None)
        with pytest.raises(RealtimeError) as refused:
            await channel.history(before="nonsense")
        assert refused.value.code == "RT_007"


async def test_the_history_of_an_encrypted_channel_is_decrypted(client: MakeClient, channel_name: str) -> None:
    keys = {"k1": b"1" * 32, "k2": b"2" * 32}
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        await ada.channel(channel_name, encryption=Encryption("k1", keys)).send("sent", {"text": "secret"})
        await bob.channel(channel_name).send("sent", "plain")
        channel = await bob.channel(channel_name, encryption=Encryption("k2", keys)).subscribe()
        errors: list[str] = []
        channel.on("error", lambda error: errors.append(error.code))
        page = await channel.history()
        assert [message.data for message in page.messages] == [{"text": "secret"}]
        assert errors == ["RT_007"]
