"""Errors as problem documents (RFC 9457) with the protocol's ``RT`` code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import psycopg
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.errors import BunbaseError, RealtimeError
from engine.postgres.errors import AWAY, in_words, is_clients, is_raised, reason
from server.auth.identity import HandshakeRejectedError
from server.http.rate_limits import retry_after_header
from server.protocol.error_codes import ErrorCode
from server.protocol.value_words import is_wrong, near_field

__all__ = [
    "BY_CODE",
    "CHALLENGE",
    "MEDIA_TYPE",
    "ErrorCounter",
    "ProblemDocument",
    "ProblemError",
    "problem_document",
    "problem_of",
    "problem_response",
    "wrong_fields",
]

MEDIA_TYPE: Final = "application/problem+json"
"""RFC 9457, section 6.1."""

CHALLENGE: Final[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="realtime"'}
"""What an answer 401 must have (RFC 9110, 15.5.2)."""

_COUNT: Final = "count_error"  # in the state of a request's scope
_log = structlog.get_logger(__name__)

BY_CODE: Mapping[ErrorCode, HTTPStatus] = {
    ErrorCode.CONNECTION_FAILED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.AUTHENTICATION_FAILED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.MESSAGE_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.INVALID_MESSAGE: HTTPStatus.BAD_REQUEST,
    ErrorCode.CHANNEL_FULL: HTTPStatus.CONFLICT,
    ErrorCode.PRESENCE_REJECTED: HTTPStatus.BAD_REQUEST,
}
"""The HTTP status of each code, unless a problem sets another one."""


_CODE_OF_STATUS: Mapping[int, ErrorCode] = {
    **{status: code for code, status in BY_CODE.items() if status is not HTTPStatus.BAD_REQUEST},
    HTTPStatus.CONFLICT: ErrorCode.INVALID_MESSAGE,
}


class ProblemDocument(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(title="ProblemError")

    type: str = Field("about:blank", description="Always about:blank.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, with what value.")
    code: str = Field(description="The code of the protocol, RT_001 to RT_009.")
    retryAfter: float | None = Field(None, description="In how many seconds the request may be repeated, with RT_006.")


def problem_document(
    status: int, detail: str, code: ErrorCode | None = None, retry_after: float | None = None
) -> dict[str, Any]:
    """The members of a problem document. ``code``: by default that of the status. ``retry_after``: seconds.

    An HTTP status without a code of its own has ``RT_007`` if the request caused it, ``RT_001`` if the server did.
    """
    by_default = ErrorCode.INVALID_MESSAGE if status < HTTPStatus.INTERNAL_SERVER_ERROR else ErrorCode.CONNECTION_FAILED
    return ProblemDocument(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code or _CODE_OF_STATUS.get(status, by_default),
        retryAfter=retry_after,
    ).model_dump(exclude_none=True)


def problem_response(
    status: int,
    detail: str,
    code: ErrorCode | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after: float | None = None,
) -> ProblemResponse:
    """An answer with :func:`problem_document` as its body."""
    document = problem_document(status, detail, code, retry_after)
    return ProblemResponse(document, status, headers=headers, media_type=MEDIA_TYPE)


class ProblemResponse(JSONResponse):
    """A problem document. It is counted by its code, where the application counts: see :class:`ErrorCounter`."""

    def __init__(self, document: Mapping[str, Any], *args: Any, **more: Any) -> None:
        super().__init__(document, *args, **more)
        self._code = ErrorCode(document["code"])
        self.limit = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        count = scope.get("state", {}).get(_COUNT)
        if count is not None:
            count(self._code, self.limit)
        await super().__call__(scope, receive, send)


class ErrorCounter:
    """An application whose problem documents are counted: ``count`` is called with the code of each, and its limit or ""."""

    def __init__(self, app: ASGIApp, count: Callable[[ErrorCode, str], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        scope.setdefault("state", {})[_COUNT] = self._count
        await self._app(scope, receive, send)


class ProblemError(BunbaseError):
    """A request is answered by a problem document. ``retry_after``: seconds, also in the header ``Retry-After``. ``limit``:
    as of ``RealtimeError``.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        status: HTTPStatus | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        retry_after: float | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(detail)
        self.limit = limit
        self.code = code
        self.status = status or BY_CODE[code]
        self.headers = {**(headers or {}), **({} if retry_after is None else retry_after_header(retry_after))}
        self.retry_after = retry_after

    def response(self) -> Response:
        """The answer."""
        response = problem_response(
            self.status, str(self), self.code, {"Cache-Control": "no-store", **self.headers}, self.retry_after
        )
        response.limit = self.limit
        return response


