"""Answers about what happened: analytics."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from server.rest.description.models import Body

__all__ = [
    "Bucket",
    "Metric",
    "PeakMetric",
    "UsageChannel",
    "UsageChannels",
    "UsageCountries",
    "UsageCountry",
    "UsagePeak",
    "UsagePeaks",
    "UsagePoint",
    "UsageSeries",
    "UsageSummary",
]

Bucket = Literal["minute", "hour", "day"]
Metric = Literal[
    "activeUsers",
    "sessions",
    "sessionSeconds",
    "messages",
    "messagesIn",
    "messagesOut",
    "connections",
    "peakConnections",
    "channels",
]
PeakMetric = Literal["activeUsers", "connections", "messages", "messagesOut"]


class _Range(Body):
    from_at: datetime = Field(
        alias="from", description="From when on, at the beginning of a minute, hour or day (UTC)."
    )
    to: datetime = Field(description="Up to when, without that itself.")
    bucket: Bucket


class UsageSummary(_Range):
    """What happened altogether, over all nodes."""

    active_users: int = Field(description="Different users that were connected today (UTC).")
    active_users_last_hour: int = Field(description="In the present hour; as of the last ten minutes.")
    active_users_last_minute: int = Field(description="In the last minute that was written.")
    sessions: int = Field(description="Sessions that began.")
    session_seconds: float | None = Field(description="Mean length of those that ended; null: none did.")
    messages: int = Field(description="Messages that were published in channels.")
    messages_in: int = Field(description="Messages that clients sent.")
    messages_out: int = Field(description="Messages that were written to clients.")
    peak_connections: int = Field(description="The most connections at the same time.")
    peak_at: datetime | None = Field(description="In which minute, hour or day that was.")
    channels: int = Field(description="The most channels with a message in one minute.")


class UsagePoint(Body):
    """One minute, hour or day."""

    at: datetime = Field(description="Its beginning.")
    value: float | None = Field(description="null: the mean of nothing.")


class UsageSeries(_Range):
    """A metric over time. Every minute, hour or day of the range has a point."""

    metric: Metric
    points: list[UsagePoint]


class UsageChannel(Body):
    """A channel, over the whole range."""

    channel: str | None = Field(description="null: all that are not listed; `private:*`: all private ones.")
    messages: int = Field(description="Messages that were published in it.")
    subscribers: int | None = Field(description="The most subscriptions to it.")


class UsageChannels(_Range):
    """The busiest channels, and all others together."""

    rows: list[UsageChannel]


class UsageCountry(Body):
    """A country, over the whole range."""

    country: str | None = Field(description="ISO 3166-1, two letters; null: not known.")
    sessions: int = Field(description="Sessions that began.")


class UsageCountries(_Range):
    """Sessions by country, the most first."""

    rows: list[UsageCountry]


class UsagePeak(Body):
    """An hour of the week."""

    weekday: int = Field(description="1: Monday, 7: Sunday (UTC).")
    hour: int = Field(description="0 to 23 (UTC).")
    value: float


class UsagePeaks(Body):
    """The hours of the week, as they were on average over all hours that are kept."""

    metric: PeakMetric
    rows: list[UsagePeak]
