"""``GET /realtime/analytics/…``: what is in the tables, in the range and the level that are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.integration.analytics.books import NOON, Books

HOURS = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=3)).isoformat()}


async def ask(http: httpx.AsyncClient, name: str, **parameters: object) -> dict[str, Any]:
    given: dict[str, Any] = parameters
    answer = await http.get(f"/realtime/analytics/{name}", params=given)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def at(hours: float) -> str:
    return (NOON + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def written(time: str) -> datetime:
    return datetime.fromisoformat(time)


async def test_series_have_a_point_for_every_bucket_of_the_range(http: httpx.AsyncClient, books: Books) -> None:
    books.add(
        "a", NOON, sessions=3, sessions_ended=2, session_seconds=5.0, hashes=[1, 2], connections=3, messages_out=9
    )
    books.add(
        "a", NOON + timedelta(hours=2, minutes=5), sessions=1, channels={"chat:1": 4}, messages_in=2, connections=1
    )
    books.roll_up(NOON + timedelta(hours=3))
    values = {
        "activeUsers": [2, 0, 0],
        "sessions": [3, 0, 1],
        "sessionSeconds": [2.5, None, None],
        "messages": [0, 0, 4],
        "messagesIn": [0, 0, 2],
        "messagesOut": [9, 0, 0],
        "connections": [3, 0, 1],
        "peakConnections": [3, 0, 1],
        "channels": [0, 0, 0],
    }
    for metric, expected in values.items():
        found = await ask(http, "series", metric=metric, bucket="hour", **HOURS)
        assert [each["value"] for each in found["points"]] == expected, metric
        assert [written(each["at"]) for each in found["points"]] == [NOON + timedelta(hours=each) for each in range(3)]
        assert (found["bucket"], found["metric"]) == ("hour", metric)
        assert (written(found["from"]), written(found["to"])) == (NOON, NOON + timedelta(hours=3))
    days = await ask(http, "series", bucket="day", metric="sessions", **HOURS)
    assert [each["value"] for each in days["points"]] == [4]
    minutes = await ask(http, "series", bucket="minute", metric="sessions", **HOURS)
    assert {place: each["value"] for place, each in enumerate(minutes["points"]) if each["value"]} == {0: 3, 125: 1}
    assert len(minutes["points"]) == 180
    for bucket, count in (("minute", 60), ("hour", 24), ("day", 30)):
        assert len((await ask(http, "series", bucket=bucket))["points"]) == count


async def test_a_summary_channels_countries_and_peaks(http: httpx.AsyncClient, books: Books) -> None:
    for hours, connections in ((0, 5), (1, 8), (30, 50)):
        time = NOON + timedelta(hours=hours)
        books.add("a", time, sessions=2, sessions_ended=2, session_seconds=9.0, connections=connections,
                  channels={"big": 10, "middle": 4, "small": 1}, published=17, countries={"DE": 2, "ZZ": 1},
                  active_channels=3)  # fmt: skip
    books.roll_up(NOON + timedelta(hours=31))
    found = await ask(http, "summary", bucket="hour", **HOURS)
    wanted = ("sessions", "sessionSeconds", "messages", "peakConnections", "channels", "activeUsers")
    assert [found[each] for each in wanted] == [4, 4.5, 34, 8, 3, 0]
    assert written(found["peakAt"]) == NOON + timedelta(hours=1)
    channels = await ask(http, "channels", bucket="hour", limit=2, **HOURS)
    assert channels["rows"] == [
        {"channel": "big", "messages": 20, "subscribers": 1},
        {"channel": "middle", "messages": 8, "subscribers": 1},
        {"channel": None, "messages": 6, "subscribers": None},
    ]
    countries = await ask(http, "countries", bucket="hour", **HOURS)
    assert countries["rows"] == [{"country": "DE", "sessions": 4}, {"country": None, "sessions": 2}]
    peaks = await ask(http, "peaks", metric="connections")
    assert peaks["rows"] == [
        {"weekday": 1, "hour": 18, "value": 50.0},
        {"weekday": 7, "hour": 12, "value": 5.0},
        {"weekday": 7, "hour": 13, "value": 8.0},
    ]


async def test_a_summary_has_the_users_of_now(http: httpx.AsyncClient, books: Books) -> None:
    now = datetime.now(UTC)
    books.add("a", now.replace(second=0, microsecond=0), hashes=[1, 2, 3], now=now)
    books.roll_up(now)
    found = await ask(http, "summary")
    users = [found[each] for each in ("activeUsers", "activeUsersLastHour", "activeUsersLastMinute")]
    later = datetime.now(UTC)
    if later.hour == now.hour and later - now < timedelta(minutes=1):  # else another hour or minute is the present one
        assert users == [3, 3, 3]


async def test_ranges_that_make_no_sense_are_refused(http: httpx.AsyncClient) -> None:
    for parameters, reason in (
        ({"from": at(1), "to": at(0)}, "is not before to"),
        ({"from": at(1), "to": at(1)}, "is not before to"),
        (
            {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z", "bucket": "minute"},
            "from and to: 527040 points, of 5000 at most",
        ),
        ({"from": "yesterday"}, "from must be a time such as 2026-11-29T12:00:00Z"),
        ({"from": "2026-03-29T12:00:00"}, "from must be a time with its time zone"),
        ({"bucket": "week"}, "bucket must be 'minute', 'hour' or 'day'"),
        ({"metric": "secrets"}, "metric must be '"),
        ({"since": at(0)}, "since is no field here"),
    ):
        answer = await http.get("/realtime/analytics/series", params=parameters)
        assert (answer.status_code, answer.json()["code"]) == (400, "RT_007"), answer.text
        assert reason in answer.json()["detail"]
    within = await ask(http, "series", bucket="day", **{"from": at(1), "to": at(1)})
    assert len(within["points"]) == 1
