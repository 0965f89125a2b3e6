"""Messages through channels, and what bare picows takes for the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from server.bench.load.fleet import Fleet
from server.bench.load.orders import Subscribe
from server.bench.load.target import target_of
from server.bench.messages import joined
from server.bench.run import Round
from server.bench.scenario import TRANSPORTS
from tests.bench.bench_sockets import BROADCAST, CHANNEL, WRITERS
from tests.bench.parts.processes import pgbench
from tests.bench.peers.ground import Figure, Ground
from tests.conftest import fresh_database

__all__ = ["MEASURES"]


async def _beside(ground: Ground, scenario: str, **given: Any) -> tuple[Round, Round]:
    """A round on bare picows, and one on the server."""
    async with ground.bare() as bare:
        first = await bare.play(scenario, **given)
    async with ground.server() as server:
        return first, await server.play(scenario, **given)


async def fan_out(ground: Ground) -> list[Figure]:
    """One channel with 10,000 subscribers."""
    bare, ours = await _beside(ground, "fanout", clients=10_000, rate=10.0, seconds=8.0, connect_rate=500.0, every=10)
    floor, cost = bare.figures["server_us_per_delivery"], ours.figures["server_us_per_delivery"]
    p50, p99 = ours.figures["latency_p50_ms"], ours.figures["latency_p99_ms"]
    return [
        Figure(
            "10,000 subscribers, a message each 100 ms: processor per delivery by bare picows",
            "<= 1.5",
            f"{cost / floor:.2f} ({cost:.1f} by {floor:.1f} µs)",
            ours.complete and cost <= 1.5 * floor,
        ),
        Figure("the same: p99 by p50", "<= 3", f"{p99 / p50:.2f} ({p99:.0f} by {p50:.0f} ms)", p99 <= 3 * p50),
    ]


async def publish(ground: Ground) -> list[Figure]:
    """10 publishers, 20 subscribers, 10,000 messages a second."""
    given = {"clients": 20, "publishers": 10, "rate": 10_000.0, "seconds": 6.0, "every": 10}
    bare, ours = await _beside(ground, "publish", **given)
    floor, cost = bare.figures["cpu_s"]["server"], ours.figures["cpu_s"]["server"]
    held = ours.complete and ours.figures["took_s"] < 7.0
    return [
        Figure(
            "10,000 messages/s, 20 subscribers: processor of the server by bare picows",
            "<= 1.6",
            f"{cost / floor:.2f}",
            cost <= 1.6 * floor,
        ),
        Figure(
            "the same: holds",
            "yes",
            f"{'yes' if held else 'no'}, p95 {ours.figures['latency_p95_ms']:.1f} ms "
            f"(bare picows {bare.figures['latency_p95_ms']:.1f})",
            held,
        ),
    ]


async def publish_hundred(ground: Ground) -> list[Figure]:
    """The highest rate to 100 subscribers."""
    given = {"clients": 100, "publishers": 10, "rate": 1000.0, "seconds": 1.5, "every": 50, "find": True}
    bare, ours = await _beside(ground, "publish", **given)
    deliveries = [each.figures["deliveries_per_s"] if each.figures.get("highest") else 0.0 for each in (ours, bare)]
    text = f"{deliveries[0]:,.0f} deliveries/s, bare picows {deliveries[1]:,.0f}"
    return [
        Figure("100 subscribers: highest rate with p95 < 50 ms", "1,000,000 deliveries/s", text, deliveries[0] >= 1e6)
    ]


async def many(ground: Ground) -> list[Figure]:
    """1,000 channels of 5 subscribers."""
    given: dict[str, Any] = {"clients": 1000, "publishers": 10, "channels": 1000, "each": 5, "connect_rate": 1000.0}
    async with ground.server() as server:
        paced = (await server.play("channels", rate=500.0, seconds=4.0, **given)).figures
        best = (await server.play("channels", find=True, rate=1000.0, seconds=1.5, **given)).figures
    p50 = paced["latency_p50_ms"]
    most = f"{best['deliveries_per_s']:,.0f} deliveries/s" if best.get("highest") else "none"
    return [
        Figure("1,000 channels of 5, 500 messages/s: p50", "< 4 ms", f"{p50:.2f} ms", p50 < 4),
        Figure("the same: highest rate with p95 < 50 ms", "3 times 2026-11-28", most, None),
    ]


async def light(ground: Ground) -> list[Figure]:
    """A message now and then."""
    async with ground.server() as server:
        seen = (await server.play("publish", clients=1, publishers=1, rate=50.0, seconds=8.0)).figures
    p50, p99, commit = seen["latency_p50_ms"], seen["latency_p99_ms"], seen["acked_p50_ms"]
    text = f"p50 {p50:.2f}, p99 {p99:.2f} ms; commit and answer p50 {commit:.2f} ms"
    return [Figure("publish to receive, 50 messages/s", "p50 < 2 ms, p99 < 8 ms", text, p50 < 2 and p99 < 8)]


async def event_streams(ground: Ground) -> list[Figure]:
    """1,000 subscribers by server-sent events, and the same by WebSockets: one channel, then a channel each."""
    figures = []
    loads: list[tuple[str, str, str, dict[str, Any]]] = [
        ("one channel, 10 messages/s", "p50 < 3 ms", "fanout", {"rate": 10.0}),
        ("a channel each, 50 messages/s", "", "channels", {"each": 1, "rate": 50.0}),
    ]
    for what, aim, scenario, given in loads:
        seen = []
        async with ground.server() as server:
            for transport in ("sse", "websocket"):
                played = await server.play(scenario, wire=TRANSPORTS[transport], clients=1000, seconds=8.0, **given)
                seen.append(played)
        streams, sockets = (each.figures for each in seen)
        text = (
            f"p50 {streams['latency_p50_ms']:.2f}, p99 {streams['latency_p99_ms']:.2f} ms; by WebSocket "
            f"{sockets['latency_p50_ms']:.2f} and {sockets['latency_p99_ms']:.2f}"
        )
        met = seen[0].complete and streams["latency_p50_ms"] < 3
        figures.append(Figure(f"1,000 subscribers by SSE, {what}", aim, text, met if aim else None))
    return figures


async def broadcast(ground: Ground) -> list[Figure]:
    """``realtime.broadcast()`` of 8 writers, one a transaction: not followed, then followed with 20 subscribers."""
    free = await _broadcasts(ground, fresh_database(ground.postgres))
    async with ground.server() as server, Fleet.started(target_of(server.url), 1, every=20) as fleet:
        assert server.dsn is not None
        await fleet.connect("subscribers", 20)
        await fleet.subscribe(Subscribe("subscribers", joined(CHANNEL)))
        followed = await _broadcasts(ground, server.dsn)
    share = followed / free
    return [
        Figure(
            "SQL broadcast() with 20 subscribers, by the rate that no server follows",
            ">= 0.75",
            f"{share:.2f} ({followed:,.0f} by {free:,.0f}/s)",
            share >= 0.75,
        )
    ]


async def _broadcasts(ground: Ground, dsn: str) -> float:
    """Transactions a second, of five seconds; the first second fills caches."""
    for seconds in (1, 5):
        rate, _ = await asyncio.to_thread(pgbench, ground.postgres, dsn, BROADCAST, clients=WRITERS, seconds=seconds)
    return rate


async def replay(ground: Ground) -> list[Figure]:
    """1,000 clients ask for 2 MB each."""
    given = {"clients": 1000, "messages": 100, "size": 20_000, "connect_rate": 1000.0, "rate": 100.0, "every": 100}
    bare, ours = await _beside(ground, "replay", **given)
    floor, speed = bare.figures["bytes_per_s"], ours.figures["bytes_per_s"]
    text = f"{speed / floor:.2f} ({speed / 1e6:,.0f} by {floor / 1e6:,.0f} MB/s)"
    return [
        Figure(
            "1,000 clients ask for 2 MB at once, by bare picows", ">= 0.7", text, ours.complete and speed >= 0.7 * floor
        )
    ]


async def soak(ground: Ground) -> list[Figure]:
    """Ten minutes."""
    async with ground.server() as server:
        seen = await server.play("soak", rate=2000.0, seconds=600.0, every=20)
    intervals = seen.figures["intervals"]
    grown = intervals[-1]["server_memory"] / intervals[1]["server_memory"]
    drift = intervals[-1]["latency_p95_ms"] / intervals[1]["latency_p95_ms"]
    text = f"memory {grown:.2f}, p95 {drift:.2f} times the second minute's"
    return [Figure("soak: memory flat, no drift", "about 1", text, seen.complete and grown < 1.05 and drift < 1.5)]


MEASURES: Final[dict[str, Callable[[Ground], Awaitable[list[Figure]]]]] = {
    "light": light,
    "fan-out": fan_out,
    "publish": publish,
    "publish-100": publish_hundred,
    "channels": many,
    "event-streams": event_streams,
    "broadcast": broadcast,
    "replay": replay,
    "soak": soak,
}
