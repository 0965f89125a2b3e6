"""HTTP/1.1 responses as a client reads them that is sent many thousands of chunks a second. No I/O.

h11, which reads them as well, takes several times as much of the processor for a chunk as the server that sent it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from engine.errors import RealtimeError

__all__ = ["NotHttpError", "ResponseReader", "refusal"]

_LONGEST_HEAD: Final = 64 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |\r\n)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_WITHOUT_BODY: Final = frozenset({204, 304})
_MORE: Final = -1
_END: Final = b"\r\n"


class NotHttpError(RealtimeError):
    """What came is no HTTP/1.1."""


class ResponseReader:
    """The responses of one connection, one after the other (RFC 9112, 6 and 7.1): bodies are of a length, in chunks, or as
    long as the connection.

    ``body`` is called with each part as it comes, ``end`` at the end of each response. ``status``: of the present one.
    ``last``: the connection ends with it.
    """

    __slots__ = ("_body", "_end", "_left", "_rest", "_state", "last", "status")

    def __init__(self, body: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self.status = 0
        self.last = False
        self._body = body
        self._end = end
        self._rest = b""
        self._left = 0
        self._state = self._head

    def feed(self, data: bytes) -> None:
        """Bytes have come. Raises ``NotHttpError`` if they are no response."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while at < size:
            after = self._state(data, at)
            if after == _MORE:
                break
            at = after
        self._rest = data[at:]

    def closed(self) -> None:
        """The connection has ended: so has a body that is as long as that."""
        if self._state == self._until_closed:
            self._done()

    def _head(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > _LONGEST_HEAD:
                raise NotHttpError("the head of a response has more than 64 KiB")
            return _MORE
        head = data[at : end + 2]
        found = _STATUS.match(head)
        if found is None:
            raise NotHttpError("the answer is no HTTP/1.1")
        status = int(found[1])
        if status < 200:  # an interim response; the final one follows
            return end + 4
        self.status = status
        self.last = _CLOSES.search(head) is not None
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        if _CHUNKED.search(head):
            self._state = self._chunk
        elif self._left:
            self._state = self._in_body
        elif length or status in _WITHOUT_BODY:
            self._done()
        else:
            self._state = self._until_closed
        return end + 4

    def _chunk(self, data: bytes, at: int) -> int:
        end = data.find(_END, at)
        if end < 0:
            return _MORE
        try:
            self._left = int(data[at:end].partition(b";")[0], 16)
        except ValueError:
            raise NotHttpError("a chunk of a response has no size") from None
        self._state = self._in_chunk if self._left else self._trailer
        return end + 2

    def _in_chunk(self, data: bytes, at: int) -> int:
        if self._left:
            return self._part(data, at)
        if len(data) - at < len(_END):
            return _MORE
        self._state = self._chunk
        return at + 2

    def _in_body(self, data: bytes, at: int) -> int:
        after = self._part(data, at)
        if not self._left:
            self._done()
        return after

    def _part(self, data: bytes, at: int) -> int:
        part = data[at : at + self._left]
        self._left -= len(part)
        self._body(part)
        return at + len(part)

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(_END, at)
        if end < 0:
            return _MORE
        if end == at:
            self._done()
        return end + 2

    def _until_closed(self, data: bytes, at: int) -> int:
        self._body(data[at:])
        return len(data)

    def _done(self) -> None:
        self._state = self._head
        self._end()


def refusal(status: int, body: bytes) -> str:
    """Why a request was refused; the same text for the same reason."""
    try:
        problem = json.loads(body)
        return f"HTTP {status}: {problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
