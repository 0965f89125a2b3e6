"""Faults at random, by seed: what one proxy does to the connections of one client for some time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from tests.faultproxy.proxy import FaultProxy

__all__ = ["FAULTS", "misbehave"]

# The last one is for clients with more than one transport only; for them it is half of what happens.
FAULTS = ("cut", "end", "half_open", "truncate", "linger", "delay", "slow", "refuse", "block")


async def misbehave(proxy: FaultProxy, seed: int, seconds: float, blocked: tuple[bytes, ...] = ()) -> Counter[str]:
    """Do one thing after the other, in pauses of up to a second; heals at the end. Returns what was done how often.

    ``blocked``: transports that may be blocked for a while.
    """
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    done: Counter[str] = Counter()
    while loop.time() < until:
        await asyncio.sleep(chance.uniform(0.05, 1.0))
        fault = chance.choice(FAULTS if blocked else FAULTS[:-1])
        if blocked and chance.random() < 0.4:
            fault = "block"
        done[fault] += 1
        await _do(proxy, fault, chance, blocked)
    proxy.heal()
    return done


async def _do(proxy: FaultProxy, fault: str, chance: random.Random, blocked: tuple[bytes, ...]) -> None:
    match fault:
        case "cut" | "end" | "half_open" | "truncate":
            getattr(proxy, fault)()
        case "linger":
            proxy.linger(chance.uniform(0.1, 3))
        case "delay":
            proxy.delay = chance.choice((0.0, 0.02, 0.2))
        case "slow":
            proxy.bytes_per_second = chance.choice((0, 0, 20_000, 100_000))
        case "refuse":
            proxy.refuse = True
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            proxy.refuse = False
        case "block":
            proxy.blocked = tuple(word for word in blocked if chance.random() < 0.7)
            proxy.cut()
            await asyncio.sleep(chance.uniform(0.5, 2))
            proxy.blocked = ()
