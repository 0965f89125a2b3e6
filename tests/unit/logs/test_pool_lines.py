"""A pool that cannot connect is one event, and one a minute with the number of the others."""

from __future__ import annotations

import logging

import psycopg_pool.pool_async as pools
import pytest
from structlog.testing import capture_logs

from server.logs.configure import configure_logs
from server.logs.pool_lines import DISCARDED, FAILED, GIVEN_UP, PoolLines


def _record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("psycopg.pool", logging.WARNING, "", 0, text, args, None)


def test_an_outage_is_one_event_a_minute_for_each_pool() -> None:
    now = 100.0
    lines = PoolLines(clock=lambda: now)
    with capture_logs() as events:
        for _ in range(100):
            for pool in ("reader", "publisher"):
                assert not lines.filter(_record(FAILED, pool, OSError("refused\n")))
                assert not lines.filter(_record(GIVEN_UP, pool, 3.0))
        now += 61
        assert not lines.filter(_record(FAILED, "reader", OSError("still refused")))
    assert [(each["event"], each["pool"], each["error"], each["suppressed"]) for each in events] == [
        ("pool_not_connected", "reader", "refused", 0),
        ("pool_not_connected", "publisher", "refused", 0),
        ("pool_not_connected", "reader", "still refused", 99),
    ]
    assert lines.filter(_record("discarding broken connection: %s", "c"))


def test_the_lines_of_a_pool_that_cannot_connect_are_not_logged_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    for _ in range(10):
        logging.getLogger("psycopg.pool").warning(FAILED, "reader", OSError("refused"))
        logging.getLogger("psycopg.pool").warning(GIVEN_UP, "reader", 3.0)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_connection_that_we_have_closed_is_no_warning() -> None:
    assert not PoolLines().filter(_record(DISCARDED, "c"))


def test_the_texts_are_those_of_this_pool() -> None:
    with open(pools.__file__) as source:  # they have no names there
        text = source.read()
    assert [text.count(f'"{each}"') for each in (FAILED, GIVEN_UP, DISCARDED)] == [1, 1, 1]
