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


async def read_body(request: Request, limit: int, timeout: float = _TIMEOUT) -> bytes:
    """The body. Raises ``ProblemError`` beyond ``limit`` bytes, or if it is not there after ``timeout`` seconds."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    text = f"the body is larger than {limit} bytes"
                    raise ProblemError(ErrorCode.MESSAGE_TOO_LARGE, text, headers=_CLOSE)
                parts.append(part)
    except TimeoutError as late:
        text = f"the body did not arrive within {timeout:g} s"
        raise ProblemError(ErrorCode.INVALID_MESSAGE, text, HTTPStatus.REQUEST_TIMEOUT, _CLOSE) from late
    return b"".join(parts)
