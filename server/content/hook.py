"""A function of the operator that is asked about each message of a client (setting ``content_hook``)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import structlog

from engine.channels.core.messages.model import Member, UnavailableError
from engine.errors import RealtimeError
from engine.values.exact_json import exact_decoder
from server.content.errors import ContentRefusedError

__all__ = ["ContentHook", "HookError", "HookMessage", "load_hook"]

_THREADS: Final = 8  # for functions that are not async: so many calls at once
_log = structlog.get_logger("realtime.content")
_decode: Callable[[bytes], Any] = exact_decoder(Any).decode


class HookError(RealtimeError):
    """The setting ``content_hook`` names no function."""


@dataclass(frozen=True, slots=True)
class HookMessage:
    """What the function gets. ``data`` is decoded JSON, numbers with a fraction or an exponent as ``Decimal``."""

    channel: str
    event: str
    data: Any
    user_id: str | None
    connection_id: str
    ip: str | None
    transport: str


class ContentHook:
    """The function ``name``, as ``module:function``: called with a :class:`HookMessage`, it returns None if the message may
    be published, or else the reason why not, a text for the client. It may be async; if not, it runs in a thread.

    ``timeout``: seconds for a call. ``allow_on_error``: whether a message is published if the call fails or takes longer.
    Raises ``HookError``.
    """

    def __init__(self, name: str, timeout: float, *, allow_on_error: bool = False) -> None:
        self._function = load_hook(name)
        self._timeout = timeout
        self._allow_on_error = allow_on_error
        self._threads = ThreadPoolExecutor(_THREADS, "realtime content hook")

    async def check(self, member: Member, channel: str, event: str, data: bytes) -> None:
        """Raises ``ContentRefusedError`` if the function refuses the message, ``UnavailableError`` if it failed."""
        message = HookMessage(
            channel, event, _decode(data), member.user_id, member.connection_id, member.ip, member.transport
        )
        try:
            async with asyncio.timeout(self._timeout):
                reason = await self._call(message)
            if not isinstance(reason, str | None):
                raise TypeError(f"the content hook returned {type(reason).__name__}, neither None nor a text")
        except Exception as error:
            _log.error("content_hook_failed", channel=channel, event_name=event, exc_info=error)
            if self._allow_on_error:
                return
            raise UnavailableError("the message could not be checked; try again") from error
        if reason is not None:
            raise ContentRefusedError(f"data: {reason}")

    def close(self) -> None:
        """Let no further call begin; those under way in threads are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, message: HookMessage) -> Awaitable[Any]:
        if inspect.iscoroutinefunction(self._function):
            called: Awaitable[Any] = self._function(message)
            return called
        return asyncio.get_running_loop().run_in_executor(self._threads, self._function, message)


def load_hook(name: str) -> Callable[[HookMessage], Any]:
    """The function that ``module:function`` names. Raises ``HookError``."""
    module, _, function = name.partition(":")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as wrong:
        raise HookError(f"content_hook: {name!r} cannot be imported ({wrong}); it is module:function") from wrong
    if not callable(found):
        raise HookError(f"content_hook: {name!r} is no function")
    checked: Callable[[HookMessage], Any] = found
    return checked
