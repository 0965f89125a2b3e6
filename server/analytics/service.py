"""The analytics of one node: made by its settings, joined to what they count, and started."""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.channels.service import Channels
from engine.metrics.registry import Registry
from server.analytics.counter import UsageCounter
from server.analytics.countries import Countries, CountryDatabase
from server.analytics.settings import AnalyticsSettings
from server.analytics.users import CountedUsers, HashedUsers, Users
from server.analytics.writer import DatabaseClock, Kept, UsageSource, UsageWriter

__all__ = ["Analytics"]

_DAY = 24 * 3600.0
_USERS: dict[str, type[Users]] = {"hashed": HashedUsers, "counted": CountedUsers, "off": Users}


class Analytics:
    """See the module. ``counter`` is None where the settings have analytics off. Raises ``CountryDatabaseError``."""

    def __init__(self, settings: AnalyticsSettings) -> None:
        self._settings = settings
        self._clock = DatabaseClock()
        self._database: CountryDatabase | None = None
        self.counter: UsageCounter | None = None
        if settings.analytics:
            self._database = None if settings.country_database is None else CountryDatabase(settings.country_database)
            countries = Countries(self._database, header=settings.country_header is not None)
            self.counter = UsageCounter(self._clock, _USERS[settings.analytics_users](), countries.of)

    def follow(self, channels: Channels) -> None:
        """Count the messages of these channels, from the first transaction on, if the settings want it."""
        if self.counter is not None and self._settings.analytics_messages:
            channels.core.count = self.counter.messages

    def start(self, node_id: str, registry: Registry, channels: Channels, stack: AsyncExitStack) -> None:
        """Begin to write what is counted on the node; that is stopped with ``stack``."""
        if self.counter is None:
            return
        settings, database = self._settings, self._database
        source = UsageSource(
            received=lambda: int(registry.value("realtime_messages_received_total")),
            sent=lambda: int(registry.value("realtime_messages_sent_total")),
            subscribers=channels.core.hub.sizes,
            renew=(lambda: None) if database is None else database.renew,
        )
        kept = Kept(
            settings.analytics_minutes_kept * _DAY,
            settings.analytics_hours_kept * _DAY,
            settings.analytics_days_kept * _DAY,
            settings.analytics_channels,
        )
        write, interval = channels.store.keep, settings.analytics_interval
        writer = UsageWriter(node_id, self.counter, self._clock, source, write, interval, kept)
        if database is not None:
            stack.callback(database.close)
        stack.push_async_callback(writer.stop)
        writer.start()
