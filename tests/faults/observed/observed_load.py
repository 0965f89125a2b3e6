"""All observers, with what happens for them to see, and the check of their histories."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import psycopg

from tests.cluster.parts import RECOVERS, Parts
from tests.cluster.time_limit import TimeLimit
from tests.faults.observed import members, transient, windows
from tests.faults.observed.members import MEMBERS, Member, misled
from tests.faults.observed.observer import Observer
from tests.faults.observed.transient import CHANNELS, EVENT, NOTICES, ROOM, STREAMS, SqlWriter
from tests.faults.observed.windows import LOG, WINDOWS, results, unexplained, write_rows

__all__ = ["SETUP", "ObservedLoad"]

SETUP = (*windows.SETUP, *transient.SETUP, *members.SETUP)
"""What the database needs."""

_PRESENT = "select array_agg(distinct user_id order by user_id) from realtime.presence where channel = %s"
_TRANSPORTS = ("websocket", "sse", "polling")

Work = Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]


class ObservedLoad:
    """See the module: an observer at each node. ``lost``: what was not delivered for a reason that is known; ``states``: how
    many of lists were shown; ``quiet_points``: how often presence was compared with its rows.
    """

    def __init__(self, parts: Parts, seed: int) -> None:
        self.parts = parts
        self.lost = self.quiet_points = 0
        self._chance = random.Random(f"observed {seed}")
        self._numbers = itertools.count()
        self._may_move = asyncio.Event()
        self._may_move.set()
        self._writer = SqlWriter(random.Random(f"transient {seed}"))
        self.observers = [
            Observer(f"observer-{node.name}", node.name, node.clients_url, transport)
            for node, transport in zip(parts.nodes, itertools.cycle(_TRANSPORTS), strict=False)
        ]
        self.members = [
            Member(f"member-{node.name}", node.clients_url, random.Random(f"{node.name} {seed}"), self._may_move)
            for node in parts.nodes
        ]

    @property
    def states(self) -> int:
        return sum(each.kind == "state" for observer in self.observers for each in observer.seen)

    async def start(self) -> None:
        """All observers are subscribed."""
        for observer in self.observers:
            for name, window in WINDOWS.items():
                observer.follow(name, window.sql, window.fields)
            for channel in CHANNELS:
                await observer.join(channel, EVENT)
            await observer.join(ROOM, EVENT, room=True)
            await observer.join(MEMBERS, EVENT, presence=True)

    async def stop(self) -> None:
        """All leave."""
        self._may_move.set()
        await asyncio.gather(*(each.stop() for each in self.observers), *(each.stop() for each in self.members))

    def work(self) -> list[Work]:
        """What is to be done again and again, each over a connection of its own."""
        return [
            *(partial(self._write, random.Random(f"rows {n} {self._chance.random()}")) for n in range(2)),
            self._send,
        ]

    def moves(self) -> list[Callable[[], Awaitable[None]]]:
        """What is to be done again and again without a connection to the database."""
        return [*(each.move for each in self.members), *(partial(self._talk, each) for each in self.observers)]

    async def _write(self, chance: random.Random, connection: psycopg.AsyncConnection[Any]) -> None:
        await write_rows(chance, connection)
        await asyncio.sleep(chance.uniform(0, 0.3))

    async def _send(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await self._writer.write(connection)
        await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def _talk(self, observer: Observer) -> None:
        await observer.send(self._chance.choice(CHANNELS), EVENT, next(self._numbers))
        await asyncio.sleep(self._chance.uniform(0, 1.0))

    # -- the check -------------------------------------------------------------------------------------------------

    async def quiet(self) -> list[str]:
        """What is wrong with presence while the cluster is whole: no one comes or goes meanwhile."""
        self._may_move.clear()
        try:
            limit = TimeLimit(RECOVERS)
            while differing := await self._differing():
                if limit.over:
                    return differing
                await asyncio.sleep(0.5)
            self.quiet_points += 1
            return []
        finally:
            self._may_move.set()

    async def _differing(self) -> list[str]:
        [(rows,)] = await self.parts.sql(_PRESENT, MEMBERS)
        shown = {
            each.name: sorted(user.id for user in each.channels[MEMBERS].presence.users) for each in self.observers
        }
        return [f"{name} sees {users} and there are {rows}" for name, users in shown.items() if users != (rows or [])]

    async def check(self) -> list[str]:
        """What is wrong; empty: nothing is. Nothing is written any more."""
        commits_of = results((int(n), changes) for n, changes in await self.parts.sql(LOG))
        await self._until_all_have_the_end(commits_of)
        problems = [*(await self.quiet()), *self._streams(await self._passed())]
        for observer in self.observers:
            problems += [f"{observer.name}: {error}" for error in observer.errors]
            problems += [f"{observer.name}: {wrong}"] if (wrong := misled(observer.seen)) else []
            problems += self._windows(observer, commits_of)
        return problems

    async def _passed(self) -> dict[str, list[int]]:
        """What was committed of each stream in SQL."""
        rows = await self.parts.sql("select stream, n from passed order by n")
        return {name: [int(n) for stream, n in rows if stream == name] for name in STREAMS}

    async def _until_all_have_the_end(self, commits_of: dict[str, Any]) -> None:
        passed, limit = await self._passed(), TimeLimit(RECOVERS / 4)

        def lacks(observer: Observer) -> bool:
            return any(passed[name] and observer.last("message", name) is None for name in STREAMS) or any(
                max(commits.get((observer.last("state", name) or ("", ()))[1], [-1])) < _last(commits)
                for name, commits in commits_of.items()
            )

        while any(map(lacks, self.observers)) and not limit.over:  # noqa: ASYNC110 - clients are waited for
            await asyncio.sleep(0.5)

    def _streams(self, passed: dict[str, list[int]]) -> list[str]:
        problems = []
        histories = {each.name: each.seen for each in self.observers}
        again = {(each.name, n) for each in self.observers for n in each.again}
        for stream in STREAMS:
            if wrong := transient.disorder(histories, stream, again):
                problems.append(f"{stream}: {wrong}")
            for observer in self.observers:
                if doubled := transient.doubled(observer.seen, stream):
                    problems.append(f"{observer.name}, {stream}: doubled {doubled[:5]}")
                senders = {"sql": passed[stream], **{each.name: each.acked.get(stream, []) for each in self.observers}}
                for sender, numbers in senders.items():
                    lacking, excused = transient.lost(
                        observer.seen, stream, sender, numbers, self._breaks(observer.node)
                    )
                    self.lost += excused
                    if lacking:
                        problems.append(f"{observer.name}, {stream}: lost {len(lacking)} of {sender}: {lacking[:5]}")
        return problems

    def _windows(self, observer: Observer, commits_of: dict[str, Any]) -> list[str]:
        problems = []
        for name, window in WINDOWS.items():
            shown = [each for each in observer.seen if (each.kind, each.of) == ("state", name)]
            breaks = self._breaks(observer.node) if window.joins else []
            # One of several tables may be ahead of a lost event until the node notices it (docs/operations/scaling.md).
            sure = [each for each in shown if not any(0 <= at - each.at <= NOTICES for at in breaks)]
            states = [each.value[1] for each in sure]
            if wrong := unexplained(states, commits_of[name]):
                at, words = wrong
                when = datetime.fromtimestamp(sure[at].at).isoformat()
                problems.append(f"{observer.name}, window {name}, {when}, at {sure[at].value[0]}: {words}")
            final = commits_of[name].get(shown[-1].value[1], []) if shown else []
            if max(final, default=-1) < _last(commits_of[name]):
                problems.append(f"{observer.name}, window {name} is not the result at the end: {shown[-1:]}")
        return problems

    def _breaks(self, node: str) -> list[float]:
        """When a node had lost a part of the stream, in seconds since 1970."""
        log = next(each.log for each in self.parts.nodes if each.name == node)
        lines = (json.loads(line) for line in log if '"rereading_all"' in line and line.startswith("{"))
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]

    def facts(self) -> dict[str, Any]:
        """All histories, for those who look for the reason of a problem."""
        return {
            each.name: {
                "seen": each.seen,
                "acked": each.acked,
                "again": sorted(each.again),
                "breaks": self._breaks(each.node),
            }
            for each in self.observers
        }


def _last(commits_of: dict[Any, list[int]]) -> int:
    """The number of the last commit."""
    return max(commits[-1] for commits in commits_of.values())
