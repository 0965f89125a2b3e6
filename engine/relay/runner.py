"""The whole of a relay's process: the feed, its workers and their socket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.feed.feed import Feed, FeedSettings
from engine.relay.listener import Listener
from engine.relay.relay import Relay
from engine.relay.settings import RelaySettings

__all__ = ["run_relay"]


async def run_relay(
    dsn: str, settings: FeedSettings, path: Path, version: str, tuning: RelaySettings | None = None
) -> None:
    """Read the slot of ``settings`` for the workers that connect to the socket at ``path``, until the task is cancelled.

    A worker is a :class:`engine.relay.feed.RelayFeed` of the same ``version``. Raises ``FeedError`` if the feed cannot
    start, or the socket cannot be made.
    """
    relay = Relay(Feed(dsn, replace(settings, shared=True)), tuning)
    async with Listener(relay, path, version).open():
        await relay.run()
