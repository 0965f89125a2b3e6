"""Parts of a node's ``GET /health``: its feed, the cluster that this is of, its live queries."""

from __future__ import annotations

from typing import Any

from engine.feed.feed import Feed
from engine.live.service import LiveQueries
from engine.lsn import format_lsn
from engine.relay.followed import FollowedFeed

__all__ = ["cluster_status", "feed_status", "live_status"]


def feed_status(feed: Feed | FollowedFeed, live: LiveQueries | None, failure: BaseException | None) -> dict[str, Any]:
    """The key ``feed``. ``live``: None before the start; ``failure``: for which the node ends."""
    state, lag = feed.state, feed.lag
    problem = live.problem if live is not None else None
    return {
        "position": format_lsn(live.position if live is not None else 0),
        "lagBytes": lag.bytes,
        "lagSeconds": round(lag.seconds, 3),
        "state": state.status if failure is None else "failed",
        "reason": (state.reason or problem) if failure is None else str(failure),
        "slot": feed.settings.slot_name,
        "decoder": feed.plugin,
    }


def cluster_status(feed: Feed | FollowedFeed) -> dict[str, Any]:
    """The key ``cluster``: the relay that leads, and how far the node is behind its stream; {} for a node without NATS."""
    if not isinstance(feed, FollowedFeed) or (behind := feed.behind) is None:
        return {}
    return {
        "cluster": {
            "leader": feed.leader,
            "generation": str(feed.generation),
            "lagMessages": behind.messages,
            "lagSeconds": round(behind.seconds, 3),
            "breaks": dict(feed.breaks),
        }
    }


def live_status(live: LiveQueries | None) -> dict[str, int]:
    """The keys about live queries."""
    figures = live.status() if live is not None else {}
    return {
        "queries": figures.get("queries", 0),
        "subscriptions": figures.get("subscriptions", 0),
        "cacheBytes": figures.get("plan_bytes", 0) + figures.get("idle_bytes", 0),
    }
