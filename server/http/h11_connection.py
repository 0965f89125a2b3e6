"""h11's connection, with what a server needs besides."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import h11

__all__ = ["LONGEST_HEAD", "ServerConnection", "reason_of"]

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers."""

_MAX_HEADERS: Final = 500
_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_QUOTED: Final = re.compile(r""":? (?:bytearray\()?b?['"]""")


class ServerConnection(h11.Connection):
    """It remembers why a request could not be read, makes a path of the absolute form (RFC 9112, 3.2.2: servers must accept
    it), ignores empty lines before a request (2.2), refuses one whose body has two ends (6.1), and limits a head also if it
    arrives at once: h11 does while its end is missing.
    """

    wrong: h11.RemoteProtocolError | None = None

    def receive_data(self, data: bytes) -> None:
        """See the class; b"" is the end of the stream."""
        if data and self.their_state is h11.IDLE and not self.trailing_data[0]:
            data = data.lstrip(b"\r\n")
            if not data:
                return
        super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See the class."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as wrong:
            self.wrong = wrong
            raise
        if isinstance(event, h11.Request) and _has_two_ends(event):
            self.wrong = h11.RemoteProtocolError("Content-Length and Transfer-Encoding exclude each other")
            raise self.wrong
        if isinstance(event, h11.Request) and (status := _problem_of(event)) is not None:
            self.wrong = h11.RemoteProtocolError("refused", error_status_hint=status)
            raise self.wrong
        if isinstance(event, h11.Request) and (found := _ABSOLUTE.match(event.target)) is not None:
            path = event.target[found.end() :]
            return h11.Request(
                method=event.method,
                headers=event.headers.raw_items(),
                target=path if path.startswith(b"/") else b"/" + path,
                http_version=event.http_version,
            )
        return event


def reason_of(wrong: h11.RemoteProtocolError) -> str:
    """h11's text without the bytes that it quotes: a token may be among them."""
    return _QUOTED.split(str(wrong), maxsplit=1)[0]


def _has_two_ends(request: h11.Request) -> bool:
    """A proxy may have taken the other one, and what we take for a further request for a part of the body."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}


def _problem_of(request: h11.Request) -> HTTPStatus | None:
    if not request.http_version.startswith(b"1."):
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
    if size > LONGEST_HEAD or len(request.headers) > _MAX_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None
