"""A line that any client can cause is logged a few times a second, with the number of the others."""

from __future__ import annotations

import logging

import structlog
import uvicorn.protocols.http.h11_impl as uvicorns

from server.logs.clients import REFUSALS_PER_SECOND
from server.logs.seldom import Seldom, SeldomEvents

_TEXT = "Invalid HTTP request received."


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, None, None)


def test_a_flood_of_unreadable_requests_is_a_few_lines_a_second_and_their_number() -> None:
    now = 100.0
    seldom = Seldom(_TEXT, clock=lambda: now)
    assert sum(seldom.filter(_record(_TEXT)) for _ in range(1000)) == REFUSALS_PER_SECOND
    assert all(seldom.filter(_record("another")) for _ in range(1000))
    now += 0.5
    later = _record(_TEXT)
    assert seldom.filter(later)
    assert later.getMessage() == f"{_TEXT} ({1000 - REFUSALS_PER_SECOND:.0f} more such lines were suppressed)"


def test_the_text_is_the_one_of_this_uvicorn() -> None:
    with open(uvicorns.__file__) as source:  # it has no name there
        assert source.read().count(f'"{_TEXT}"') == 1


def test_an_event_of_an_outage_is_logged_once_a_minute_of_each_kind() -> None:
    now = [0.0]
    seldom = SeldomEvents("refused", clock=lambda: now[0])

    def logged(**event: object) -> object:
        try:
            return seldom(None, "warning", dict(event))
        except structlog.DropEvent:
            return None

    assert logged(event="refused", what="a") == {"event": "refused", "what": "a"}
    assert [logged(event="refused", what="a") for _ in range(5)] == [None] * 5
    assert logged(event="refused", what="b") is not None
    assert [logged(event="other", what="a") for _ in range(2)] == [{"event": "other", "what": "a"}] * 2
    now[0] = 61.0
    assert logged(event="refused", what="a") == {"event": "refused", "what": "a", "suppressed": 5}
    assert logged(event="refused", what="a") is None
