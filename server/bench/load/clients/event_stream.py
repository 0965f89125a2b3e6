"""Clients that receive server-sent events. A channel's message is recognized by the first line of its block."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from server.bench.load.clients.http_connection import HttpConnection
from server.bench.load.clients.responses import refusal
from server.bench.load.clients.tally import Tally

__all__ = ["EventStream"]

_END: Final = b"\n\n"
_MESSAGE: Final = b"event: message\n"
_DATA: Final = b"\ndata: "


class EventStream(HttpConnection):
    """A stream is a session. Blocks are as this server writes them: one line of data, after that of the event."""

    __slots__ = ("_rest",)

    def __init__(self, tally: Tally, number: int) -> None:
        super().__init__(tally, number)
        self._rest = b""

    def ask(self) -> None:
        """Ask for the stream."""
        assert self.tcp is not None
        self.tcp.write(self.endpoint.request("GET", "sse", Accept="text/event-stream"))

    def took(self, data: bytes) -> None:
        """A chunk has come: it may end within a block."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(_END)
        if end < 0 or self.responses.status != HTTPStatus.OK:
            self._rest = data
            return
        self._rest = data[end + len(_END) :]
        for block in data[:end].split(_END):
            if block.startswith(_MESSAGE):
                self.count += 1
                if self.count >= self._look_at:
                    self.look(block)
            else:
                self._block(block)

    def _block(self, block: bytes) -> None:
        begin = block.find(_DATA)
        if begin < 0:  # a comment, an id, a time to wait
            return
        begin += len(_DATA)
        end = block.find(b"\n", begin)
        self.event(block[begin:] if end < 0 else block[begin:end])

    def response_ended(self) -> None:
        """The stream has ended, or was refused."""
        status = self.responses.status
        self.end("the server ended the stream" if status == HTTPStatus.OK else refusal(status, self._rest))
