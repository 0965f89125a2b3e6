"""Where the tokens of connections come from: the application's callback, called anew for each connection."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import NoneType
from typing import Self

from bunbase.connection.options import expect
from bunbase.protocol.errors import NoTokenError
from bunbase.protocol.expected import expect_function, expect_header

__all__ = ["GetToken", "TokenSource"]

GetToken = Callable[[], str | Awaitable[str]]


class TokenSource:
    """``get_token``: None if connections are anonymous."""

    def __init__(self, get_token: GetToken | None) -> None:
        self._get_token = get_token

    @classmethod
    def of(cls, token: str | None, get_token: GetToken | None) -> Self:
        """From the client's options. Raises ``TypeError`` or ``ValueError``, without the token."""
        if token is not None and get_token is not None:
            raise ValueError("token, get_token: one of them")
        expect("token", token, (str, NoneType))
        if token is not None:
            expect_header("token", token)
        if get_token is not None:
            expect_function("get_token", get_token)
        return cls(get_token if token is None else lambda: token)

    async def fresh(self) -> str | None:
        """A token for now. Raises ``NoTokenError`` if the callback fails, so that it is called again later."""
        if self._get_token is None:
            return None
        try:
            given = self._get_token()
            token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise NoTokenError(f"get_token failed: {type(error).__name__}") from error
        if not isinstance(token, str) or not token:
            raise NoTokenError(f"get_token returned {type(token).__name__}, not a token")
        try:
            expect_header("get_token", token)
        except ValueError as wrong:
            raise NoTokenError(str(wrong)) from None
        return token
