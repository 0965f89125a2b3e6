"""Where a node's transactions come from."""

from __future__ import annotations

from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings

__all__ = ["feed_of"]


def feed_of(dsn: str, settings: FeedSettings) -> Feed:
    """The feed of a node: a slot of its own."""
    return Feed(dsn, settings)
