"""Connections: how fast they come, what they take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.bench.peers.ground import Figure, Ground

__all__ = ["MEASURES"]

_KB: Final = 1000


async def idle(ground: Ground, clients: int = 5000) -> list[Figure]:
    """Connections at 500/s, with a channel each."""
    async with ground.server() as server:
        seen = (
            await server.play("idle", clients=clients, connect_rate=500.0, each=1, channels=clients // 5, seconds=5.0)
        ).figures
    each = seen["server_bytes_per_connection"] + seen["server_bytes_per_subscription"]
    per_core = 1000 / seen["server_ms_per_connect"]
    p95 = seen["opened_p95_ms"]
    complete = not seen["missing"] and not seen["errors"]
    return [
        Figure(f"{clients:,} connections at 500/s: connect, p95", "< 100 ms", f"{p95:.1f} ms", complete and p95 < 100),
        Figure("connects per second and core (processor time)", ">= 2,000", f"{per_core:,.0f}", per_core >= 2000),
        Figure(
            "memory of an idle connection with a channel (5 share one)",
            "<= 11 KB",
            f"{each / _KB:.1f} KB, kernel {seen['kernel_bytes_per_connection'] / _KB:.1f} KB for both ends",
            each <= 11 * _KB,
        ),
        Figure("processor at rest", "", f"{seen['server_cores_at_rest']:.3f} cores", None),
    ]


async def fifty_thousand(ground: Ground) -> list[Figure]:
    """The same with 50,000, which needs several processes of the server."""
    return await idle(ground, 50_000)


async def shared(ground: Ground) -> list[Figure]:
    """100 subscriptions on each of many connections, 2,000 a second: what requests take while they wait is not meant."""
    async with ground.server() as server:
        seen = (await server.play("idle", clients=500, connect_rate=20.0, each=100, channels=100, seconds=1.0)).figures
    each = seen["server_bytes_per_subscription"]
    return [
        Figure(
            "100 subscriptions on each of 500 connections: memory of one", "<= 1 KB", f"{each:,} bytes", each <= 1024
        )
    ]


async def arrive(ground: Ground) -> list[Figure]:
    """Connect, subscribe, publish, receive."""
    async with ground.server() as server:
        seen = (await server.play("arrive", rate=500.0, seconds=4.0)).figures
        found = await server.play("arrive", find=True, p95=0.1, rate=250.0, seconds=2.0)
    ours = seen["server_ms_per_client"]
    figures = [
        Figure(
            "connect, subscribe, publish, receive: highest rate with p95 < 100 ms",
            ">= 1,000/s",
            f"{found.figures['rate']:,.0f}/s" if found.figures.get("highest") else "none",
            bool(found.figures.get("highest")) and found.figures["rate"] >= 1000,
        )
    ]
    async with ground.peer("ws") as peer:
        if peer is None:
            text = f"{ours:.2f} ms; ws is not installed"
            return [*figures, Figure("the same, processor by that of ws", "<= 1.2", text, None)]
        theirs = (await peer.play("arrive", rate=500.0, seconds=4.0)).figures["server_ms_per_client"]
    ratio = ours / theirs
    return [
        *figures,
        Figure(
            "the same, processor by that of ws", "<= 1.2", f"{ratio:.2f} ({ours:.2f} by {theirs:.2f} ms)", ratio <= 1.2
        ),
    ]


async def presence(ground: Ground) -> list[Figure]:
    """1,000 who join at once."""
    times = []
    for place in (ground.bare(), ground.server()):
        async with place as server:
            seen = (await server.play("presence", clients=1000, rate=10.0, seconds=1.0)).figures["joining"]
            times.append(seen["complete_max_ms"])
    ratio = times[1] / times[0]
    text = f"{ratio:.2f} ({times[1]:,.0f} by {times[0]:,.0f} ms)"
    return [Figure("1,000 members join at once: all know all, by bare picows", "<= 0.5", text, ratio <= 0.5)]


MEASURES: Final[dict[str, Callable[[Ground], Awaitable[list[Figure]]]]] = {
    "connections": idle,
    "connections-50000": fifty_thousand,
    "subscriptions": shared,
    "arrive": arrive,
    "presence": presence,
}
