"""Gauges of what the engine has anyway: the feed and its slot, the tail, channels, pools. Set when they are read."""

from __future__ import annotations

import platform
from collections.abc import Callable

from engine.channels.service import Channels
from engine.feed.feed import Feed
from engine.feed.slot_watch import STATES, SlotFigures
from engine.metrics.pools import PoolUsage
from engine.metrics.registry import Registry
from engine.postgres.snapshot_reader import Reader
from engine.relay.followed import FollowedFeed
from engine.stream.driver import StreamDriver
from server.observe.stream_state import StreamState

__all__ = ["EngineState"]


class EngineState:
    """See the module. ``version``: of this server. ``follow_feed`` and ``follow``: what the figures are of."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._version = version
        gauge, gauges = registry.gauge, registry.gauges
        self._registry = registry
        self._streaming = gauge("realtime_feed_streaming", "Whether changes of the database arrive: 1 or 0.")
        self._sessions = registry.counter(
            "realtime_feed_sessions_total", "Sessions that have streamed; more than one: the stream broke off."
        )
        self._stream = StreamState(registry)
        self._lag_bytes = gauge("realtime_feed_lag_bytes", "WAL that has arrived and is not confirmed yet.")
        self._lag_seconds = gauge(
            "realtime_feed_lag_seconds", "Age of the oldest commit that is not confirmed; 0 while nothing is pending."
        )
        self._slot_states = gauges("realtime_slot_state", "The state of the slot: 1 for the present one.", "state")
        self._slot_lag = gauge("realtime_slot_lag_bytes", "WAL that was written behind the position of the slot.")
        self._slot_retained = gauge("realtime_slot_retained_bytes", "WAL that the slot keeps from being removed.")
        self._slot_safe = gauges(
            "realtime_slot_safe_bytes", "WAL that can be written before the slot is in danger, if that is limited."
        )
        self._tail = gauge("realtime_tail_transactions", "Recent transactions that a snapshot might not show.")
        self._losses = registry.counter(
            "realtime_rereads_of_everything_total",
            "Times that all lists were read again, since the stream was interrupted.",
        )
        self._kinds = gauges("realtime_channel_subscriptions", "Subscriptions to channels, by their kind.", "kind")
        self._connections = gauges(
            "realtime_channel_connections", "Connections with a subscription to a channel of the kind.", "kind"
        )
        self._channels = gauge("realtime_channels", "Channels with subscribers on this node.")
        self._publishing = gauge("realtime_publishing_messages", "Messages of clients that wait for their commit.")
        self._pools = gauges("realtime_pool_connections", "Database connections of a pool.", "pool", "state")
        self._waiting = gauges("realtime_pool_waiting", "Tasks that wait for a connection of a pool.", "pool")
        self._lanes = gauges(
            "realtime_lane_reads",
            "Reads of live queries that run in a lane, or wait for a place there.",
            "lane",
            "state",
        )
        self._build = gauges(
            "realtime_build_info", "Always 1; the labels name the versions.", "version", "python", "postgres"
        )

    def _measure_build(self, postgres: str) -> None:
        self._build.clear()
        self._build.of(self._version, platform.python_version(), postgres).value = 1

    def follow_feed(self, feed: Feed | FollowedFeed) -> None:
        """The feed, also before it is open."""
        self._stream.follow(feed)
        self._registry.before_reading(lambda: self._measure_feed(feed))

    def follow(self, stream: StreamDriver, channels: Channels, reader: Reader) -> None:
        """The other parts, which are made later."""
        self._registry.before_reading(lambda: self._measure(stream, channels, reader))

    def follow_pool(self, name: str, usage: Callable[[], PoolUsage]) -> None:
        """A pool that is none of the engine's."""
        self._registry.before_reading(lambda: self._measure_pool(name, usage()))

    def _measure_feed(self, feed: Feed | FollowedFeed) -> None:
        self._streaming.value = feed.state.status == "streaming" and feed.state.reason is None
        self._sessions.value = feed.sessions
        lag = feed.lag
        self._lag_bytes.value, self._lag_seconds.value = lag.bytes, lag.seconds
        figures = feed.slot.figures
        self._measure_build("" if figures is None else figures.server)
        if figures is not None:
            self._measure_slot(figures)

    def _measure_slot(self, slot: SlotFigures) -> None:
        for state in STATES:
            self._slot_states.of(state).value = state == slot.state
        self._slot_lag.value, self._slot_retained.value = slot.lag, slot.retained
        self._slot_safe.clear()
        if slot.safe is not None:
            self._slot_safe.of().value = slot.safe

    def _measure(self, stream: StreamDriver, channels: Channels, reader: Reader) -> None:
        self._tail.value = len(stream.tail)
        self._losses.value = stream.interruptions
        hub = channels.core.hub
        self._kinds.clear()
        self._connections.clear()
        for kind, count in hub.kinds.subscriptions.items():
            self._kinds.of(kind).value = count
            self._connections.of(kind).value = hub.kinds.connections[kind]
        self._channels.value = len(hub.channels)
        self._publishing.value = channels.status()["publishing"]
        for name, usage in {"live": reader.pool_usage, **channels.pools}.items():
            self._measure_pool(name, usage)

        for lane, (running, waiting) in reader.lanes.usage.items():
            self._lanes.of(lane, "running").value = running
            self._lanes.of(lane, "waiting").value = waiting

    def _measure_pool(self, name: str, usage: PoolUsage) -> None:
        self._pools.of(name, "used").value = usage.used
        self._pools.of(name, "idle").value = usage.idle
        self._waiting.of(name).value = usage.waiting
