"""Where the tokens of connections come from: the application's callback, called anew for each connection."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from bunbase.protocol.errors import ConnectionEndedError

__all__ = ["GetToken", "TokenSource"]

GetToken = Callable[[], str | Awaitable[str]]


class TokenSource:
    """``get_token``: None if connections are anonymous."""

    def __init__(self, get_token: GetToken | None) -> None:
        self._get_token = get_token

    async def fresh(self) -> str | None:
        """A token for now. Raises ``ConnectionEndedError`` if the callback fails, so that it is called again later."""
        if self._get_token is None:
            return None
        try:
            given = self._get_token()
            token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise ConnectionEndedError(f"get_token failed: {type(error).__name__}") from error
        if not isinstance(token, str) or not token:
            raise ConnectionEndedError(f"get_token returned {type(token).__name__}, not a token")
        return token
