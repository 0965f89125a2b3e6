"""Settings of the analytics: whether and how clients are counted, and how long that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

__all__ = ["AnalyticsSettings"]


class AnalyticsSettings(BaseSettings):
    """A part of :class:`server.app.settings.Settings`."""

    analytics: bool = Field(True, description="count users, sessions, messages and channels for realtime.analytics_*")
    analytics_users: Literal["hashed", "counted", "off"] = Field(
        "hashed",
        description="how different users are counted: by hashes with a salt that is dropped after each day, by each node "
        "for itself, or not at all",
    )
    analytics_channels: int = Field(
        50, ge=0, le=1000, description="busiest channels that are listed by name, for each minute, hour and day"
    )
    analytics_interval: float = Field(60.0, ge=1, le=300, description="seconds between writes of what was counted")
    analytics_minutes_kept: float = Field(2.0, ge=1, le=3650, description="days for which minutes are kept")
    analytics_hours_kept: float = Field(90.0, ge=2, le=3650, description="days for which hours are kept")
    analytics_days_kept: float = Field(1095.0, ge=2, le=36500, description="days for which days are kept")
    country_database: Path | None = Field(
        None, description="file in MaxMind's format (.mmdb) that has the countries of addresses"
    )
    country_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="header in which a trusted proxy sends the country of the client, such as CF-IPCountry",
    )
    respect_do_not_track: bool = Field(True, description="do not count clients that send DNT: 1 or Sec-GPC: 1")
