"""What filters look at, and what reads a query's conditions, is freed with its last use: in a server the cyclic collector
comes seldom (``server.app.gc_tuning``), and memory that waits for it is pinned by what was made meanwhile.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.catalog.model import Table
from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.filters.filter import compile_filter
from engine.channels.core.messages.decode import MessageRow
from engine.query.builder.where import WhereParser
from engine.values.pg_types import Column, TypeInfo
from tests.support.clients.freed import only_new_objects
from tests.support.clients.hostile import HUNDREDS


@contextmanager
def no_cycles() -> Iterator[None]:
    """Fails if what is made meanwhile has cycles. What was there before does not count: it may become garbage now."""
    with only_new_objects():
        yield
        assert gc.collect() == 0


@pytest.mark.parametrize("name", HUNDREDS)
def test_a_judged_message_leaves_nothing_to_the_cyclic_collector(name: str) -> None:
    value, conditions = HUNDREDS[name]
    test = compile_filter([{"or": [["a", word, literal] for word, literal in conditions]}])
    payload = json.dumps({"a": value}).encode()
    row = MessageRow(1, 1, "c", "e", payload, None, None, "1", None, 0, "2026-01-25 09:00:00+00")
    with no_cycles():
        event = MessageEvent(row)
        assert event.meets(test) is False
        assert event.meets_whole(test) is False
        event.delivered()


def test_parsed_conditions_leave_nothing_to_the_cyclic_collector() -> None:
    column = Column("id", 1, TypeInfo(23, "integer", "base", category="N"), field="id")
    table = Table(1, "public", "items", "items", (column,), (0,), (0,))
    _ = table.by_field
    with no_cycles():
        WhereParser(table).conditions([{"and": [["id", "in", [1, 2]], ["id", "is-not-null"]]}])
