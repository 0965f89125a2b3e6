"""Where a node's transactions come from: a slot of its own, or the relay of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.relay.feed import RelayFeed
from server.workers.worker import Worker

__all__ = ["feed_of", "relay_socket"]


def feed_of(dsn: str, settings: FeedSettings, worker: Worker | None, version: str) -> Feed | RelayFeed:
    """The feed of a node: of the slot that the settings name. Workers share it; their relay has its name as a node, and they
    have their numbers behind it. ``version``: of the package.
    """
    if worker is None:
        return Feed(dsn, settings)
    own = replace(settings, node_id=f"{settings.node}_{worker.number}")
    return RelayFeed(dsn, own, relay_socket(worker.directory), version)


def relay_socket(directory: Path) -> Path:
    """Where the relay of a machine listens. ``directory``: of its workers' sockets."""
    return directory / "relay"
