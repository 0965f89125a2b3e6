"""The lines of the log: a reader that has stopped reading holds up no one, and what it missed is counted."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import pytest
import structlog

import server.logs.output as module
from server.logs.configure import configure_logs
from server.logs.output import OUTPUT, Output


@contextmanager
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Both ends; each is closed unless the test has done that."""
    reader, writer = os.pipe()
    with suppress(BrokenPipeError), open(writer, "w", encoding="ascii") as stream:
        try:
            yield reader, stream
        finally:
            with suppress(OSError):
                os.close(reader)


def read_all(reader: int, until: str) -> str:
    """What comes out of a pipe, up to and with ``until``."""
    text = ""
    while until not in text:
        text += os.read(reader, 1 << 20).decode()
    return text


def test_lines_are_written_at_once_or_by_a_thread_in_their_order() -> None:
    with pipe() as (reader, stream):
        output = Output(stream)
        output.write("before")
        assert os.read(reader, 100) == b"before\n"
        with output.apart():
            for number in range(1_000):
                output.write(f"{number}")
            with output.apart():
                output.write("é")
        output.write("after")
        text = read_all(reader, "after\n")
    assert text.split("\n") == [*map(str, range(1_000)), "\\xe9", "after", ""]


@pytest.mark.timeout(30)
def test_a_reader_that_does_not_read_blocks_nothing_and_lines_beyond_a_bound_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 100)
    with pipe() as (reader, stream):
        configure_logs("info", "json")
        monkeypatch.setattr(OUTPUT, "stream", stream)
        log = structlog.get_logger("realtime.test")
        with OUTPUT.apart():
            for _ in range(5_000):  # a pipe holds 64 KiB
                log.info("event", text="x" * 100)
            time.sleep(5 * module.PAUSE)  # what the thread has taken does not fit into the pipe
            for _ in range(5_000):
                log.info("event", text="x" * 100)
            written = dropped = 0
            with open(reader, closefd=False) as lines:
                while written + dropped < 10_000:
                    line = json.loads(lines.readline())
                    written += line["event"] == "event"
                    if line["event"] == "log_lines_dropped":
                        assert line["level"] == "warning"
                        dropped += line["lines"]
    assert written + dropped == 10_000
    assert dropped > 5_000


@pytest.mark.timeout(30)
def test_a_process_ends_although_its_log_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_END", 0.1)
    with pipe() as (reader, stream):
        output = Output(stream)
        with output.apart():
            for _ in range(2_000):
                output.write("x" * 100)
        thread = output._thread
        assert thread is not None, "it still waits for the reader"
        output.write("after")  # queued: a direct write would wait for the reader, too
        os.close(reader)
        thread.join()  # or it would go on with whatever gets the number of the stream's descriptor


def test_a_stream_that_is_closed_is_no_error_and_the_next_one_is_written_to() -> None:
    with pipe() as (reader, stream):
        output = Output(stream)
        os.close(reader)
        output.write("lost")
        with output.apart():
            output.write("lost")
    with pipe() as (reader, stream):
        output.stream = stream
        with output.apart():
            output.write("found")
        assert os.read(reader, 100) == b"found\n"


@pytest.mark.timeout(30)
def test_a_pipe_that_another_process_has_made_non_blocking_is_waited_for() -> None:
    with pipe() as (reader, stream):
        os.set_blocking(stream.fileno(), False)
        output = Output(stream)
        with output.apart():
            for _ in range(2_000):
                output.write("x" * 100)
            output.write("end")
            assert read_all(reader, "end\n").count("\n") == 2_001


def test_a_forked_process_writes_by_itself() -> None:
    with pipe() as (reader, stream):
        OUTPUT.stream, before = stream, OUTPUT.stream
        try:
            with OUTPUT.apart():
                if (pid := os.fork()) == 0:
                    OUTPUT.write(f"{threading.active_count()}")
                    os._exit(0)
                os.waitpid(pid, 0)
                assert os.read(reader, 100) == b"1\n"
        finally:
            OUTPUT.stream = before
