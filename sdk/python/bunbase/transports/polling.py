"""Long polling: each answer holds the messages since the last one. Those of a lost answer are sent again."""

from __future__ import annotations

from collections import deque
from typing import Any

import httpx

from bunbase.protocol import codec
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports.base import Address, Message
from bunbase.transports.posting import JSON_HEADERS, PostingTransport, refused

__all__ = ["PollingTransport"]

_LONGEST_POLL = 25.0


class PollingTransport(PostingTransport):
    """See the module. ``cursor`` acknowledges the last answer."""

    name = "polling"

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address, timeout)
        self._cursor: int | None = None
        self._waiting: deque[Message] = deque()
        self._poll_time = _LONGEST_POLL

    def configure(self, connected: Message, silence: float) -> None:
        """See ``Transport``. A poll must be over before its silence would count as death."""
        super().configure(connected, silence)
        self._poll_time = min(_LONGEST_POLL, silence / 2)

    async def open(self) -> None:
        """See ``Transport``."""
        try:
            headers = {**JSON_HEADERS, **self._address.authorization}
            parameters = dict(self._address.parameters)
            answer = await self._http.post(self._url("poll"), params=parameters, content=b"{}", headers=headers)
        except httpx.HTTPError as error:
            raise ConnectionEndedError(f"polling: {error or type(error).__name__}") from error
        self._take(answer)

    async def receive(self) -> list[Message]:
        """See ``Transport``."""
        while not self._waiting:
            await self._poll()
        messages = list(self._waiting)
        self._waiting.clear()
        return messages

    async def _poll(self) -> None:
        body = {"session": self._session, "cursor": self._cursor, "timeout": int(self._poll_time * 1000)}
        timeout = httpx.Timeout(self._timeout, read=self._poll_time + self._timeout)
        self._take(await self._repeat_post("poll", codec.encode_text(body).encode(), timeout))

    def _take(self, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.OK:
            raise refused("polling", answer)
        try:
            body: dict[str, Any] = codec.decode_text(answer.content)
            self._session = body.get("session", self._session)
            self._cursor = body["cursor"]
            self._waiting += body["messages"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConnectionEndedError(f"the server answered with what is no batch: {error!r}") from error
        self._received()
