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
        """Count the messages that the stream brings to these channels, from the first transaction on. A node of a cluster
        has some of them; the leading relay has all, and of each minute the largest number is shown.
        """
        if self.counter is not None:
            channels.core.count, channels.core.count_from = self.counter.messages, self.counter.count_from

    def start(self, node_id: str, registry: Registry | None, channels: Channels, stack: AsyncExitStack) -> None:
        """Begin to write what is counted on the node; that is stopped with ``stack``. ``registry``: None has no clients."""
        if self.counter is None:
            return
        settings, database = self._settings, self._database

        def total(name: str) -> int:
            return 0 if registry is None else int(registry.value(name))

        source = UsageSource(
            received=lambda: total("realtime_messages_received_total"),
            sent=lambda: total("realtime_messages_sent_total"),
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
