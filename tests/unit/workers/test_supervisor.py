"""The supervisor with workers that have no node: what it orders, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GIVE_UP_AFTER = 60


class Supervised:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, met: Callable[[list[str]], bool]) -> None:
        """Read lines until they meet the condition."""
        assert self.process.stdout is not None
        while not met(self.lines):
            line = self.process.stdout.readline()
            assert line, self.lines
            self.lines.append(line.strip())

    def pid(self, number: int) -> int:
        return int(next(line for line in self.lines if line.startswith(f"{number} begins")).split()[2])

    def end(self) -> tuple[int, list[str]]:
        """Its exit code, with the lines that were not read yet."""
        rest, _ = self.process.communicate(timeout=GIVE_UP_AFTER)
        return self.process.returncode, rest.splitlines()


@contextmanager
def supervised(scenario: str) -> Iterator[Supervised]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.programs.supervised", scenario],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    too_late = threading.Timer(2 * GIVE_UP_AFTER, process.kill)  # else a reader would wait for ever
    too_late.start()
    try:
        yield Supervised(process)
    finally:
        too_late.cancel()
        process.kill()
        process.communicate()


def both_ready(lines: list[str]) -> bool:
    """Each opens the entrance when it is ready."""
    return {"1 open", "2 open", "serving"} <= set(lines)


def test_a_failing_start_ends_all_with_the_exit_code_of_the_worker() -> None:
    with supervised("cannot start") as program:
        code, lines = program.end()
    assert code == 3
    assert lines[-1].endswith("could not start (exit code 3); the reason is above")


def test_workers_that_end_again_and_again_end_the_supervisor_with_a_reason() -> None:
    with supervised("fails again and again") as program:
        code, lines = program.end()
    assert code == 1
    assert re.search(r"has ended \d+ times in a row, the last time with exit code 7: see the log$", lines[-1]), lines


def test_a_worker_that_ends_again_and_again_is_tried_again_as_long_as_another_one_serves() -> None:
    with supervised("one fails again and again") as program:
        program.until(lambda lines: sum(line.startswith("2 begins") for line in lines) > 12)
        program.process.send_signal(signal.SIGTERM)
        program.until(lambda lines: "1 stops" in lines)
        assert sum(line.startswith("1 begins") for line in program.lines) == 1


@pytest.mark.long
def test_a_worker_and_a_relay_that_hang_are_killed_and_replaced() -> None:
    with supervised("hangs") as program:
        for number in (0, 1, 2):  # the last one while it starts
            program.until(lambda lines: sum(line.startswith(f"{number} begins") for line in lines) >= 2)


def test_a_rolling_restart_whose_first_successor_fails_is_given_up_and_the_others_go_on() -> None:
    with supervised("restarts") as program:
        program.until(both_ready)
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda lines: "given up" in lines)
        seen = len(program.lines)
        program.until(lambda lines: "1 open" in lines[seen:])
        program.process.send_signal(signal.SIGTERM)
        code, _ = program.end()
    assert code == 0
    began = [line.split()[0] for line in program.lines if "begins" in line]
    assert sorted(began) == ["0", "1", "1", "1", "2"]


def test_a_worker_that_starts_accepts_no_connections_while_another_is_ready_and_does_again_when_it_is_gone() -> None:
    with supervised("one waits") as program:
        program.until(lambda lines: "2 shut" in lines)
        program.until(lambda lines: "serving" in lines)
        first = program.pid(1)
        seen = len(program.lines)
        os.kill(first, signal.SIGKILL)
        program.until(lambda lines: "2 open" in lines[seen:])
        program.process.send_signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_a_first_signal_stops_all_workers_and_a_second_one_ends_their_wait() -> None:
    with supervised("waits for clients") as program:
        program.until(both_ready)
        program.process.send_signal(signal.SIGTERM)
        program.until(lambda lines: {"1 stops", "2 stops"} <= set(lines))
        program.process.send_signal(signal.SIGTERM)
        code, lines = program.end()
    assert code == 0
    assert {"1 is forced", "2 is forced"} <= set(lines)


def test_a_worker_that_does_not_end_is_killed_and_the_supervisor_fails() -> None:
    with supervised("does not end") as program:
        program.until(both_ready)
        program.process.send_signal(signal.SIGTERM)
        code, lines = program.end()
    assert code == 1
    assert "did not end in order (signal 9 (SIGKILL))" in lines[-1]


@pytest.mark.parametrize("killed", ["supervisor", "hung up"])
def test_workers_end_by_themselves_when_their_supervisor_is_gone_and_not_with_their_terminal(killed: str) -> None:
    with supervised("serves") as program:
        program.until(both_ready)
        pids = [program.pid(number) for number in (1, 2)]
        if killed == "hung up":
            for pid in pids:  # a terminal that closes sends it to all its processes, and the supervisor decides
                os.kill(pid, signal.SIGHUP)
            program.process.send_signal(signal.SIGTERM)
            assert program.end()[0] == 0
        else:
            program.process.kill()
            program.until(lambda lines: {"1 stops", "2 stops"} <= set(lines))
