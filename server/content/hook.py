"""A function of the operator that is asked about each message of a client (setting ``content_hook``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from engine.channels.core.messages.model import Member, UnavailableError
from engine.values.exact_json import exact_decoder
from server.content.errors import ContentRefusedError
from server.operator_function import OperatorFunction

__all__ = ["SETTING", "ContentHook", "HookMessage"]

SETTING: Final = "content_hook"
"""The setting that names the function."""

_log = structlog.get_logger("realtime.content")
_decode: Callable[[bytes], Any] = exact_decoder(Any).decode


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
    """The function ``name`` (:class:`OperatorFunction`). Called with a :class:`HookMessage`, it returns None if the message
    may be published, or else the reason why not, a text for the client.

    ``timeout``: seconds for a call. ``allow_on_error``: whether a message is published if the call fails or takes longer.
    Raises ``FunctionNameError``.
    """

    def __init__(self, name: str, timeout: float, *, allow_on_error: bool = False) -> None:
        self._function = OperatorFunction(SETTING, name)
        self._timeout = timeout
        self._allow_on_error = allow_on_error

    async def check(self, member: Member, channel: str, event: str, data: bytes) -> None:
        """Raises ``ContentRefusedError`` if the function refuses the message, ``UnavailableError`` if it failed."""
        message = HookMessage(
            channel, event, _decode(data), member.user_id, member.connection_id, member.ip, member.transport
        )
        try:
            async with asyncio.timeout(self._timeout):
                reason = await self._function.call(message)
            if not isinstance(reason, str | None):
                raise TypeError(f"the content hook returned {type(reason).__name__}, neither None nor a text")
        except Exception as error:
            _log.error("content_hook_failed", channel=channel, event_name=event, exc_info=error)
            if self._allow_on_error:
                return
            raise UnavailableError("the message could not be checked; try again") from error
        if reason is not None:
            raise ContentRefusedError(f"data: {reason}")
