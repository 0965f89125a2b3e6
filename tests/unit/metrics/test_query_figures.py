"""The figures of live queries are made a few at a time, and the text of a query is written once."""

from __future__ import annotations

import json

import pytest

from engine.identity.visibility import Viewer
from engine.live.core.shared_query import LiveQuery
from server.statistics import figures
from server.statistics.figures import QueryFigures, busiest_queries


def made(queries: list[LiveQuery], known: dict[str, QueryFigures]) -> tuple[dict[str, QueryFigures], int]:
    steps, turns = busiest_queries(queries, known), 1
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value, turns
        turns += 1


def test_figures_are_made_in_turns_and_the_text_of_a_query_once(monkeypatch: pytest.MonkeyPatch) -> None:
    visibility = Viewer().visibility
    queries = [LiveQuery(visibility, f"k{n}", "items", {"where": [["n", "in", [n, 1]]]}) for n in range(45)]
    found, turns = made(queries, {})
    assert turns == 5
    assert {each.query for each in found.values()} == {f'{{"where":[["n","in",[{n},1]]]}}' for n in range(45)}

    def refused(*_: object, **__: object) -> str:
        raise AssertionError("written again")

    monkeypatch.setattr(json, "dumps", refused)
    queries[7].read_seconds = 2.0
    again, _ = made(queries, found)
    assert next(iter(again.values())).read_ms == 2000
    assert {id: each.query for id, each in again.items()} == {id: each.query for id, each in found.items()}
    monkeypatch.undo()
    assert figures.query_id(queries[7]) == next(iter(again))
