"""What a worker makes of the answers of the others, and of those that do not answer."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.metrics.registry import Registry
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.transports.http_sessions import HttpSessions
from server.workers import siblings
from server.workers.machine_metrics import RelayFigures, packed, showing
from server.workers.siblings import Siblings
from server.workers.sockets import leave
from server.workers.source import relay_figures, relay_pid_file
from server.workers.worker import Worker
from tests.support.fakes.server import FakeLiveQueries, FakeServer
from tests.unit.workers.test_machine_status import status

ANSWER = (
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nVary: Origin\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@asynccontextmanager
async def first_of(count: int, folder: Path) -> AsyncIterator[Siblings]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = FakeServer(FakeLiveQueries(), SessionLimits(), ConnectionLimits())
        worker = Worker(1, count, theirs, socket.socket, folder)
        found = Siblings(worker, lambda: status(1), Registry(), HttpSessions(server, 30.0))
        await found.start()
        try:
            yield found
        finally:
            await found.stop()


@pytest.mark.long
async def test_a_worker_that_hangs_is_named_and_keeps_neither_status_nor_metrics_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert siblings._FIGURES_TIMEOUT <= 2
    monkeypatch.setattr(siblings, "_FIGURES_TIMEOUT", 2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "worker2"))
        silent.listen()
        async with first_of(3, folder) as own, asyncio.timeout(60):
            shown = await own.status()
            assert shown["problems"] == [
                "worker 2 has not answered within 2 s: it hangs, or has too much to do",
                "worker 3 does not answer: it has ended, and another one is started in its place",
            ]
            measured = {sample.labels["worker"] for family in await own.families() for sample in family.samples}
            assert measured == {"1"}


async def test_the_process_of_the_relay_is_measured_while_it_runs(folder: Path) -> None:
    async with first_of(2, folder) as own:

        async def of_relay() -> set[str]:
            found = [sample for family in await own.families() for sample in family.samples]
            return {sample.name for sample in found if sample.labels["worker"] == "relay"}

        assert await of_relay() == set()
        relay_pid_file(folder).write_text(str(os.getpid()))
        assert await of_relay() == PROCESS
        relay_pid_file(folder).write_text("0")  # no process has it
        assert await of_relay() == set()


async def test_the_place_of_the_relay_in_the_stream_of_a_cluster_is_shown(folder: Path) -> None:
    relays = Registry()
    relays.gauges("realtime_stream_lag_seconds", "Of the relay.").of().value = 40.0
    cluster = {"cluster": {"leader": "left", "lagMessages": 7}}
    figures = RelayFigures(packed(relays.exposed()), cluster)
    async with first_of(1, folder) as own:
        assert "cluster" not in await own.status()
        async with showing(relay_figures(folder), lambda: figures):
            assert (await own.status())["cluster"] == cluster["cluster"]
            [family] = [each for each in await own.families() if each.name == "realtime_stream_lag_seconds"]
            assert [(sample.labels, sample.value) for sample in family.samples] == [({"worker": "relay"}, 40.0)]
        assert "cluster" not in await own.status()


async def test_a_relay_that_hangs_keeps_neither_status_nor_metrics_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siblings, "_FIGURES_TIMEOUT", 0.01)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(relay_figures(folder)))
        silent.listen()
        async with first_of(1, folder) as own, asyncio.timeout(60):
            assert "cluster" not in await own.status()
            measured = {sample.labels["worker"] for family in await own.families() for sample in family.samples}
            assert measured == {"1"}


async def test_what_is_handed_on_has_none_of_the_headers_that_the_answering_worker_makes(folder: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(answer, folder / "worker2"), first_of(2, folder) as own:
        handed = await own.ask("2.secret", "POST", "/realtime/poll", b"")
    assert (handed.status_code, handed.body) == (200, b"{}")
    assert sorted(handed.headers) == ["content-length", "content-type"]


def test_the_last_process_removes_the_directory_of_sockets_and_those_of_killed_ones(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made) / "sockets"
        directory.mkdir()
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(directory / "worker1"))
        with socket.socket(socket.AF_UNIX) as serving:
            serving.bind(str(directory / "relay"))
            serving.listen()
            leave(directory)
            assert [path.name for path in directory.iterdir()] == ["relay"]
        leave(directory)
        assert not directory.exists()
        leave(directory)
