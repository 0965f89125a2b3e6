"""Random things happen to several nodes, their clients and the database; then every record is compared with the tables.

A program of steps is made up, and when it fails made shorter, by hypothesis.
"""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import structlog

from server.cli.local_postgres import LocalPostgres
from tests.cluster.namespaces.namespaces import POSSIBLE
from tests.model.machine import Complaints, Machine, machine, run_machine
from tests.support.servers.processes import GIVE_UP_AFTER, ROOT

pytestmark = pytest.mark.long


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What is logged as an error meanwhile."""
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    with structlog.testing.capture_logs() as entries:
        yield handler
    logging.getLogger().removeHandler(handler)
    handler.texts += [str(entry) for entry in entries if entry["log_level"] in ("error", "critical")]
    assert not handler.texts


def test_a_story_in_which_everything_happens(pg18: LocalPostgres, complaints: Complaints) -> None:
    """Not at random, so that it is sure to happen: each kind of writer, client, change and fault."""
    world = machine(pg18, "pgoutput", outside=True)().open()
    try:
        play(world)
    finally:
        world.teardown()
    subscriptions = [
        subscription
        for client in world.world.clients
        for subscription in (*client.subscriptions.values(), *client.over)
    ]
    assert sum(len(subscription.record) for subscription in subscriptions) > 1000
    assert sum(subscription.resumed for subscription in subscriptions) >= 10


def play(story: Machine) -> None:
    everybody = range(5)
    for client in everybody:
        for channel in ("public:a", "chat:b", "presence:p", "cursors:c", "public:routed"):
            story.subscribe(client, client % 3, channel, 0, None, {"status": "here"})
    for client in (0, 1, 2):
        story.subscribe(client, 0, "room:cap", 0, None, None)
        story.subscribe(client, 0, "room:life", 0, None, True)
    for how in ("stop", "kill"):
        for writer in (0, 1):
            story.sql_broadcast(writer, "public:a", ["own", "none"], begin=True)
            story.sql_insert(writer, "chat:b", 20, begin=True, orders=True)
            story.sql_broadcast(writer, "cursors:c", ["none"], begin=True)
        for client in everybody:
            story.publish(client, 0, "chat:b", 10, "own")
            story.publish(client, 0, "cursors:c", 5, "none")
            story.update_presence(client, "presence:p", {"status": "away"})
        story.sql_transaction(1, "commit")
        story.rest_publish(0, "public:a", "shared")
        story.sql_address(2, "chat:b", "own", ["ann"], but=how == "stop")
        story.notify(None if how == "stop" else ["ann", "bob"])
        story.drop(0, 1, back=True)
        story.sql_transaction(0, "save")
        story.sql_broadcast(0, "public:a", ["own"], begin=True)
        story.sql_transaction(0, "rollback_to_savepoint")
        story.lose(1, "slot")
        story.sql_transaction(0, "commit")
        story.remove("presence:p", "bob", 0, rest=how == "stop")
        story.down_or_up(2, how)
        for client in everybody:
            story.publish(client, 0, "public:a", 10, "own")
        story.room("close", 0, rest=how == "stop")
        story.lose(0, "walsender")
        story.lose(0, "realtime%")
        story.come_to_rest(all_up=False)
        story.lose(1, "node")
        story.room("create", 0, rest=how == "stop")
        story.down_or_up(2, "up")
        story.remove(None, "cat", 0, rest=how == "stop")
        story.come_to_rest(all_up=True)


def test_a_node_that_loses_its_row_and_all_its_connections_takes_its_place_again(
    pg18: LocalPostgres, complaints: Complaints
) -> None:
    story = machine(pg18, "pgoutput", outside=False)().open()
    try:
        for _ in range(3):
            for client in range(5):
                story.subscribe(client, client % 3, "presence:p", 0, None, True)
            story.lose(2, "node")
            story.lose(2, "realtime%")
            story.publish(0, 2, "public:a", 5, "own")
            story.come_to_rest(all_up=True)
    finally:
        story.teardown()


def test_every_record_equals_the_tables_whatever_happens(pg18: LocalPostgres, complaints: Complaints) -> None:
    run_machine(pg18, "pgoutput", outside=False, examples=3, steps=40)


def test_it_also_holds_when_a_process_is_killed(pg18: LocalPostgres, complaints: Complaints) -> None:
    run_machine(pg18, "pgoutput", outside=True, examples=2, steps=30)


def test_it_also_holds_on_postgresql_15_with_wal2json(pg15: LocalPostgres, complaints: Complaints) -> None:
    run_machine(pg15, "wal2json", outside=False, examples=2, steps=30)


def test_it_also_holds_for_nodes_that_are_fed_from_nats(pg18: LocalPostgres, complaints: Complaints) -> None:
    run_machine(pg18, "pgoutput", outside=False, cluster=True, examples=2, steps=40)


@pytest.mark.own_database
@pytest.mark.skipif(not POSSIBLE, reason="makes network namespaces: root on Linux")
def test_it_also_holds_between_namespaces_of_which_packets_are_lost(model_minutes: float) -> None:
    """More of it with ``--model-minutes N``."""
    command = [sys.executable, "-m", "tests.model.apart", "--steps", "40", "--minutes", str(model_minutes)]
    limit = model_minutes * 60 + 15 * GIVE_UP_AFTER
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without a difference" in done.stdout


def test_for_as_long_as_asked(pg18: LocalPostgres, model_minutes: float, complaints: Complaints) -> None:
    """More of it with ``--model-minutes N``."""
    if not model_minutes:
        pytest.skip("--model-minutes not given")
    until = time.monotonic() + model_minutes * 60
    kinds = itertools.cycle([(False, False), (True, False), (False, True), (True, True)])
    while time.monotonic() < until:
        outside, cluster = next(kinds)
        run_machine(pg18, "pgoutput", outside=outside, cluster=cluster, examples=5, steps=60)
