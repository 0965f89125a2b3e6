"""What picows reads of a socket for its log is read where that is logged, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from server.transports.websocket.quiet_transport import QuietTransport
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Answers(WSListener):
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.pong = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.received.append(frame.get_payload_as_bytes())
        if b'"pong"' in self.received[-1]:
            self.pong.set()


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING], ids=["logged", "not logged"])
async def test_addresses_and_options_of_a_socket_are_read_for_the_log_only(
    level: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: list[QuietTransport] = []
    init = QuietTransport.__init__

    def made(self: QuietTransport, transport: Any) -> None:
        init(self, transport)
        quiet.append(self)

    monkeypatch.setattr(QuietTransport, "__init__", made)
    caplog.set_level(level, "realtime.ws")
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        transport, answers = await ws_connect(Answers, f"ws://127.0.0.1:{server.port}/realtime")
        assert isinstance(answers, Answers)
        transport.send(WSMsgType.TEXT, b'{"type":"ping"}')
        await answers.pong.wait()
        lines = [each.getMessage() for each in caplog.records if each.name == "realtime.ws"]
        assert [line for line in lines if line.startswith("New connection accepted: ('127.0.0.1', ")] == (
            lines if level == logging.INFO else []
        )
        assert bool(lines) is (level == logging.INFO)
        uvloop = "uvloop" in type(asyncio.get_running_loop()).__module__
        assert bool(quiet) is (level != logging.INFO and uvloop)
        for each in quiet:  # the event loop has seen to it that a small message does not wait
            own = socket.socket(fileno=each.fileno())
            no_delay = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            own.detach()
            assert no_delay
        transport.disconnect()
        await server.left_alone()
