"""``realtime doctor``: the file of the setting ``country_database``."""

from __future__ import annotations

from collections.abc import Iterator

from server.analytics.countries import CountryDatabase, CountryDatabaseError
from server.analytics.settings import AnalyticsSettings
from server.cli.doctor.finding import Finding

__all__ = ["country_database_findings"]


def country_database_findings(settings: AnalyticsSettings) -> Iterator[Finding]:
    """A problem if a server cannot start with it. Without analytics a server does not open it. Its age is no fault."""
    if settings.country_database is None or not settings.analytics:
        return
    try:
        CountryDatabase(settings.country_database).close()
    except CountryDatabaseError as wrong:
        yield Finding("problem", wrong.reason, wrong.remedy)
    else:
        yield Finding("ok", f"country_database: {settings.country_database} can be read")
