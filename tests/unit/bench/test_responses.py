"""HTTP responses, read however they are cut into pieces."""

from __future__ import annotations

import json

import pytest

from server.bench.load.clients.responses import NotHttpError, ResponseReader, refusal
from server.protocol.error_codes import ErrorCode

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = (
    b"HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\n\r\nabc"
    + CHUNKED
    + b"4\r\nwxyz\r\nA;name=value\r\n0123\r\n\r\n89\r\n0\r\nTrailer: x\r\n\r\n"
    + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    + b"HTTP/1.0 500 X\r\n\r\nuntil it\r\n\r\nends"
)
FOUND = [
    (202, b"abc", False),
    (200, b"wxyz0123\r\n\r\n89", False),
    (204, b"", False),
    (404, b"", True),
    (500, b"until it\r\n\r\nends", False),
]


class Reading:
    """What a reader has found: the status and the body of each response, and whether it is the connection's last."""

    def __init__(self) -> None:
        self.found: list[tuple[int, bytes, bool]] = []
        self.reader = ResponseReader(self._body, self._end)
        self._parts = b""

    def _body(self, part: bytes) -> None:
        self._parts += part

    def _end(self) -> None:
        self.found.append((self.reader.status, self._parts, self.reader.last))
        self._parts = b""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(STREAM)])
def test_responses_are_the_same_in_pieces_of_any_size(size: int) -> None:
    reading = Reading()
    for at in range(0, len(STREAM), size):
        reading.reader.feed(STREAM[at : at + size])
    assert reading.found == FOUND[:-1]
    reading.reader.closed()
    assert reading.found == FOUND


def test_responses_are_the_same_wherever_they_are_cut() -> None:
    for cut in range(1, len(STREAM)):
        reading = Reading()
        reading.reader.feed(STREAM[:cut])
        reading.reader.feed(STREAM[cut:])
        reading.reader.closed()
        assert reading.found == FOUND


def test_parts_of_a_body_are_not_held_back() -> None:
    reading = Reading()
    parts: list[bytes] = []
    reader = ResponseReader(parts.append, lambda: None)
    reader.feed(CHUNKED + b"ff\r\nfirst")
    reader.feed(b" second")
    assert parts == [b"first", b" second"]
    assert reading.found == []


@pytest.mark.parametrize(
    "text",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CHUNKED + b"many\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000],
    ids=["another protocol", "a chunk without a size", "an endless head"],
)
def test_what_is_no_response_is_refused(text: bytes) -> None:
    with pytest.raises(NotHttpError):
        Reading().reader.feed(text)


def test_a_refusal_has_the_code_of_its_problem_document() -> None:
    problem = {"code": ErrorCode.RATE_LIMITED, "detail": "too many", "type": "about:blank"}
    assert refusal(429, json.dumps(problem).encode()) == f"HTTP 429: {ErrorCode.RATE_LIMITED}: too many"
    assert refusal(502, b"<html>Bad Gateway</html>") == "HTTP 502"
