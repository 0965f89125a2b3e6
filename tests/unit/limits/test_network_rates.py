"""Rates per network, and how answers name them."""

from __future__ import annotations

import httpx

from server.auth.api_keys import KeyRing
from server.http.rate_limits import rate_limit_headers
from server.limits.network_rates import NetworkRates, Quota
from server.rest import Rest
from server.rest.access import Access

HOUR = 3600.0


def test_networks_that_have_not_been_seen_for_a_window_are_forgotten() -> None:
    rates = NetworkRates(Quota("requests", 10, 60))
    for number in range(1000):
        rates.count(f"n{number}", now=number)
    assert len(rates) == 60
    assert rates.count("n999", now=999).left == 8


def test_the_headers_name_the_quota_and_what_is_left() -> None:
    rates = NetworkRates(Quota("connections", 2, 60))
    headers = [dict(rate_limit_headers(rates.count("n", 0.0))) for _ in range(2)]
    assert [(each["RateLimit-Policy"], each["RateLimit"]) for each in headers] == [
        ('"connections";q=2;w=60', '"connections";r=1;t=60'),
        ('"connections";q=2;w=60', '"connections";r=0;t=30'),
    ]
    former = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    assert [[each[name] for name in former] for each in headers] == [["2", "1", "60"], ["2", "0", "30"]]


async def test_rest_answers_name_the_quota_and_beyond_it_the_time_to_wait() -> None:
    rates = NetworkRates(Quota("requests", 1, HOUR))
    rest = Rest("host=nowhere.invalid", "1", access=Access("k", KeyRing()), pool_size=1, message_size=1000, rates=rates)
    transport = httpx.ASGITransport(rest.mount, client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test/realtime") as http:
        first, second = await http.get("/connections"), await http.get("/connections")
        assert (first.status_code, first.headers["ratelimit"]) == (401, '"requests";r=0;t=3600')
        assert (second.status_code, second.json()["code"]) == (429, "RT_006")
        assert second.headers["ratelimit-policy"] == '"requests";q=1;w=3600'
        assert 0 < second.json()["retryAfter"] <= int(second.headers["retry-after"]) <= HOUR
    local = httpx.ASGITransport(rest.mount, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=local, base_url="http://test/realtime") as http:
        assert [(await http.get("/connections")).status_code for _ in range(3)] == [401] * 3
