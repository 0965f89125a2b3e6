"""An unsubscribe that crosses what the server sends: its answer ends nothing else, and is not reported."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from bunbase import Channel, RealtimeError
from bunbase.connection.link import Link
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.channel_state import ChannelOptions, ChannelState

from tests.unit.sdk_python.test_channel_handles import turn

SUBSCRIBED = {"type": "subscribed", "channel": "chat:1", "position": "0/10"}
DENIED = {"type": "error", "code": "RT_003", "message": "no", "channel": "chat:1"}
UNKNOWN = {"type": "error", "code": "RT_004", "message": "there is no such", "channel": "chat:1"}


class FakeLink:
    """A connection; what is requested is kept."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.ended = asyncio.get_running_loop().create_future()
        self.connected: dict[str, Any] = {}

    def post(self, *messages: dict[str, Any]) -> None:
        self.posted += messages

    def wake(self) -> None:
        """Nothing is sent."""

    def types(self) -> list[str]:
        return [message["type"] for message in self.posted]


class Manager(SubscriptionManager):
    """What is reported is kept."""

    def __init__(self) -> None:
        super().__init__(10)
        self.reported: list[RealtimeError] = []

    def failed(self, error: RealtimeError) -> None:
        self.reported.append(error)


def connected() -> tuple[Manager, FakeLink, Channel]:
    manager, link = Manager(), FakeLink()
    manager.activate(cast("Link", link))
    return manager, link, Channel(manager, ChannelState("chat:1", ChannelOptions()))


def unknown(link: FakeLink) -> dict[str, Any]:
    """The server's answer to the last unsubscribe of what it does not have: it names what that named."""
    asked = next(message for message in reversed(link.posted) if message["type"] == "unsubscribe")
    return UNKNOWN | {name: asked[name] for name in ("channel", "id") if name in asked}


async def begun(manager: Manager, link: FakeLink, channel: Channel) -> None:
    subscribing = asyncio.create_task(channel.subscribe())
    await turn()
    manager.received(cast("Link", link), SUBSCRIBED)
    await subscribing


async def test_an_end_that_crosses_an_unsubscribe_is_no_answer_to_it() -> None:
    manager, link, channel = connected()
    await begun(manager, link, channel)
    leaving = asyncio.create_task(channel.unsubscribe())
    await turn()
    manager.received(cast("Link", link), DENIED)
    again = asyncio.create_task(channel.subscribe())
    await turn()
    manager.received(cast("Link", link), unknown(link))
    await leaving
    await turn()
    assert link.types() == ["subscribe", "unsubscribe", "subscribe"]
    manager.received(cast("Link", link), SUBSCRIBED)
    await again
    assert (channel.is_subscribed, manager.reported) == (True, [])


async def test_a_refusal_that_crosses_an_unsubscribe_is_not_reported() -> None:
    manager, link, channel = connected()
    subscribing = asyncio.create_task(channel.subscribe())
    await turn()
    leaving = asyncio.create_task(channel.unsubscribe())
    await turn()
    manager.received(cast("Link", link), DENIED)
    manager.received(cast("Link", link), unknown(link))
    await asyncio.gather(subscribing, leaving)
    assert manager.reported == []


async def test_a_next_connection_that_lacks_what_is_left_reports_nothing() -> None:
    manager, link, channel = connected()
    following = FakeLink()
    preparing = asyncio.create_task(manager.prepare(cast("Link", following)))
    await turn()
    await begun(manager, link, channel)  # on the first one alone
    leaving = asyncio.create_task(channel.unsubscribe())
    await turn()
    manager.received(cast("Link", link), {"type": "unsubscribed", "channel": "chat:1"})
    manager.received(cast("Link", following), unknown(following))
    await asyncio.gather(preparing, leaving)
    manager.switch(cast("Link", following), seamless=True)
    assert (manager.subscriptions, manager.reported) == ({}, [])


async def test_what_is_left_and_begun_again_while_the_next_connection_is_prepared_is_asked_for_there() -> None:
    manager, link, channel = connected()
    await begun(manager, link, channel)
    following = FakeLink()
    preparing = asyncio.create_task(manager.prepare(cast("Link", following)))
    await turn()
    leaving = asyncio.create_task(channel.unsubscribe())
    await turn()
    manager.received(cast("Link", link), {"type": "unsubscribed", "channel": "chat:1"})
    await leaving
    await begun(manager, link, channel)
    manager.received(cast("Link", following), SUBSCRIBED)
    manager.received(cast("Link", following), {"type": "unsubscribed", "channel": "chat:1"})
    await preparing
    manager.switch(cast("Link", following), seamless=True)
    assert following.types() == ["subscribe", "unsubscribe", "subscribe"]


@pytest.mark.parametrize("about", [{}, {"channel": "chat:1"}])
async def test_an_error_about_nothing_that_was_asked_for_is_reported(about: dict[str, Any]) -> None:
    manager, link, _ = connected()
    manager.received(cast("Link", link), {"type": "error", "code": "RT_007", "message": "what?", **about})
    assert len(manager.reported) == 1
