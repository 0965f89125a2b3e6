"""``realtime tail`` follows servers, and where there is none it names what it found."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from server.cli import tail as command
from server.cli.main import app
from server.cli.tail import TailError

STREAM = "text/event-stream; charset=utf-8"
MESSAGE = b'id: 1\ndata: {"type": "message", "data": 1}\n\n'


@contextmanager
def answering(*answers: tuple[int, str, bytes]) -> Iterator[str]:
    """The address of a server that gives each request the next of ``answers`` (status, type, body), and then ends."""
    left = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = next(left)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """No lines between those of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:8000?user=bob", "leave out what begins with ? or #. Who you are comes from --token-file"),
        ("http://127.0.0.1:8000/#top", "leave out what begins with ? or #"),
        ("http://127.0.0.1:8000?", "leave out what begins with ? or #"),
        ("127.0.0.1:8000", "is no address of a server, such as http://127.0.0.1:8000"),
        ("ws://127.0.0.1:8000", "is no address of a server, such as http://127.0.0.1:8000"),
        ("http://host:port", "is no address: "),
    ],
)
def test_what_is_no_address_of_a_server_is_wrong_usage_with_what_to_write(url: str, named: str) -> None:
    done = CliRunner().invoke(app, ["tail", "chat:1", "--url", url], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert named in done.stderr


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        ("text/html", MESSAGE, "/realtime/sse answers with text/html, not text/event-stream"),
        (STREAM, b"", "/realtime/sse ended its stream before the first message"),
    ],
)
def test_what_is_no_stream_of_a_server_ends_it_with_what_was_found(kind: str, body: bytes, named: str) -> None:
    with answering((200, kind, body)) as url:
        done = CliRunner().invoke(app, ["tail", "chat:1", "--url", url])
    assert isinstance(done.exception, TailError)
    assert named in str(done.exception)


def test_a_lost_connection_is_resumed_once_something_is_received_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_PAUSE", 0.0)
    away = (503, "text/plain", b"away")
    with answering((200, STREAM, MESSAGE), away, (200, STREAM, b""), away, (200, STREAM, MESSAGE)) as url:
        done = CliRunner().invoke(app, ["tail", "chat:1", "--count", "2", "--url", url])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.splitlines() == [
        "realtime: the connection was lost; trying again until it is back",
        "realtime: the connection is resumed",
    ]


def test_a_server_that_stays_silent_is_named_while_it_is_waited_for_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "_WORD_AFTER", 0.0)
    monkeypatch.setattr(command, "_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/realtime/sse"
        done = CliRunner().invoke(app, ["tail", "chat:1", "--url", address.removesuffix("/realtime/sse")])
    assert isinstance(done.exception, TailError)
    assert str(done.exception) == f"{address} cannot be reached: it did not answer within 0.5 s"
    assert done.stderr == f"realtime: waiting for {address} to answer\n"


def test_an_open_stream_may_be_silent_for_longer_than_a_server_may_take_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[object] = []

    class Client(httpx.Client):
        def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
            limits.extend((request.extensions["timeout"], request.extensions["timeout"]["read"]))
            return super().send(request, **more)

    monkeypatch.setattr(httpx, "Client", Client)
    with answering((200, STREAM, MESSAGE)) as url:
        CliRunner().invoke(app, ["tail", "chat:1", "--count", "1", "--url", url])
    live, before = limits
    assert (before, live["read"]) == (10.0, 90.0)  # type: ignore[index]
