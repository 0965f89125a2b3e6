"""Message ids in SQL: each is stored once per channel and sender, whichever transactions have it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.integration.sql.conftest import Connect, Connection, named, run, value
from tests.integration.sql.test_publish import stored


def test_the_same_id_is_stored_once_per_channel(db: Connection) -> None:
    for channel in ("room", "room", "other"):
        assert value(db, "select realtime.broadcast(%s, 'e', '1', id => 'x')", channel) == "x"
    assert len(stored(db)) == len(stored(db, "other")) == 1


def test_an_id_waits_for_the_transaction_that_has_it_and_takes_its_place_if_that_rolls_back(connect: Connect) -> None:
    for outcome, payload in (("rollback", 2), ("commit", 1)):
        first, second = connect(), connect()
        run(first, "begin")
        run(first, "select realtime.broadcast(%s, 'e', '1', id => 'x')", outcome)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(run, second, f"select realtime.broadcast('{outcome}', 'e', '2', id => 'x')")
            wait_until_blocked(connect(), second)
            run(first, outcome)
            waiting.result(10)
        assert stored(first, outcome) == [payload]


def wait_until_blocked(watcher: Connection, waiting: Connection) -> None:
    """Until the server reports that the other connection waits for a lock (it ends by the statement timeout)."""
    run(
        watcher,
        f"do $$ begin while cardinality(pg_blocking_pids({waiting.info.backend_pid})) = 0 loop"
        " perform pg_stat_clear_snapshot(); end loop; end $$",
    )


def test_one_id_from_twenty_connections_is_stored_once(connect: Connect) -> None:
    connections = [connect() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        for done in [
            pool.submit(run, c, "select realtime.broadcast('room', 'e', '1', id => 'x')") for c in connections
        ]:
            done.result(20)
    assert stored(connections[0]) == [1]


def publish(db: Connection, *messages: tuple[str, str, str | None, str]) -> list[dict[str, object]]:
    """The engine's batch: (channel, id, given id or None, payload)."""
    return named(
        db,
        "engine_publish",
        channels=[m[0] for m in messages],
        events=["e"] * len(messages),
        payloads=[m[3] for m in messages],
        senders=["ann"] * len(messages),
        connections=["c1"] * len(messages),
        ids=[m[1] for m in messages],
        claims=[m[2] is not None for m in messages],
        priorities=[0] * len(messages),
        traces=None,
        whole=True,
    )


def test_a_batch_is_stored_in_its_order_and_without_ids_that_are_there(db: Connection) -> None:
    assert publish(db, ("room", "x", "x", "0")) == []
    rows = publish(db, *(("room", f"n{i}", None, str(i)) for i in range(1, 300)), ("room", "x", "x", "999"))
    expected = {"channel": "room", "id": "x", "scope": "=ann", "fresh": False, "elsewhere": 0, "refused": None}
    assert rows == [expected]
    assert stored(db) == list(range(300))
    [earlier] = named(db, "engine_outcome", channels=["room"], ids=["x"], scopes=["=ann"], ages=[60])
    assert earlier["seq"] == 1
    assert earlier["position"] is None


def test_batches_with_the_same_ids_in_opposite_order_do_not_deadlock(connect: Connect) -> None:
    ids = [f"i{n}" for n in range(200)]
    connections = [connect() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        orders = [ids if n % 2 else ids[::-1] for n in range(6)]
        done = [
            pool.submit(publish, c, *(("room", i, i, "1") for i in order))
            for c, order in zip(connections, orders, strict=True)
        ]
        assert sum(len(ids) - len(each.result(20)) for each in done) == 200
    assert len(stored(connections[0])) == 200
