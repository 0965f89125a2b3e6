"""Nodes, clients and writers over one database, the things that can happen to them, and the moment of truth."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import psycopg
from websockets.exceptions import WebSocketException

from engine.postgres.connections.session_settings import connection_options
from tests.model.client import Client
from tests.model.faults import Faults
from tests.model.nats_feed import NatsFeed
from tests.model.oracle import MUTED, ROOM, Truth, Wal, check_acks, check_subscription
from tests.model.parts_apart import PartsApart
from tests.model.setup import CHANNELS, SETUP, USERS
from tests.model.unrest import unrest
from tests.model.writers import Writer
from tests.support.nodes.server_nodes import ModelNode
from tests.support.postgres.wal import begin_control

__all__ = ["GIVE_UP_AFTER", "World"]

GIVE_UP_AFTER = 60.0
"""Seconds after which something that must happen has not happened."""

_numbers = itertools.count(1)


class World:
    """See the module. ``problems`` is what has gone wrong outside of any call. ``feed``: what the nodes of a cluster are fed
    from.
    """

    def __init__(self, dsn: str, nodes: Sequence[ModelNode], feed: NatsFeed | PartsApart | None = None) -> None:
        self.dsn = dsn
        self.problems: list[BaseException] = []
        self.feed = feed
        self.nodes = list(nodes)
        self.clients: list[Client] = []
        self.writers: list[Writer] = []
        self.faults = Faults(dsn)
        self.rest_stored: dict[int, str] = {}  # channel by number of what REST has confirmed
        self.notices: dict[int, list[str] | None] = {}  # to whom, by number, of what was sent to connections
        self._wal = Wal()
        self._changed = asyncio.Event()
        self._marks: list[Client] = []
        self._starting: dict[ModelNode, asyncio.Task[None]] = {}
        self._http = httpx.AsyncClient(timeout=GIVE_UP_AFTER)

    async def open(self) -> None:
        begin_control(self.dsn, self._wal.slot)
        with psycopg.connect(self.dsn, autocommit=True, options=connection_options()) as connection:
            connection.execute(SETUP.encode())
            for (user, channel), event in MUTED.items():
                row = (user, channel, event)
                connection.execute(
                    b"insert into realtime.preferences (user_id, channel, event) values (%s, %s, %s)", row
                )
        if self.feed is not None:
            await self.feed.start()
        await asyncio.gather(*(node.start() for node in self.nodes))
        self.clients = [Client(name, user, self._changed.set, self.problems.append) for name, user in USERS]
        self.writers = [Writer(self.dsn, self.problems.append) for _ in range(3)]

    async def close(self) -> None:
        """Everything down; errors of that do not matter any more, but for those that were logged."""
        for writer in self.writers:
            await writer.close()
        for client in self.clients:
            await client.drop()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await self._http.aclose()
        await asyncio.gather(*(node.stop() for node in self.nodes if node.up))
        if self.feed is not None:
            await self.feed.stop()

    async def lose_slot(self, node: ModelNode) -> None:
        """Take the slot of a node away, which in a cluster is that of all."""
        before = node.gaps
        await self.faults.drop_slot(node)
        for each in self.nodes:
            if each is not node and each.slot == node.slot:
                each.gaps += node.gaps - before

    async def until(self, condition: Callable[[], bool], at_most: float | None = None) -> None:
        """Wait until ``condition`` holds (or ``at_most`` seconds); evaluated whenever a client has received something."""
        try:
            async with asyncio.timeout(at_most or GIVE_UP_AFTER):
                while not condition():
                    self.check()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as late:
            if at_most is None:
                raise AssertionError(await self._unrest()) from late

    @asynccontextmanager
    async def _within_limit(self, seconds: float = GIVE_UP_AFTER) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as late:
            raise AssertionError(await self._unrest()) from late

    async def _unrest(self) -> str:
        relays = [] if self.feed is None else self.feed.addresses
        nodes = [node.address for node in self.nodes if node.up]
        return await unrest([*self.clients, *self._marks], [*nodes, *relays], self.dsn)

    async def start_node(self, node: ModelNode) -> None:
        """Start a node. It may have to wait for transactions that are open: the model does not wait for it."""
        if node not in self._starting:
            self._starting[node] = asyncio.create_task(node.start())

    def forget(self, node: ModelNode) -> None:
        """The node goes down: it will have to be started again."""
        self._starting.pop(node, None)

    async def _some_up(self, *, all_up: bool) -> None:
        for node in self.nodes:
            if not node.up and (all_up or node is self.nodes[0]):
                await self.start_node(node)
        for task in self._starting.values():
            await task
        self._starting.clear()

    def check(self) -> None:
        """Raise what has gone wrong meanwhile."""
        if self.problems:
            raise self.problems[0]

    def number(self) -> int:
        """A number that no message has had."""
        return next(_numbers)

    # -- what clients do -------------------------------------------------------------------------------------------

    def node(self, index: int) -> ModelNode | None:
        """The node of that index, or the next one that is up."""
        return next((node for node in self.nodes[index:] + self.nodes[:index] if node.up), None)

    async def connect(self, client: Client, index: int) -> None:
        node = self.node(index)
        if node is not None and not client.connected:
            try:
                await client.connect(node)
            except (OSError, WebSocketException, EOFError):
                node = None  # it is on its way down or up

    # -- REST ------------------------------------------------------------------------------------------------------

    async def rest(self, index: int, method: str, path: str, **options: Any) -> httpx.Response | None:
        """A request to a node; None if it could not be reached."""
        node = self.node(index)
        if node is None:
            return None
        try:
            url = f"http://{node.address}/realtime{path}"
            answer = await self._http.request(method, url, headers=node.headers, **options)
        except httpx.TransportError:
            return None
        assert answer.status_code != 500, answer.text
        return answer

    async def look(self, index: int, path: str) -> httpx.Response:
        """What a node that is up answers. A kept connection that it closes at that moment is no reason not to ask again,
        nor is one to the database that has just been lost (503).
        """
        async with self._within_limit():
            while True:
                answer = await self.rest(index, "GET", path)
                if answer is not None and answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    assert answer.status_code == HTTPStatus.OK, answer.text
                    return answer
                await asyncio.sleep(0.02)

    async def rest_publish(self, index: int, channel: str, number: int, id: str | None) -> None:
        body = {
            "event": "even" if number % 2 == 0 else "odd",
            "data": {"n": number, "k": number % 2},
            "sender": "robot",
        }
        answer = await self.rest(
            index, "POST", f"/channels/{channel}/broadcast", json=body | ({"id": id} if id else {})
        )
        if answer is not None and answer.status_code == 201 and id is None:
            self.rest_stored[number] = channel

    async def notify(self, users: list[str] | None) -> int:
        """Send something to connections. Returns its number."""
        number = self.number()
        self.notices[number] = users
        await (
            self.faults.execute("to all", number) if users is None else self.faults.execute("to users", users, number)
        )
        return number

    # -- the moment of truth ---------------------------------------------------------------------------------------

    async def come_to_rest(self, *, all_up: bool) -> Truth:
        """Let everything come to rest, and compare every record with the tables and with the WAL.

        ``all_up``: start what is down; else only the first node has to be up, and what is down counts as dead.
        """
        if isinstance(self.feed, PartsApart):
            self.feed.heal()
        async with self._within_limit(2 * GIVE_UP_AFTER):
            await asyncio.gather(*(writer.idle() for writer in self.writers))
            await self._some_up(all_up=all_up)
            while True:
                await self._everybody_back()
                await self._passed()
                await self.faults.rows_until("messages_recorded", lambda rows: rows == [(0,)])
                await self._presence_at_rest()
                await self._passed(echo=True)
                await self._everybody_is_notified()
                await self.faults.rows_until("messages_recorded", lambda rows: rows == [(0,)])
                if not self._anybody_unfinished():  # a node that was behind may have sent a client away only now
                    break
            truth = Truth(self.dsn, self._wal)
        await self._compare(truth)
        return truth

    async def _everybody_back(self) -> None:
        """Everybody connected who was, everything answered."""
        async with self._within_limit():
            while True:
                for index, client in enumerate(self.clients):
                    if client.wants_to_be_back:
                        await self.connect(client, index)
                    await client.retry()
                    await client.repeat()
                await self.until(lambda: not any(c.waiting for c in self.clients if c.connected))
                if not self._anybody_unfinished():
                    return
                await asyncio.sleep(0.02)

    def _anybody_unfinished(self) -> bool:
        return any(self._unfinished(client) for client in self.clients)

    def _unfinished(self, client: Client) -> bool:
        repeatable = [s for s in client.sent if s.outcome is None and s.id and not s.channel.startswith("cursors:")]
        return client.wants_to_be_back or (
            client.connected
            and bool(repeatable or any(subscription.state != "on" for subscription in client.subscriptions.values()))
        )

    async def _everybody_is_notified(self) -> None:
        """Who is subscribed to anything is known to be connected, and so receives what all connections receive."""
        for users in (None, ["bob", "cat"]):
            number = await self.notify(users)
            there = [
                c for c in self.clients if any(subscription.state == "on" for subscription in c.subscriptions.values())
            ]
            addressed = [c for c in there if users is None or c.user in users]
            await self.until(lambda: all(number in c.notices or not c.connected for c in addressed))

    async def _passed(self, *, echo: bool = False) -> None:
        """Every node has delivered everything committed so far, and every client has taken it. ``echo``: also routes."""
        channels = ["public:control", *(["public:echo"] if echo else [])]
        nodes = [node for node in self.nodes if node.up]
        marks = [Client(f"control at {node.port}", None, self._changed.set, self.problems.append) for node in nodes]
        self._marks = marks
        async with self._within_limit():
            await self._follow(marks, nodes, channels)
            await self.faults.execute("mark", self.number())
            while not all(mark.subscriptions[channel].record for mark in marks for channel in channels):
                if all(mark.follows(channels) for mark in marks):  # else it looks again: it has waited for that
                    self._changed.clear()
                    await self._changed.wait()
                await self._follow(marks, nodes, channels)
        for client in self.clients:
            await client.ping(self.until)
        for mark in marks:
            await mark.close()

    async def _follow(self, marks: list[Client], nodes: list[ModelNode], channels: list[str]) -> None:
        """Let each be subscribed at its node; one that has just been removed reports that it is to be tried again."""
        for mark, node in zip(marks, nodes, strict=True):
            while not mark.follows(channels):
                if not mark.connected:
                    await mark.connect(node)
                for channel in channels:
                    await mark.subscribe(channel, {})
                await mark.retry()
                await self.until(lambda mark=mark: not (mark.connected and mark.waiting))  # type: ignore[misc]

    def _present(self) -> set[tuple[str, str]]:
        return {
            (subscription.channel, client.present_id)
            for client in self.clients
            for subscription in client.subscriptions.values()
            if subscription.counts
        }

    async def _presence_at_rest(self) -> None:
        """Exactly those are in the table who are there. Who is in a room that was closed meanwhile may be or not."""
        expected = {pair for pair in self._present() if pair[0] != ROOM}
        await self.faults.rows_until(
            "present",
            lambda rows: {(c, u) for c, u, _ in rows if c != ROOM} == expected or self._anybody_unfinished(),
            f"expected {sorted(expected)}",
        )
        await self.faults.rows_until("leaving", lambda rows: rows == [(0,)])

    async def _compare(self, truth: Truth) -> None:
        truth.check_order()
        truth.check_route()
        for client in self.clients:
            for subscription in client.over:
                check_subscription(truth, subscription, whole=False)
            for subscription in client.subscriptions.values():
                check_subscription(truth, subscription, whole=True)
            check_acks(truth, client)
            for number in client.notices:
                users = self.notices[number]
                assert users is None or client.user in users, (client.name, number, users)
        self._check_writers(truth)
        await self._compare_presence(truth)
        self.check()
        assert not (complaints := [text for node in self.nodes for text in node.complaints()]), complaints

    def _check_writers(self, truth: Truth) -> None:
        streamed = {number for rows in truth.wal.stored.values() for _, number in rows}
        streamed |= {number for numbers in truth.wal.passing.values() for number in numbers}
        for writer in self.writers:
            assert not writer.rolled_back & streamed, "rolled back, and yet in the WAL"
        for number in self.rest_stored:
            assert number in streamed, f"REST reported that {number} is stored"

    async def _compare_presence(self, truth: Truth) -> None:
        for channel in CHANNELS:
            rows = {user: (metadata, state) for c, user, metadata, state in truth.presence if c == channel}
            for client in self.clients:
                subscription = client.subscriptions.get(channel)
                if subscription is not None and subscription.members is not None:
                    members = {id: (user["metadata"], user["state"]) for id, user in subscription.members.items()}
                    assert members == rows, (client.name, channel, members, rows)
            for index in range(len(self.nodes)):
                answer = await self.look(index, f"/channels/{channel}/presence")
                shown = {user["id"]: (user["metadata"], user["state"]) for user in answer.json()["users"]}
                assert shown == rows, (channel, index, shown, rows)
        assert len([row for row in truth.presence if row[0] == "room:cap"]) <= 2
