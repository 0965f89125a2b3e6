"""Where a node's transactions come from: a slot of its own, the relay of this machine, or that of a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.cluster.settings import ClusterSettings
from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.relay.feed import RelayFeed
from engine.relay.followed import FollowedFeed
from server.workers.worker import Worker

__all__ = ["feed_of", "relay_figures", "relay_pid_file", "relay_socket", "slot_feed"]


def feed_of(
    dsn: str,
    settings: FeedSettings,
    worker: Worker | None,
    version: str,
    cluster: ClusterSettings | None = None,
) -> Feed | FollowedFeed:
    """The feed of a node: of the slot that the settings name. Workers share it; their relay has its name as a node, and they
    have their numbers behind it. ``version``: of the package. ``cluster``: whose relay has the slot.
    """
    if worker is not None:
        own = replace(settings, node_id=f"{settings.node}_{worker.number}")
        return RelayFeed(dsn, own, relay_socket(worker.directory), version)
    return slot_feed(dsn, settings, cluster, selective=True)


def slot_feed(
    dsn: str,
    settings: FeedSettings,
    cluster: ClusterSettings | None,
    *,
    selective: bool = False,
) -> Feed | FollowedFeed:
    """The feed of a process that follows the slot for itself or for the workers of its machine.

    ``selective``: behind NATS it takes the tables that its live queries look at and the channels that it has subscribers of
    or publishes to.
    """
    if cluster is None:
        return Feed(dsn, settings)
    from engine.cluster.feed import ClusterFeed  # NATS' client is loaded in a cluster only

    return ClusterFeed(dsn, settings, cluster, selective=selective)


def relay_figures(directory: Path) -> Path:
    """Where the relay of a machine shows its figures. ``directory``: of its workers' sockets."""
    return directory / "figures"


def relay_pid_file(directory: Path) -> Path:
    """Where the relay of a machine leaves its process id. ``directory``: of its workers' sockets."""
    return directory / "relay.pid"


def relay_socket(directory: Path) -> Path:
    """Where the relay of a machine listens. ``directory``: of its workers' sockets."""
    return directory / "relay"
