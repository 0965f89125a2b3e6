"""Endpoints about what happened: users, sessions, messages, channels, countries, in minutes, hours and days (UTC)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from server.auth.api_keys import READER
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.analytics import (
    Bucket,
    Metric,
    PeakMetric,
    UsageChannel,
    UsageChannels,
    UsageCountries,
    UsageCountry,
    UsagePeak,
    UsagePeaks,
    UsagePoint,
    UsageSeries,
    UsageSummary,
)
from server.rest.description.endpoint import Call, Endpoint, shown

__all__ = ["ENDPOINTS"]

_MAX_POINTS: Final = 5_000
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC)


def _no_number(given: object) -> object:
    """Pydantic takes numbers for seconds or milliseconds since 1970."""
    if isinstance(given, str) and given.strip().lstrip("+-").replace(".", "", 1).isdecimal():
        raise ValueError("a time is like 2026-11-29T20:00:00Z")
    return given


def _in_range(given: datetime) -> datetime:
    """What a month before and after is a time, too, in PostgreSQL and in ISO 8601."""
    if not _FIRST <= given <= _LAST:
        raise ValueError("a time is between 1970 and 9999")
    return given


_Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_range)]


class UsageQuery(BaseModel):
    """Of when."""

    model_config = ConfigDict(extra="forbid")

    bucket: Bucket = Field("hour", description="Which of the three levels is read.")
    from_at: _Moment | None = Field(
        None, alias="from", description="From when on; omitted: an hour, a day or 30 days before `to`."
    )
    to: _Moment | None = Field(None, description="Up to when, without that itself; omitted: now.")


class SeriesQuery(UsageQuery):
    """Which metric, of when."""

    metric: Metric = Field("activeUsers", description="What the points are of.")


class ListQuery(UsageQuery):
    """Of when, and how much."""

    limit: int = Field(20, ge=1, le=1000, description="How many at most.")


class PeakQuery(BaseModel):
    """Which metric."""

    model_config = ConfigDict(extra="forbid")

    metric: PeakMetric = Field("connections", description="What the rows are of.")


async def _range(call: Call, query: UsageQuery, most: int | None = None) -> dict[str, Any]:
    """``from``, ``to`` and ``bucket`` of the answer. Raises ``ProblemError`` if there is nothing between, or too much."""
    [found] = await call.rows("rest_analytics_range", bucket=query.bucket, start=query.from_at, end=query.to)
    points = found.pop("points")
    if points < 1:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"from: {found['from_at']} is not before to, {found['to']}")
    if most is not None and points > most:
        text = f"from and to: {points} points, of {most} at most; ask for a shorter time, or for a longer bucket"
        raise ProblemError(ErrorCode.INVALID_MESSAGE, text)
    return found


async def _rows(call: Call, statement: str, when: dict[str, Any], **parameters: object) -> list[dict[str, Any]]:
    return await call.rows(statement, bucket=when["bucket"], start=when["from_at"], end=when["to"], **parameters)


async def _summary(call: Call) -> dict[str, object]:
    when = await _range(call, call.query_as(UsageQuery))
    [found] = await _rows(call, "rest_analytics_summary", when)
    return shown(UsageSummary, when | found)


async def _series(call: Call) -> dict[str, object]:
    query = call.query_as(SeriesQuery)
    when = await _range(call, query, _MAX_POINTS)
    rows = await _rows(call, "rest_analytics_series", when, metric=query.metric)
    points = [shown(UsagePoint, row) for row in rows]
    return shown(UsageSeries, {**when, "metric": query.metric, "points": points})


async def _channels(call: Call) -> dict[str, object]:
    query = call.query_as(ListQuery)
    when = await _range(call, query)
    rows = await _rows(call, "rest_analytics_channels", when, limit=query.limit)
    return shown(UsageChannels, {**when, "rows": [shown(UsageChannel, row) for row in rows]})


async def _countries(call: Call) -> dict[str, object]:
    query = call.query_as(ListQuery)
    when = await _range(call, query)
    rows = await _rows(call, "rest_analytics_countries", when, limit=query.limit)
    return shown(UsageCountries, {**when, "rows": [shown(UsageCountry, row) for row in rows]})


async def _peaks(call: Call) -> dict[str, object]:
    metric = call.query_as(PeakQuery).metric
    rows = await call.rows("rest_analytics_peaks", metric=metric)
    return shown(UsagePeaks, {"metric": metric, "rows": [shown(UsagePeak, row) for row in rows]})


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/analytics/summary",
        "getAnalyticsSummary",
        "See what happened altogether",
        _summary,
        "Users, sessions, messages and connections, over all nodes.",
        query=UsageQuery,
        answer=UsageSummary,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/analytics/series",
        "getAnalyticsSeries",
        "See a metric over time",
        _series,
        f"By minute, hour or day, at most {_MAX_POINTS:,} of them. `sessionSeconds` is the mean length of the sessions that "
        "ended, `messages` are those published in channels, `connections` and `peakConnections` the most at the same time.",
        query=SeriesQuery,
        answer=UsageSeries,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/analytics/channels",
        "listPopularChannels",
        "List the busiest channels",
        _channels,
        "Those with the most messages; the last row is of all others.",
        query=ListQuery,
        answer=UsageChannels,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/analytics/countries",
        "listCountries",
        "List countries of sessions",
        _countries,
        "Empty where the settings do not have countries counted.",
        query=ListQuery,
        answer=UsageCountries,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/analytics/peaks",
        "listPeaks",
        "See the busiest hours of the week",
        _peaks,
        "Averages of the hours of the week (UTC), over all hours that are kept. An hour without anything has no row.",
        query=PeakQuery,
        answer=UsagePeaks,
        scope=READER,
    ),
)
