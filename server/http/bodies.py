"""Reads the body of a request, within a size and a time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode

__all__ = ["read_body"]

_TIMEOUT: Final = 30.0
_CLOSE: Final = {"Connection": "close"}

_DISCARDED: Final = 4 * 1024 * 1024
_LINGER: Final = 2.0
"""Bytes and seconds of a body too large that are read: unread bytes at a close destroy the answer (TCP's RST)."""


async def read_body(request: Request, limit: int, timeout: float = _TIMEOUT) -> bytes:
    """The body. Raises ``ProblemError`` beyond ``limit`` bytes, without reading any if very many are announced, or if it is
    not there after ``timeout`` seconds.
    """
    announced = _announced(request)
    if announced > limit:
        if announced <= limit + _DISCARDED:
            await _discard(request)
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except TimeoutError as late:
        text = f"the body did not arrive within {timeout:g} s"
        raise ProblemError(ErrorCode.INVALID_MESSAGE, text, HTTPStatus.REQUEST_TIMEOUT, _CLOSE) from late
    return b"".join(parts)


async def _discard(request: Request) -> None:
    try:
        async with asyncio.timeout(_LINGER):
            async for _ in request.stream():
                pass
    except TimeoutError:
        pass


def _announced(request: Request) -> int:
    """Bytes that the head announces; 0 if it does not."""
    length = request.headers.get("content-length", "")
    return int(length[:20]) if length.isdecimal() else 0


def _too_large(limit: int) -> ProblemError:
    return ProblemError(ErrorCode.MESSAGE_TOO_LARGE, f"the body is larger than {limit} bytes", headers=_CLOSE)
