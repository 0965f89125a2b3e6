"""The common part of one-way transports: sending by POST, in numbered batches that can be repeated without harm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from functools import cache
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from bunbase.protocol import codec
from bunbase.protocol.codes import CloseCode
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports.base import Address, Message, Transport, retry_after_of

__all__ = ["JSON_HEADERS", "PostingTransport", "refused"]

_CLOSE_TIMEOUT = 2.0
_BATCH_SIZE = 512 * 1024


class _WithoutSecrets(logging.Filter):
    """httpx logs the address of every request; those that open a session carry the key and the client's secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(argument) for argument in record.args)
        return True


def _without_query(argument: object) -> object:
    if isinstance(argument, httpx.URL) and argument.path.endswith(("/realtime/sse", "/realtime/poll")):
        return argument.copy_with(query=None)
    return argument


logging.getLogger("httpx").addFilter(_WithoutSecrets())


class PostingTransport(Transport):
    """Base of SSE and long polling: a session's secret, and batches counted from 1."""

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address, timeout)
        self._http = httpx.AsyncClient(
            headers=dict(address.headers), timeout=httpx.Timeout(timeout), verify=_certificates(address.http)
        )
        self._session: str | None = None
        self._seq = 0
        self._posting = asyncio.Lock()

    def configure(self, connected: Message, silence: float) -> None:
        """See ``Transport``."""
        super().configure(connected, silence)
        self._session = connected.get("session", self._session)

    async def send(self, messages: list[Message]) -> None:
        """See ``Transport``. A batch whose answer was lost is sent again under its number."""
        async with self._posting:
            for batch in _batches([codec.encode_text(message).encode() for message in messages]):
                self._seq += 1
                head = codec.encode_text({"session": self._session, "seq": self._seq}).encode()
                answer = await self._repeat_post("send", head[:-1] + b',"messages":[' + b",".join(batch) + b"]}")
                if answer.status_code != httpx.codes.ACCEPTED:
                    raise refused("send", answer)

    async def close(self, *, leave: bool) -> None:
        """See ``Transport``."""
        await self._http.aclose()

    async def leave(self) -> None:
        """See ``Transport``: the server ends the session, so that its members leave at once."""
        session, self._session = self._session, None
        if session is not None:
            body = codec.encode_text({"session": session}).encode()
            # If the server cannot be reached, the session expires by itself.
            with contextlib.suppress(httpx.HTTPError):
                await self._http.request("DELETE", self._url("session"), content=body, timeout=_CLOSE_TIMEOUT, **_JSON)

    def _url(self, name: str) -> str:
        return f"{self._address.http}/{name}"

    async def _repeat_post(self, name: str, body: bytes, timeout: httpx.Timeout | None = None) -> httpx.Response:
        """Repeat an idempotent POST until there is an answer or the connection counts as dead."""
        repeating = AsyncRetrying(
            retry=retry_if_exception_type(httpx.HTTPError),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(self._silence),
            reraise=True,
        )
        try:
            return await repeating(self._post, name, body, timeout or self._timeout)
        except httpx.HTTPError as error:
            raise ConnectionEndedError(f"POST {name}: {error or type(error).__name__}") from error
        except RuntimeError as error:  # httpx: the client has been closed meanwhile
            raise ConnectionEndedError("closed") from error

    async def _post(self, name: str, body: bytes, timeout: httpx.Timeout | float) -> httpx.Response:
        """An answer of the service; HTTPError: there is none, or one of a server that failed."""
        answer = await self._http.post(self._url(name), content=body, timeout=timeout, **_JSON)
        if answer.is_server_error:
            raise httpx.HTTPError(f"HTTP {answer.status_code}")
        return answer


def _batches(encoded: list[bytes]) -> list[list[bytes]]:
    """In order, each of at most ``_BATCH_SIZE`` bytes or one message."""
    batches: list[list[bytes]] = [[]]
    size = 0
    for message in encoded:
        if batches[-1] and size + len(message) > _BATCH_SIZE:
            batches.append([])
            size = 0
        batches[-1].append(message)
        size += len(message)
    return batches


@cache
def _default_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _certificates(url: str) -> ssl.SSLContext | bool:
    """The trusted certificates. Loading them is slow, so they are loaded once, and not without TLS."""
    return _default_certificates() if url.startswith("https:") else False


JSON_HEADERS = {"Content-Type": "application/json"}
_JSON: dict[str, Any] = {"headers": JSON_HEADERS}


def refused(what: str, answer: httpx.Response) -> ConnectionEndedError:
    """An unexpected HTTP answer."""
    if answer.status_code == httpx.codes.NO_CONTENT:
        return ConnectionEndedError(f"{what}: the server asks not to come back", CloseCode.DISCONNECTED)
    text = f"{what}: {_reason(answer)}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return ConnectionEndedError(text, CloseCode.AUTHENTICATION_FAILED)
    return ConnectionEndedError(text, retry_after=retry_after_of(answer.headers))


def _reason(answer: httpx.Response) -> str:
    """The detail of the server's problem document; without one, as of a proxy's error page, the status."""
    try:
        return str(answer.json()["detail"])[:200]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code} {answer.reason_phrase}".strip()
