"""Validation of WebSocket handshakes (RFC 6455, 4.2). No I/O."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from server.auth.identity import HandshakeRejectedError

__all__ = [
    "HEADERS_OF_426",
    "PROTOCOL",
    "Headers",
    "Lines",
    "asks_for_websocket",
    "elements",
    "handshake_key",
    "protocols",
]

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""

Lines = Mapping[bytes, Sequence[bytes]]
"""The values of each header, one for each of its lines."""

HEADERS_OF_426: Final = {"Upgrade": "websocket", "Connection": "Upgrade"}
"""The header that RFC 9110, 15.5.22, requires with that status."""

PROTOCOL: Final = "bunbase"
"""The subprotocol that is agreed on with a client that offers it. It means nothing: a browser needs one in the answer."""

_VERSION: Final = b"13"
_KEY_BYTES: Final = 16
_OLDEST_HTTP: Final = b"1.1"


def elements(lines: Sequence[bytes]) -> list[bytes]:
    """The elements of a header that is a list, from all its lines (RFC 9110, 5.3 and 5.6.1)."""
    return [part for line in lines for element in line.split(b",") if (part := element.strip(b" \t"))]


def asks_for_websocket(lines: Lines) -> bool:
    """Whether a request wants to become a WebSocket: other upgrades are not made, and ignored (RFC 9110, 7.8)."""
    return _names(lines.get(b"upgrade", ()), b"websocket") and _names(lines.get(b"connection", ()), b"upgrade")


def _names(lines: Sequence[bytes], token: bytes) -> bool:
    """Whether a header that is a list has an element ``token``, in any case."""
    return (len(lines) == 1 and lines[0].lower() == token) or token in map(bytes.lower, elements(lines))


def protocols(lines: Lines) -> list[str]:
    """The subprotocols that the client offers."""
    offered = lines.get(b"sec-websocket-protocol")
    return [] if offered is None else [each.decode("latin-1") for each in elements(offered)]


def handshake_key(method: bytes, http_version: bytes, given: Lines) -> bytes:
    """The ``Sec-WebSocket-Key`` of a handshake. Raises ``HandshakeRejectedError`` for an invalid one."""
    if method != b"GET":
        raise HandshakeRejectedError(
            HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket handshake is a GET request", {"Allow": "GET"}
        )
    if http_version < _OLDEST_HTTP:
        text = f"a WebSocket handshake needs HTTP/1.1 or newer, not HTTP/{http_version.decode()}"
        raise HandshakeRejectedError(HTTPStatus.UPGRADE_REQUIRED, text, HEADERS_OF_426)
    versions = given.get(b"sec-websocket-version", ())
    if [*versions] != [_VERSION]:
        text = f"Sec-WebSocket-Version is 13 here, not {_shown(versions)}"
        needed = {"Sec-WebSocket-Version": _VERSION.decode()}
        raise HandshakeRejectedError(HTTPStatus.UPGRADE_REQUIRED, text, HEADERS_OF_426 | needed)
    if b"transfer-encoding" in given or any(value.strip(b"0") for value in given.get(b"content-length", ())):
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "a WebSocket handshake has no body")
    if len(given.get(b"origin", ())) > 1:
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "Origin: a request has one")
    return _key(given.get(b"sec-websocket-key", ()))


def _key(values: Sequence[bytes]) -> bytes:
    try:
        [key] = values
        if len(binascii.a2b_base64(key, strict_mode=True)) == _KEY_BYTES:
            return key
    except (ValueError, binascii.Error):  # none, several, or not base64
        pass
    text = f"Sec-WebSocket-Key: {_KEY_BYTES} bytes in base64, once, not {_shown(values)}"
    raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, text)


def _shown(values: Sequence[bytes]) -> str:
    """Values for a message, cut to a readable length."""
    text = ", ".join(repr(value.decode("latin-1")) for value in values) or "none"
    return text if len(text) <= 80 else f"{text[:77]}..."
