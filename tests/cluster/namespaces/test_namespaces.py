"""Packets between real namespaces, as root on Linux: a TCP connection meets each trouble as it would on a network."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cluster.links import CLIENTS
from tests.cluster.namespaces.namespaces import POSSIBLE, Namespaces, PacketLink, own_network
from tests.support.servers.processes import GIVE_UP_AFTER, ROOT

PORT = 4000
DELAY = 0.2  # seconds one way


@pytest.mark.skipif(not POSSIBLE, reason="makes network namespaces: root on Linux")
def test_a_connection_to_another_namespace_is_delayed_held_and_reset() -> None:
    command = [sys.executable, "-c", f"import {__name__} as test; test.trial()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GIVE_UP_AFTER, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["passes", "late", "held", "healed", "reset", "refused", "reached", "counted"]


def trial() -> None:
    """What the test has done in a process of its own, whose network is its own."""
    own_network()
    links = Namespaces(["node"], ["postgres"])
    try:
        host, _, port = links.add(CLIENTS, "node", PORT).partition(":")
        [link] = links.between([CLIENTS], ["node"])
        assert isinstance(link, PacketLink)
        with _echo(links), socket.create_connection((host, int(port)), timeout=10) as client:
            while _asked(client) >= DELAY:
                pass  # a busy machine
            print("passes")
            link.slow(DELAY, 0.0)
            while _asked(client) < 2 * DELAY:
                pass  # the switch has not got the order yet
            print("late")
            link.heal()
            link.hold(up=False)
            client.settimeout(2)
            with contextlib.suppress(TimeoutError):
                while True:
                    _asked(client)
            print("held")
            link.heal()
            client.settimeout(10)
            assert client.recv(1) == b"?"
            print("healed")
            link.sever()
            client.settimeout(2)
            try:
                while True:
                    with contextlib.suppress(TimeoutError):  # an answer was on its way: the next question is reset
                        _asked(client)
            except ConnectionResetError:
                print("reset")
            try:
                socket.create_connection((host, int(port)), timeout=10)
            except ConnectionRefusedError:
                print("refused")
            with socket.create_connection((links.near("node"), PORT), timeout=10) as near:
                _asked(near)
            print("reached")
            there, back = links.passed()[CLIENTS, "node"], links.passed()["node", CLIENTS]
            assert there.packets >= 4, there
            assert back.bytes > 20 * back.packets >= 60, back
            print("counted")
    finally:
        links._end()


@contextlib.contextmanager
def _echo(links: Namespaces) -> Iterator[None]:
    """A server in the other namespace that returns what it gets."""
    server = links.inside("node", lambda: socket.create_server((links.listens("node"), PORT)))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with server:
        yield


def _asked(client: socket.socket) -> float:
    """Seconds until the answer."""
    began = time.monotonic()
    client.sendall(b"?")
    assert client.recv(1) == b"?"
    return time.monotonic() - began
