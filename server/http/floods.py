"""What clients get that go on asking although they were refused again and again.

Behind a proxy they are answered: the proxy would take a connection that is dropped for a failing server. The bytes are
always the same, and neither the application nor a task has a part in them. The answer comes late: a client that asks again
as soon as it has one would else fill the event loop with heads to read, however little each of them costs.
"""

from __future__ import annotations

import asyncio
from typing import Final

from server.http.security_headers import SECURITY_HEADERS

__all__ = ["MAX_WAITING", "PAUSE", "FloodAnswers"]

PAUSE: Final = 1.0
"""Seconds until the answer."""

MAX_WAITING: Final = 256
"""Sockets that wait for it; those beyond are answered at once."""

_ANSWER: Final = b"".join(
    (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n",
        *(b"%b: %b\r\n" % header for header in SECURITY_HEADERS),
        b"\r\n",
    )
)
"""An address that floods has its whole quota again after a minute without a request."""


class FloodAnswers:
    """See the module."""

    def __init__(self) -> None:
        self._waiting = 0

    def answer(self, transport: asyncio.Transport) -> None:
        """Answer a request, and close. Nothing more is read meanwhile."""
        if self._waiting >= MAX_WAITING:
            _answer(transport)
            return
        self._waiting += 1
        transport.pause_reading()
        asyncio.get_running_loop().call_later(PAUSE, self._end, transport)

    def _end(self, transport: asyncio.Transport) -> None:
        self._waiting -= 1
        if not transport.is_closing():
            _answer(transport)


def _answer(transport: asyncio.Transport) -> None:
    transport.write(_ANSWER)
    transport.close()
