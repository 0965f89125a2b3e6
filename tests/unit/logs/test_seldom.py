"""A line that any client can cause is logged a few times a second, with the number of the others."""

from __future__ import annotations

import logging

import uvicorn.protocols.http.h11_impl as uvicorns

from server.logs.clients import REFUSALS_PER_SECOND
from server.logs.seldom import Seldom

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
