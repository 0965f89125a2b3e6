"""Presence: clients that come and go, and what is shown to others of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

from bunbase import Realtime, RealtimeError

from tests.faultproxy.actors import SHORT_TIMEOUTS
from tests.faults.observed.observer import Seen

__all__ = ["MEMBERS", "SETUP", "Member", "misled"]

MEMBERS = "members:1"
SETUP = (f"select realtime.create_channel('{MEMBERS}', presence_timeout => '5 s')",)
"""What the database needs."""

_STAYS = 4.0  # seconds
_SUBSCRIBES = 30.0


class Member:
    """A client that comes into the channel and leaves it while ``may_move`` is set. ``visits``: how often it came."""

    def __init__(self, name: str, url: str, chance: random.Random, may_move: asyncio.Event) -> None:
        self.name = name
        self.visits = 0
        self._chance = chance
        self._may_move = may_move
        self._realtime = Realtime(url, transports=("websocket",), parameters={"user": name}, **SHORT_TIMEOUTS)
        self._channel = self._realtime.channel(MEMBERS, presence={"name": name})

    async def move(self) -> None:
        """Come, stay and leave."""
        try:
            await self._pause()
            async with asyncio.timeout(_SUBSCRIBES):
                await self._channel.subscribe()
            self.visits += 1
            await self._pause()
            async with asyncio.timeout(_SUBSCRIBES):
                await self._channel.unsubscribe()
        except (RealtimeError, TimeoutError):
            await asyncio.sleep(0.2)

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, _STAYS))
        await self._may_move.wait()

    async def stop(self) -> None:
        """Leave."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._realtime.disconnect()


def misled(seen: Sequence[Seen]) -> str:
    """What is wrong with the presence events of a client; "" if nothing is: each user that comes was not there, and each
    that leaves or changes was, by the list with which the subscription began and the events since.
    """
    here: set[str] = set()
    for at, each in enumerate(seen):
        if each.of != MEMBERS:
            continue
        match each.kind:
            case "here":
                here = set(each.value)
            case "join" if each.value in here:
                return f"{each.value} came twice, at {at}"
            case "join":
                here.add(each.value)
            case "leave" if each.value not in here:
                return f"{each.value} left without having come, at {at}"
            case "leave":
                here.remove(each.value)
            case "update" if each.value not in here:
                return f"{each.value} changed without having come, at {at}"
    return ""