def problem_of(error: Exception) -> ProblemError | None:
    """``error`` as a client may see it; None: a fault of the server, with details in the log."""
    match error:
        case ProblemError():
            return error
        case HandshakeRejectedError():
            code = _CODE_OF_STATUS.get(error.status, ErrorCode.INVALID_MESSAGE)
            headers, wait = error.headers, error.retry_after
            return ProblemError(code, str(error), error.status, headers, retry_after=wait, limit=error.limit)
        case RealtimeError():
            challenge, wait = CHALLENGE if error.code == ErrorCode.AUTHENTICATION_FAILED else None, error.retry_after
            return ProblemError(error.code, str(error), headers=challenge, retry_after=wait, limit=error.limit)
        case _ if isinstance(error, AWAY):
            return ProblemError(ErrorCode.CONNECTION_FAILED, in_words(error))
        case psycopg.Error():
            return _refused_by_sql(error)
    return None


def wrong_fields(error: ValidationError, model: type[BaseModel]) -> ProblemError:
    """Which fields of ``model`` are wrong, and why."""
    message = "; ".join(_in_words(each, model) for each in error.errors(include_url=False))
    return ProblemError(ErrorCode.INVALID_MESSAGE, message)


def _in_words(wrong: ErrorDetails, model: type[BaseModel]) -> str:
    """Without the value, which may be long, and without a regular expression: those of this API match names, texts and
    positions.
    """
    name = ".".join(map(str, wrong["loc"])) or "body"
    if wrong["type"] == "extra_forbidden":
        return f"{name} is no field here{near_field(model, wrong['loc'])}"
    if wrong["type"] == "value_error":
        return f"{name}: {wrong['msg'].removeprefix('Value error, ')}"
    if wrong["type"] == "string_pattern_mismatch":
        excludes = wrong["ctx"]["pattern"].startswith("^[^")
        return f"{name}: " + (
            "control characters are not allowed" if excludes else "not a position; one is like 0/16B3790/42"
        )
    return f"{name} {is_wrong(wrong, hidden=True)}"


def _refused_by_sql(error: psycopg.Error) -> ProblemError | None:
    """Functions of the schema raise SQLSTATE ``RT001`` to ``RT009``. A value, constraint or trigger that refuses concerns
    the request; a missing object or privilege concerns the database, until it is there again: 503. None: a server error.
    """
    state = error.sqlstate
    if state is None and not isinstance(error, psycopg.DataError):  # of the driver, not of PostgreSQL
        return None
    message = reason(error) or "PostgreSQL refused it"
    if state is not None and state.startswith("RT") and (code := f"RT_{state[2:]}") in BY_CODE:
        return ProblemError(ErrorCode(code), message)
    if state in ("23505", "42710"):  # unique violation, duplicate object
        return ProblemError(ErrorCode.INVALID_MESSAGE, message, HTTPStatus.CONFLICT)
    if state == "42501" and is_raised(error):
        return ProblemError(ErrorCode.PERMISSION_DENIED, message)
    if is_clients(error):
        return ProblemError(ErrorCode.INVALID_MESSAGE, message)
    _log.warning("database_refuses", sqlstate=state, error=message)
    return ProblemError(ErrorCode.CONNECTION_FAILED, in_words(error))
