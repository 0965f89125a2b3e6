"""What is between clients and the operator's handler: a time limit, a cache, one question at a time for each token, and a
circuit breaker.

Only accepted tokens are cached, by their hash. A handler that does not answer ``_FAILURES`` times in succession is not asked
for ``pause`` seconds, and then once: that decides whether it is asked again. A client that cannot be judged
is not let in, and is asked to try again: its token may be good.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

import httpx
import structlog
from cachetools import TTLCache
from pybreaker import STATE_HALF_OPEN, STATE_OPEN, CircuitBreaker, CircuitBreakerError

from engine.errors import BunbaseError, RealtimeError
from engine.identity.principal import Principal
from server.auth.http_answer import BodyError
from server.auth.refusal import AuthenticationError
from server.auth.token_form import MAX_TOKEN
from server.auth.tokens import TokenVerifier
from server.auth_handler.answer import AnswerError, RefusedError
from server.auth_handler.function import FunctionFailedError, HandlerFunction
from server.auth_handler.settings import HandlerSettings
from server.auth_handler.webhook import Webhook

__all__ = ["Handler", "HandlerUnavailableError", "HandlerVerifier", "handler_of"]

_FAILURES: Final = 5
_PAUSE: Final = 10.0  # seconds
_CACHED: Final = 10_000  # tokens
_FAST: Final = (AnswerError, FunctionFailedError, BodyError, asyncio.CancelledError)
"""Failures that a token alone may cause, and cost little: one client must not pause the handler for all by its tokens."""

_log = structlog.get_logger("realtime.auth")


class HandlerUnavailableError(RealtimeError):
    """A client cannot be judged now. It may try again with the same token."""

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("the token cannot be checked now; try again")
        self.retry_after = retry_after


class Handler(Protocol):
    """Judges tokens. ``at_once``: so many of them."""

    at_once: int

    async def ask(self, token: str) -> Principal:
        """Who the client is. Raises ``RefusedError`` if it is refused; whatever else it raises is a failure."""
        ...

    async def close(self) -> None:
        """The server stops."""
        ...


def handler_of(settings: HandlerSettings) -> Handler:
    """The handler. Raises ``FunctionNameError``."""
    if settings.url is None:
        assert settings.function is not None, "checked by the settings"
        return HandlerFunction(settings.function)
    return Webhook(settings.url, settings.signing_key(), settings.timeout)


class HandlerVerifier:
    """Makes principals of tokens: of those of configured issuers by ``tokens``, of all others by asking ``handler``.

    ``timeout``: seconds for an answer; ``cache``: seconds for which it counts; ``admin_role``: of administrators, among
    those that the handler names.
    """

    def __init__(
        self,
        handler: Handler,
        tokens: TokenVerifier,
        *,
        timeout: float,
        cache: float,
        pause: float = _PAUSE,
        admin_role: str | None = None,
    ) -> None:
        self._handler = handler
        self._free = asyncio.Semaphore(handler.at_once)
        self._tokens = tokens
        self._timeout = timeout
        self._admin_role = admin_role
        self._known: TTLCache[bytes, Principal] = TTLCache(_CACHED, cache)
        self._asked: dict[bytes, asyncio.Task[Principal | RefusedError]] = {}
        self._breaker = CircuitBreaker(_FAILURES, pause, exclude=_FAST, throw_new_error_on_trip=False)
        self._closed = False

    def start(self) -> None:
        """See ``TokenVerifier``."""
        self._tokens.start()

    async def close(self) -> None:
        """Abandon questions."""
        self._closed = True
        await self._tokens.close()
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
        await self._handler.close()

    def verify_now(self, token: str) -> Principal | None:
        """See ``TokenVerifier``."""
        if self._tokens.knows(token):
            return self._tokens.verify_now(token)
        return self._cached(_key_of(token))

    async def verify(self, token: str) -> Principal:
        """The principal. Raises ``AuthenticationError`` with the reason, and another ``RealtimeError`` if the token cannot
        be judged now.
        """
        if self._tokens.knows(token):
            return await self._tokens.verify(token)
        key = _key_of(token)
        if (known := self._cached(key)) is not None:
            return known
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key, token))
            task.add_done_callback(lambda done: self._answered(key, done))
        await asyncio.wait([task])  # one client that gives up must not end the question of the others
        if task.cancelled():  # the function cancelled it, or the server stops
            raise HandlerUnavailableError
        answer = task.result()
        if isinstance(answer, RefusedError):
            raise AuthenticationError(str(answer), "handler")
        return replace(answer)  # a connection's principal is its own

    def _cached(self, key: bytes) -> Principal | None:
        known = self._known.get(key)
        if known is None or (known.expires_at is not None and known.expires_at <= time.time()):
            return None
        return replace(known)

    def _answered(self, key: bytes, task: asyncio.Task[Principal | RefusedError]) -> None:
        del self._asked[key]
        if task.cancelled():
            if not self._closed:
                self._note("the function cancelled its task")
        else:
            task.exception()  # the clients that wait have it; they may be gone

    async def _ask(self, key: bytes, token: str) -> Principal | RefusedError:
        async with self._free:  # a storm of logins has to wait, and is no fault of the handler
            return await self._ask_now(key, token)

    async def _ask_now(self, key: bytes, token: str) -> Principal | RefusedError:
        if self._breaker.current_state == STATE_HALF_OPEN and len(self._asked) > 1:
            raise HandlerUnavailableError(self._pause)  # one is asking whether it works again
        try:
            with self._breaker.calling():
                answer = await self._judged(token)
        except CircuitBreakerError:
            raise HandlerUnavailableError(self._pause) from None
        except TimeoutError:
            self._note(f"no answer within {self._timeout:g} s")
        except (BunbaseError, httpx.HTTPError, ValueError) as failure:
            self._note(str(failure) or type(failure).__name__)
        else:
            if isinstance(answer, Principal):
                answer.administrator = self._admin_role is not None and answer.visibility.role == self._admin_role
                self._known[key] = answer
            return answer
        raise HandlerUnavailableError

    async def _judged(self, token: str) -> Principal | RefusedError:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._handler.ask(token)
        except RefusedError as refusal:  # the handler works
            return refusal

    @property
    def _pause(self) -> float:
        """Seconds until the handler is asked again."""
        opened_at = self._breaker._state_storage.opened_at
        passed = 0.0 if opened_at is None else (datetime.now(UTC) - opened_at).total_seconds()
        return max(self._breaker.reset_timeout - passed, 1.0)

    def _note(self, failure: str) -> None:
        _log.warning("auth_handler_failed", error=failure)
        if self._breaker.current_state == STATE_OPEN:
            _log.error("auth_handler_paused", seconds=self._breaker.reset_timeout)


def _key_of(token: str) -> bytes:
    """What a token is known by here. Raises ``AuthenticationError`` for one that no handler is asked about."""
    if not (0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable()):
        raise AuthenticationError(f"not a token: one is 1 to {MAX_TOKEN} printable ASCII characters")
    return hashlib.sha256(token.encode()).digest()
