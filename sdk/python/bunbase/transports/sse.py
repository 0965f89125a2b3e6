"""Server-sent events: a stream of events in, POST out. The stream is the session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import httpx

from bunbase.protocol import codec
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports.base import Message
from bunbase.transports.events import EventParser
from bunbase.transports.posting import PostingTransport, refused

__all__ = ["SseTransport"]


class SseTransport(PostingTransport):
    """See the module."""

    name = "sse"
    _stream: AbstractAsyncContextManager[httpx.Response] | None = None
    _pieces: AsyncIterator[bytes]

    async def open(self) -> None:
        """See ``Transport``."""
        self._parser = EventParser()
        # The link above measures silence from received_at.
        timeout = httpx.Timeout(self._timeout, read=None)
        stream = self._http.stream(
            "GET",
            self._url("sse"),
            params=dict(self._address.parameters),
            headers={"Accept": "text/event-stream", "Cache-Control": "no-store", **self._address.authorization},
            timeout=timeout,
        )
        try:
            answer = await stream.__aenter__()
        except httpx.HTTPError as error:
            raise ConnectionEndedError(f"SSE: {error or type(error).__name__}") from error
        self._stream = stream
        if answer.status_code != httpx.codes.OK:
            await answer.aread()
            raise refused("SSE", answer)
        self._pieces = answer.aiter_bytes()
        self._received()

    async def receive(self) -> list[Message]:
        """See ``Transport``."""
        messages: list[Message] = []
        while not messages:
            try:
                piece = await anext(self._pieces)
                self._received()
                messages = [codec.decode_text(event.data) for event in self._parser.feed(piece)]
            except StopAsyncIteration as end:
                raise ConnectionEndedError("the stream ended") from end
            except httpx.HTTPError as error:
                raise ConnectionEndedError(f"SSE: {error or type(error).__name__}") from error
            except (httpx.StreamError, RuntimeError) as error:
                raise ConnectionEndedError("closed") from error
            except ValueError as error:
                raise ConnectionEndedError(f"the server sent what is no message: {error}") from error
        return messages

    async def close(self, *, leave: bool) -> None:
        """See ``Transport``."""
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                with contextlib.suppress(httpx.HTTPError, httpx.StreamError, RuntimeError):
                    await stream.__aexit__(None, None, None)
        finally:
            await super().close(leave=leave)
