"""The state machine: each rule makes something happen. It does not wait for the effects, so everything overlaps; the nodes
run in a loop of their own, in another thread.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, ClassVar, Self, TypeVar

from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.model.loop import Loop
from tests.model.nats_feed import NatsFeed
from tests.model.oracle import ROOM, ROUTED
from tests.model.setup import CHANNELS
from tests.model.world import World
from tests.support.nodes.server_nodes import NodeHere, NodeOutside

T = TypeVar("T")

CLIENT = st.integers(0, 4)
NODE = st.integers(0, 2)
WRITER = st.integers(0, 2)
CHANNEL = st.sampled_from(CHANNELS)
PUBLISH = st.sampled_from([channel for channel in CHANNELS if channel != ROUTED])
STORED = st.sampled_from([channel for channel in CHANNELS if channel not in ("cursors:c", ROUTED)])
USER = st.sampled_from(["ann", "bob", "cat"])
IDENTIFIER = st.sampled_from(["none", "own", "own", "shared"])
HISTORY = st.sampled_from([0, 0, 3, 100])
FILTER = st.sampled_from([None, None, None, {"events": ["even"]}, {"where": [["k", "==", 1]]}])
PRESENCE = st.sampled_from([None, True, {"status": "here"}, {"name": "A user", "mood": "good"}, {"typing": True}])
CHANGE = st.sampled_from([{"status": "away"}, {"typing": True}, {"typing": False}, {"name": "Other"}, {"x": 1}])
BACKENDS = ["realtime publisher%", "realtime channels%", "realtime%", "realtime rest%"]


class Complaints(logging.Handler):
    """Errors in the log, whichever of the two logs they go to."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class Machine(RuleBasedStateMachine):
    """One life of a world. ``server``, ``decoder``, ``outside`` and ``cluster`` are set by the test.

    ``played``: what each program began with; ``shrinks``: one that fails is made shorter.
    """

    server: LocalPostgres
    decoder: DecoderName = "pgoutput"
    outside = False
    cluster = False
    shrinks = True
    played: ClassVar[list[list[tuple[int, str, Any]]]]

    def __init__(self) -> None:
        super().__init__()
        self.ends = ExitStack()
        self.broken = False

    def open(self) -> Self:
        """Start the database, the nodes and the clients."""
        dsn = self.ends.enter_context(database_on(self.server))
        self.loop = Loop()
        self.ends.callback(self.loop.close)
        self.world = self.make_world(dsn)
        self.ends.callback(lambda: self.loop.run(self.world.close()))
        self.run(self.world.open())
        return self

    def make_world(self, dsn: str) -> World:
        """The nodes are in this process, but for the last one if it is ``outside``."""
        feed = NatsFeed(dsn) if self.cluster else None
        kinds = NodeHere, NodeHere, NodeOutside if self.outside else NodeHere
        configs = [{} if feed is None else feed.config(number) for number in range(len(kinds))]
        return World(dsn, [kind(dsn, self.decoder, each) for kind, each in zip(kinds, configs, strict=True)], feed)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            result = self.loop.run(work)
            self.world.check()
            return result
        except BaseException:
            self.broken = True
            traceback.print_exc(file=sys.stdout)  # a second time it may not happen: time is not hypothesis's to replay
            raise

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            self.ends.close()
            return
        with self.ends:
            if not self.broken:
                self.run(self.world.come_to_rest(all_up=True))
        assert not self.loop.failures

    def identifier(self, kind: str, number: int) -> str | None:
        return {"none": None, "own": f"id-{number}", "shared": f"shared-{number % 3}"}[kind]

    @initialize(wishes=st.lists(st.tuples(CLIENT, CHANNEL, PRESENCE), min_size=4, max_size=16))
    def begin(self, wishes: list[tuple[int, str, Any]]) -> None:
        """Refuses the first program that Hypothesis makes up: it has the first value of everything, so one step again and
        again, takes longest, and was all that a test of one program played.
        """
        assume(any(wish != wishes[0] for wish in wishes))
        self.played.append(wishes)
        self.open()
        for client, channel, presence in wishes:
            self.subscribe(client, client % 3, channel, 0, None, presence)

    # -- clients ---------------------------------------------------------------------------------------------------

    @rule(
        client=CLIENT,
        node=NODE,
        channel=CHANNEL,
        history=HISTORY,
        filter=FILTER,
        presence=PRESENCE,
    )
    def subscribe(self, client: int, node: int, channel: str, history: int, filter: Any, presence: Any) -> None:
        who = self.world.clients[client]
        wishes = {"history": history or None, "filter": filter, "presence": presence}
        options = {name: value for name, value in wishes.items() if value is not None}

        async def do() -> None:
            await self.world.connect(who, node)
            await who.subscribe(channel, options)

        self.run(do())

    @rule(client=CLIENT, channel=CHANNEL)
    def unsubscribe(self, client: int, channel: str) -> None:
        self.run(self.world.clients[client].unsubscribe(channel))

    @rule(client=CLIENT, node=NODE, channel=PUBLISH, count=st.integers(1, 20), kind=IDENTIFIER)
    def publish(self, client: int, node: int, channel: str, count: int, kind: str) -> None:
        who = self.world.clients[client]

        async def do() -> None:
            await self.world.connect(who, node)
            for _ in range(count):
                number = self.world.number()
                await who.publish(number, channel, self.identifier(kind, number))

        self.run(do())

    @rule(client=CLIENT, channel=CHANNEL, data=CHANGE)
    def update_presence(self, client: int, channel: str, data: dict[str, Any]) -> None:
        who = self.world.clients[client]
        if who.connected:
            self.run(who.update_presence(channel, data))

    @rule(client=CLIENT, node=NODE, back=st.booleans())
    def drop(self, client: int, node: int, back: bool) -> None:
        who = self.world.clients[client]

        async def do() -> None:
            await who.drop()
            if back:
                await self.world.connect(who, node)
                await who.repeat()

        self.run(do())

    @rule(client=CLIENT, node=NODE, gone=st.booleans())
    def go_or_come(self, client: int, node: int, gone: bool) -> None:
        if gone:
            self.run(self.world.clients[client].close())
        else:
            self.run(self.world.connect(self.world.clients[client], node))

    @rule(client=CLIENT)
    def let_others_run(self, client: int) -> None:
        """Something gets done; perhaps not everything, if a slot has to wait for a writer's transaction."""
        who = self.world.clients[client]
        self.run(self.world.until(lambda: not who.connected or not who.waiting, at_most=0.5))

    # -- SQL and REST ----------------------------------------------------------------------------------------------

    @rule(writer=WRITER, channel=PUBLISH, kinds=st.lists(IDENTIFIER, min_size=1, max_size=4), begin=st.booleans())
    def sql_broadcast(self, writer: int, channel: str, kinds: list[str], begin: bool) -> None:
        async def do() -> None:
            who = self.world.writers[writer]
            if begin:
                who.begin()
            for kind in kinds:
                number = self.world.number()
                who.broadcast(channel, number, self.identifier(kind, number))

        self.run(do())

    @rule(writer=WRITER, channel=STORED, count=st.integers(1, 30), begin=st.booleans(), orders=st.booleans())
    def sql_insert(self, writer: int, channel: str, count: int, begin: bool, orders: bool) -> None:
        async def do() -> None:
            who = self.world.writers[writer]
            if begin:
                who.begin()
            who.insert(channel, [self.world.number() for _ in range(count)])
            if orders:
                who.change(self.world.number())

        self.run(do())

    @rule(
        writer=WRITER, channel=STORED, kind=IDENTIFIER, users=st.lists(USER, max_size=2, unique=True), but=st.booleans()
    )
    def sql_address(self, writer: int, channel: str, kind: str, users: list[str], but: bool) -> None:
        """To these subscribers, or to all but these."""

        async def do() -> None:
            number = self.world.number()
            audience = {"exclude": {"users": users}} if but else {"users": users}
            self.world.writers[writer].broadcast(channel, number, self.identifier(kind, number), audience)

        self.run(do())

    @rule(users=st.none() | st.lists(USER, max_size=2, unique=True))
    def notify(self, users: list[str] | None) -> None:
        """To all connections, or to those of some users."""
        self.run(self.world.notify(users))

    @rule(writer=WRITER, what=st.sampled_from(["save", "rollback_to_savepoint", "commit", "commit", "rollback"]))
    def sql_transaction(self, writer: int, what: str) -> None:
        async def do() -> None:
            getattr(self.world.writers[writer], what)()

        self.run(do())

    @rule(node=NODE, channel=PUBLISH, kind=IDENTIFIER)
    def rest_publish(self, node: int, channel: str, kind: str) -> None:
        number = self.world.number()
        self.run(self.world.rest_publish(node, channel, number, self.identifier(kind, number)))

    @rule(channel=st.sampled_from([None, *CHANNELS]), user=USER, node=NODE, rest=st.booleans())
    def remove(self, channel: str | None, user: str, node: int, rest: bool) -> None:
        """Out of a channel, or altogether."""
        if channel is None and rest:
            self.run(self.world.rest(node, "DELETE", "/connections", params={"userId": user}))
        elif channel is None:
            self.run(self.world.faults.execute("disconnect", user))
        elif rest:
            self.run(self.world.rest(node, "POST", f"/channels/{channel}/kick", json={"userId": user}))
        else:
            self.run(self.world.faults.execute("kick", channel, user))

    @rule(what=st.sampled_from(["create", "create", "update", "close"]), node=NODE, rest=st.booleans())
    def room(self, what: str, node: int, rest: bool) -> None:
        number = self.world.number()
        if not rest:
            self.run(self.world.faults.execute(what, *([number] if what == "update" else [])))
        elif what == "create":
            self.run(self.world.rest(node, "POST", "/channels", json={"name": ROOM, "presenceTimeout": 0.3}))
        elif what == "update":
            self.run(self.world.rest(node, "PATCH", f"/channels/{ROOM}", json={"metadata": {"n": number}}))
        else:
            self.run(self.world.rest(node, "DELETE", f"/channels/{ROOM}"))

    # -- faults ----------------------------------------------------------------------------------------------------

    @rule(node=NODE, how=st.sampled_from(["stop", "kill", "up", "up"]))
    def down_or_up(self, node: int, how: str) -> None:
        there = self.world.nodes[node]
        if how == "up" and not there.up:
            self.run(self.world.start_node(there))
        elif how != "up" and there.up:
            self.world.forget(there)
            self.run(there.kill() if how == "kill" else there.stop())

    @rule(node=NODE, what=st.sampled_from(["slot", "node", "walsender", *BACKENDS]))
    def lose(self, node: int, what: str) -> None:
        there = self.world.nodes[node]
        if what == "slot":
            self.run(self.world.lose_slot(there))
        elif what in ("walsender", "node"):
            self.run(self.world.faults.execute(what, there.slot))
        else:
            self.run(self.world.faults.execute("backends", what))

    # -- truth -----------------------------------------------------------------------------------------------------

    @rule(all_up=st.booleans())
    def come_to_rest(self, all_up: bool) -> None:
        self.run(self.world.come_to_rest(all_up=all_up))


def machine(
    server: LocalPostgres,
    decoder: DecoderName,
    *,
    outside: bool = False,
    cluster: bool = False,
    base: type[Machine] = Machine,
) -> type[Machine]:
    members: dict[str, Any] = {
        "server": server,
        "decoder": decoder,
        "outside": outside,
        "cluster": cluster,
        "played": [],
    }
    return type("Machine", (base,), members)


def run_machine(server: LocalPostgres, decoder: DecoderName, *, examples: int, steps: int, **how: Any) -> None:
    """``how``: see :func:`machine`."""
    kind = machine(server, decoder, **how)
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if kind.shrinks else [Phase.generate],
            report_multiple_bugs=kind.shrinks,
        ),
    )
    assert len(kind.played) >= examples
