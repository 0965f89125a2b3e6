"""What is printed and drawn of the figures, and what is advised on errors."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from server.bench.advice import advice
from server.bench.load.errors import BenchUsageError
from server.bench.load.fleet import agents_needed
from server.bench.plot import svg
from server.bench.report import cells
from server.bench.run import SCENARIOS, Round, holds
from server.bench.scenario import Load


def row(rate: float, p95: float, **more: Any) -> dict[str, Any]:
    times = {f"latency_{name}_ms": value for name, value in (("p50", p95 / 2), ("p95", p95), ("p99", p95 * 2))}
    return {"rate": rate, "took_s": 10.0, "cpu_s": {"server": 5.0}, "errors": {}, "missing": 0, **times, **more}


def test_a_table_has_the_columns_of_which_there_are_figures() -> None:
    heads, lines = cells([row(1000, 3.5, sustained=True), row(2000, 70.25)])
    assert heads == ["rate/s", "missing", "took s", "delivery p50 ms", "p95", "p99", "sustained", "server cores"]
    assert lines[0] == ["1,000", "0", "10.00", "1.75", "3.50", "7.00", "yes", "0.50"]
    assert lines[1][-2:] == ["-", "0.50"]


@pytest.mark.parametrize(
    ("figures", "held"),
    [
        (row(100, 49.0), True),
        (row(100, 51.0), False),
        (row(100, 1.0, missing=1), False),
        (row(100, 1.0, errors={"RT_001: x": 1}), False),
        (row(100, 1.0, took_s=12.0), False),
    ],
    ids=["held", "slow", "missing", "error", "behind"],
)
def test_a_rate_holds_if_all_came_in_time_without_an_error(figures: dict[str, Any], held: bool) -> None:
    assert holds(Round("publish", Load(), figures), 0.05) is held


def test_the_picture_has_a_curve_for_each_quantile_with_all_rates() -> None:
    picture = ET.fromstring(svg("a < b", [row(2000, 9.0), row(1000, 3.0), row(4000, 500.0)]))
    curves = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [3, 3, 3]
    for curve in curves:
        places = [tuple(map(float, point.split(","))) for point in curve.attrib["points"].split()]
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    with pytest.raises(ValueError, match="at least two rates"):
        svg("one", [row(1000, 3.0)])


def test_each_limit_that_was_met_is_named_once_with_its_setting() -> None:
    errors = [
        "RT_006: more than 100 messages per second; this one was not carried out",
        "closed by the server: 1008 too many messages",
        "RT_006: this user has 10 connections already, and may have no more",
        "Too many open files",
    ]
    found = advice(errors)
    assert len(found) == 3
    assert ["max_message_rate" in found[0], "max_connections_per_user" in found[1], "ulimit -n" in found[2]] == [
        True
    ] * 3


def test_clients_are_spread_over_as_many_processes_as_open_files_require(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 20_000))
    assert [agents_needed(count, None) for count in (10, 19_936, 19_937, 50_000)] == [1, 1, 2, 3]
    assert agents_needed(10, 4) == 4
    with pytest.raises(BenchUsageError, match=r"ulimit -n.*--processes 3"):
        agents_needed(50_000, 2)


def test_loads_that_cannot_be_even_or_lack_a_database_are_refused_in_words() -> None:
    with pytest.raises(BenchUsageError, match="multiple of --channels"):
        SCENARIOS["channels"].load_of({"clients": 7, "channels": 10, "each": 5})
    with pytest.raises(BenchUsageError, match="give --dsn"):
        SCENARIOS["broadcast"].load_of({})
    assert SCENARIOS["channels"].load_of({"clients": 20, "channels": 10, "each": 5}).channels == 10
