"""Clients that poll: one request after the other, on a connection that is kept."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from server.bench.load.clients.http_connection import HttpConnection
from server.bench.load.clients.responses import refusal
from server.bench.load.clients.tally import Tally

__all__ = ["Polling"]

_MESSAGE: Final = b'{"type":"message"'


class _Answer(msgspec.Struct):
    cursor: int
    messages: list[msgspec.Raw]
    session: str = ""


_answer = msgspec.json.Decoder(_Answer).decode


class Polling(HttpConnection):
    """A session that is polled. Its first answer comes at once."""

    __slots__ = ("_cursor", "_parts")

    def __init__(self, tally: Tally, number: int) -> None:
        super().__init__(tally, number)
        self._cursor = 0
        self._parts: list[bytes] = []

    def ask(self) -> None:
        """Ask for the messages after those that have come."""
        assert self.tcp is not None
        content = b'{"session":"%b","cursor":%d}' % (self._session.encode(), self._cursor) if self._session else b"{}"
        self.tcp.write(self.endpoint.request("POST", "poll", content))

    def took(self, data: bytes) -> None:
        """A part of an answer has come."""
        self._parts.append(data)

    def response_ended(self) -> None:
        """An answer is complete."""
        body, status = b"".join(self._parts), self.responses.status
        self._parts.clear()
        if status != HTTPStatus.OK:
            return self.end(refusal(status, body))
        answer = _answer(body)
        self._cursor = answer.cursor
        self._session = answer.session or self._session
        for message in answer.messages:
            self._took(bytes(message))
        if self.tcp is not None and not self.closing:
            if self.responses.last:
                self.tcp.close()
            else:
                self.ask()
        return None

    def _took(self, body: bytes) -> None:
        if body.startswith(_MESSAGE):
            self.count += 1
            if self.count >= self._look_at:
                self.look(body)
        else:
            self.event(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; proxies end one after so many requests, and announce it."""
        if self.closing or not self.responses.last:
            super().connection_lost(exc)
        else:
            self.responses.last = False
            self.tcp = None
            self.begin(self._open_again())

    async def _open_again(self) -> None:
        try:
            await self.endpoint.connect(self)
        except OSError as wrong:
            self._closed(wrong.strerror or str(wrong))
        if self.closing:
            super().close(clean=False)

    def close(self, *, clean: bool) -> None:
        """End the connection; ``clean``: and the session, which would be kept for a while."""
        if clean and self._session and not self.closing:
            content = b'{"session":"%b"}' % self._session.encode()
            self.begin(self.request("DELETE", "session", content, HTTPStatus.NO_CONTENT))
        super().close(clean=clean)
