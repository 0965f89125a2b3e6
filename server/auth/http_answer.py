"""The bodies of answers from other servers: bounded, and not compressed, as that was not asked for."""

from __future__ import annotations

import httpx

from engine.errors import BunbaseError

__all__ = ["BodyError", "read_body"]


class BodyError(BunbaseError, ValueError):
    """A body is not read to its end."""


async def read_body(answer: httpx.Response, max_size: int) -> bytes:
    """The body of a streamed answer. Raises ``BodyError`` above ``max_size`` bytes, and ``httpx.HTTPError``."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise BodyError("the answer is compressed, which was not asked for")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > max_size:
            raise BodyError(f"the answer is larger than {max_size} bytes")
    return bytes(body)
