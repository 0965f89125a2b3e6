"""``realtime bench`` against a served node: its counts are exact, and errors name what is behind them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.bench.load.target import target_of
from server.bench.run import meters_of
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import ServerProcess, serving, serving_measured


async def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(realtime, "bench", *arguments)


def rounds_of(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["rounds"]
    return found


async def rows(server: ServerProcess, file: Path, *arguments: str) -> list[dict[str, Any]]:
    """Of a run that has to end without an error."""
    done = await bench(*arguments, "--url", server.url, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    return rounds_of(file)


@pytest.mark.long
@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_every_scenario_counts_what_was_sent_times_who_gets_it(
    database: str, tmp_path: Path, transport: str
) -> None:
    by = ("--transport", transport)
    limits = {"max_message_rate": 10_000, "max_presence_rate": 10_000, "session_timeout": 600}
    async with serving(database, free_port(), **limits) as server:
        names = ("fanout", "publish", "broadcast", "presence", "queries", "replay", "reconnect")
        sizes = ("--clients", "20", "--rate", "100", "--seconds", "0.5", "--messages", "10", "--queries", "10")
        found = await rows(server, tmp_path / "all.json", *names, *sizes, *by, "--dsn", database, "--publishers", "3")
        by_name = {row["scenario"]: row for row in found}
        assert list(by_name) == list(names)
        for name in ("fanout", "publish", "broadcast", "presence"):
            row = by_name[name]
            assert (row["messages"], row["deliveries"], row["least"], row["greatest"]) == (50, 1000, 50, 50)
            assert row["latency_count"] == 1000
            assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"] <= row["latency_p99_ms"] <= row["latency_max_ms"]
        assert by_name["presence"]["joining"]["complete_count"] == 20
        assert (by_name["queries"]["messages"], by_name["queries"]["expected"]) == (50, 100)
        for name in ("replay", "reconnect"):
            assert (by_name[name]["deliveries"], by_name[name]["complete_count"]) == (200, 20)
        for row in found:
            assert row["cpu_s"].keys() >= {"server", "postgres", "clients", "machine"}
            assert (row["missing"], row["errors"]) == (0, {})
        many = ("--clients", "20", "--channels", "10", "--each", "5", "--rate", "100", "--seconds", "0.5")
        [row] = await rows(server, tmp_path / "many.json", "channels", *many, *by, "--processes", "2", "--every", "5")
        assert (row["messages"], row["deliveries"], row["latency_count"]) == (50, 500, 100)
        few = ("--clients", "20", "--rate", "50", "--seconds", "0.5")
        idle, joins, arrive = await rows(server, tmp_path / "few.json", "idle", "joins", "arrive", *few, *by)
        assert (idle["clients"], idle["opened_count"], joins["subscriptions"], arrive["clients"]) == (20, 20, 20, 25)
        assert arrive["complete_count"] == 25
        lost = 20 if transport == "polling" else 0  # by `reconnect`, as a network does that fails: their sessions stay
        await server.connections(lost)
    with psycopg.connect(database) as connection:
        assert connection.execute("select to_regclass('public.realtime_bench')").fetchone() == (None,)


@pytest.mark.long
async def test_workers_and_the_relay_that_reads_for_them_are_measured_apart(database: str, tmp_path: Path) -> None:
    async with serving_measured(database, free_port(), workers=2, max_message_rate=10_000) as server:
        sizes = ("--clients", "10", "--publishers", "4", "--rate", "200", "--seconds", "1")
        [row] = await rows(server, tmp_path / "workers.json", "publish", *sizes)
        assert (row["messages"], row["deliveries"]) == (200, 2000)
        meter = meters_of(target_of(server.url), None)["server"]
        assert set(meter.cpu()) == {"supervisor", "relay", "worker 1", "worker 2"}


async def test_a_curve_is_drawn_and_a_rate_that_holds_is_found(database: str, tmp_path: Path) -> None:
    async with serving(database, free_port(), max_message_rate=1_000_000, max_published_bytes=10**9) as server:
        short = ("--clients", "2", "--seconds", "0.2", "--p95", "60000", "--url", server.url)
        curve = tmp_path / "curve.svg"
        done = await bench("publish", *short, "--rate", "20", "--rate", "40", "--plot", str(curve))
        assert done.returncode == 0, done.stderr
        assert (await asyncio.to_thread(curve.read_text)).startswith("<svg")
        file = tmp_path / "found.json"
        search = ("--find", "--rate", "2000", "--seconds", "0.1", "--clients", "1", "--publishers", "1")
        done = await bench("publish", *search, "--p95", "60000", "--url", server.url, "--json", str(file))
        assert done.returncode == 0, done.stderr
        assert "highest sustained: " in done.stdout
        assert sum(row.get("highest", False) for row in rounds_of(file)) == 1


async def test_a_limit_of_the_server_is_named_with_its_setting(database: str) -> None:
    async with serving(database, free_port(), max_message_rate=5, require_api_key=True) as server:
        refused = await bench("publish", "--url", server.url, "--api-key", "no-key")
        assert refused.returncode == 1
        assert "--api-key" in refused.stderr
    async with serving(database, free_port(), max_message_rate=5) as server:
        done = await bench(
            "publish", "--clients", "1", "--publishers", "1", "--rate", "40", "--seconds", "1", "--url", server.url
        )
        assert done.returncode == 1
        assert "messages per second; this one was not carried out" in done.stderr
        assert "max_message_rate: raise it, or take more --publishers" in done.stderr


async def test_wrong_addresses_and_loads_are_refused_before_anything_is_opened() -> None:
    port = free_port()
    nothing, no_address, unknown, no_scenario, listed = await asyncio.gather(
        bench("idle", "--url", f"http://127.0.0.1:{port}"),
        bench("idle", "--url", "localhost:8000"),
        bench("idle", "--url", "http://no-such-host.invalid"),
        bench("no-such"),
        bench(),
    )
    assert (nothing.returncode, no_address.returncode, unknown.returncode, no_scenario.returncode) == (1, 2, 1, 2)
    assert f"http://127.0.0.1:{port} cannot be reached" in nothing.stderr
    assert "write http://HOST:PORT" in no_address.stderr
    assert "no-such-host.invalid has no address" in unknown.stderr
    assert "there is no scenario no-such" in no_scenario.stderr
    assert (listed.returncode, "fanout" in listed.stdout) == (0, True)
