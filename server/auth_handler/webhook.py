"""A handler behind HTTP: requests are signed after Standard Webhooks (standardwebhooks.com), answers are bounded.

The address comes from the configuration alone: redirects are failures. The question changes nothing, so it is safe to ask
it again: that is done once where the connection broke before an answer, such as one that the other end had just closed.
"""

from __future__ import annotations

import secrets
import time
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import httpx
import msgspec
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from engine.errors import BunbaseError
from engine.identity.principal import Principal
from server.auth.http_answer import read_body
from server.auth_handler.answer import AnswerError, read_answer, refusal_of
from server.webhook_signature import signature_headers

__all__ = ["Webhook"]

_MAX_ANSWER: Final = 64 * 1024
_CONNECTIONS: Final = 32
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
_BROKEN: Final = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


_BUSY: Final = (429, 502, 503, 504)


class BusyError(BunbaseError):
    """The other end is there, and cannot answer now."""


class Webhook:
    """Asks at ``url``. ``key`` signs; ``timeout``: seconds for each step of a request."""

    def __init__(self, url: str, key: bytes, timeout: float) -> None:
        self.at_once = _CONNECTIONS
        self._url = url
        self._key = key
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False)
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no request knows of another

    async def ask(self, token: str) -> Principal:
        """Who the client is. Raises ``RefusedError``, ``AnswerError`` and ``httpx.HTTPError``."""
        body = msgspec.json.encode({"type": "authenticate", "token": token})
        signature = signature_headers(self._key, f"msg_{secrets.token_hex(16)}", int(time.time()), body)
        status, content = await self._send(body, {**_HEADERS, **signature})
        if status == HTTPStatus.UNAUTHORIZED:
            raise refusal_of(content)
        if status in _BUSY:
            raise BusyError(f"the answer has the status {status}")
        if status != HTTPStatus.OK:
            raise AnswerError(f"the answer has the status {status}; 200 accepts a client, 401 refuses it")
        return read_answer(content)

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    @retry(stop=stop_after_attempt(2), retry=retry_if_exception_type(_BROKEN), wait=wait_random(0, 0.1), reraise=True)
    async def _send(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        async with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
            if answer.status_code not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
                return answer.status_code, b""
            return answer.status_code, await read_body(answer, _MAX_ANSWER)
