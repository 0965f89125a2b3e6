"""A handler in Python: a function of the operator, which gets the token."""

from __future__ import annotations

import traceback
from typing import Final

from engine.errors import BunbaseError
from engine.identity.principal import Principal
from server.auth_handler.answer import read_returned
from server.operator_function import FunctionEndedError, OperatorFunction

__all__ = ["SETTING", "FunctionFailedError", "HandlerFunction"]

SETTING: Final = "auth_handler"
_AT_ONCE: Final = 1_000  # calls of an async function


class FunctionFailedError(BunbaseError):
    """The function raised something. The text names its kind and its place, and not its text, which may have the token."""


class HandlerFunction:
    """The function ``name``. Raises ``FunctionNameError``."""

    def __init__(self, name: str) -> None:
        self._function = OperatorFunction(SETTING, name)
        self.at_once = self._function.at_once or _AT_ONCE

    async def ask(self, token: str) -> Principal:
        """Who the client is. Raises ``RefusedError``, ``AnswerError`` and ``FunctionFailedError``."""
        try:
            returned = await self._function.call(token)
        except FunctionEndedError as ended:
            raise FunctionFailedError(str(ended)) from None
        except Exception as error:  # noqa: BLE001 - whatever the operator's function raises
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise FunctionFailedError(
                f"{type(error).__name__} in {place.name} ({place.filename}:{place.lineno})"
            ) from None
        return read_returned(returned)

    async def close(self) -> None:
        """Calls that have not returned are not waited for."""
