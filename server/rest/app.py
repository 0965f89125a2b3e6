"""The REST API as an ASGI application: finds the endpoint, checks the request, runs it, and answers.

Paths are split before they are decoded, so a channel's name may hold any character, percent-encoded or not where HTTP allows
that. The API does nothing that SQL cannot: an endpoint runs one named query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import msgspec
import psycopg
import structlog
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from engine.session_settings import connection_options
from server.payload import BadMessage, check_storable
from server.rest import channels, connections
from server.rest.access import Access
from server.rest.docs import DOCS_HEADERS, docs_page
from server.rest.endpoint import Call, Endpoint
from server.rest.openapi import openapi
from server.rest.problems import Problem, problem_of, wrong_fields

__all__ = ["ENDPOINTS", "Rest"]

ENDPOINTS: Sequence[Endpoint] = (*channels.ENDPOINTS, *connections.ENDPOINTS)
"""Everything the API can do."""

_ENVELOPE = 64 * 1024  # bytes that a body may have beside its data
_PATIENCE = 5.0  # seconds to wait for a database connection
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()
_log = structlog.get_logger("realtime.rest")


class Rest:
    """The API over one database.

    Args:
        dsn: the database.
        version: of this server, for the description.
        key: see :class:`server.rest.access.Access`.
        pool_size: database connections at most.
        message_size: bytes of a message's data.
    """

    def __init__(self, dsn: str, version: str, *, key: str | None, pool_size: int, message_size: int) -> None:
        self._access = Access(key)
        self._message_size = message_size
        self._description = msgspec.json.encode(openapi(ENDPOINTS, version, keyed=key is not None))
        self._page = docs_page(ENDPOINTS, openapi(ENDPOINTS, version, keyed=key is not None))
        self._opened = False
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]] = AsyncConnectionPool(
            dsn,
            kwargs={
                "autocommit": True,
                "row_factory": psycopg.rows.dict_row,
                "application_name": "realtime rest",
                "options": connection_options(statement_timeout="10s"),
            },
            min_size=0,
            max_size=pool_size,
            timeout=_PATIENCE,
            open=False,
        )

    @property
    def mount(self) -> Mount:
        """The API below ``/realtime``."""
        return Mount("/realtime", self)

    async def start(self) -> None:
        """Begin to use the database; before, requests are answered by 503."""
        await self._pool.open()
        self._opened = True

    async def stop(self) -> None:
        """Give the connections back."""
        self._opened = False
        await self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            problem = problem_of(error)
            if problem is None:
                _log.error("request_failed", method=request.method, path=scope["path"], exc_info=error)
                problem = Problem("RT_001", "the server failed to do this; its log says why", HTTPStatus(500))
            response = problem.response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        segments = _segments(request.scope)
        if request.method == "GET" and segments == ("openapi.json",):
            return Response(self._description, media_type="application/json")
        if request.method == "GET" and segments == ("docs",):
            return HTMLResponse(self._page, headers=DOCS_HEADERS)
        endpoint, path = _find(request.method, segments)
        self._access.check(request)
        if not self._opened:
            raise Problem("RT_001", "the server is starting or stopping; try again")
        body, raw = await self._body(request, endpoint)
        query = _checked(endpoint.query, dict(request.query_params)) if endpoint.query else None
        async with self._pool.connection() as connection:
            answer = await endpoint.handler(Call(connection, path, query, body, raw))
        content = None if answer is None else answer.model_dump_json(by_alias=True)
        headers = {"Cache-Control": "no-store"}
        return Response(content, endpoint.status, headers, "application/json" if answer is not None else None)

    async def _body(self, request: Request, endpoint: Endpoint) -> tuple[BaseModel | None, Mapping[str, bytes]]:
        if endpoint.body is None:
            return None, {}
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem("RT_007", "send the body as application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        content = await self._read(request)
        try:
            raw = {name: bytes(value) for name, value in _fields.decode(content).items()}
            check_storable(_anything.decode(content), suspicious=b"\\u0000" in content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadMessage) as wrong:
            raise Problem("RT_007", f"body: {wrong}") from wrong
        if (size := len(raw.get("data", b""))) > self._message_size:
            raise Problem("RT_005", f"data has {size} bytes of JSON; at most {self._message_size} are allowed")
        return _checked(endpoint.body, content), raw

    async def _read(self, request: Request) -> bytes:
        limit = self._message_size + _ENVELOPE
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise Problem("RT_005", f"the body is larger than {limit} bytes", headers={"Connection": "close"})
            parts.append(part)
        return b"".join(parts)


def _segments(scope: Scope) -> tuple[str, ...]:
    """What comes after ``/realtime``, each part decoded. Raises ``Problem`` if it is no UTF-8."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.partition(b"?")[0].split(b"/")[2:]]
    except UnicodeDecodeError as wrong:
        raise Problem("RT_007", "the path is not percent-encoded UTF-8") from wrong
    if any("\0" in part for part in parts):
        raise Problem("RT_007", "text in PostgreSQL cannot contain the character NUL")
    return tuple(parts)


def _find(method: str, segments: tuple[str, ...]) -> tuple[Endpoint, dict[str, str]]:
    allowed = []
    for endpoint in ENDPOINTS:
        path = endpoint.match(segments)
        if path is None or not all(path.values()):
            continue
        if endpoint.method == method:
            return endpoint, path
        allowed.append(endpoint.method)
    if allowed:
        text = f"{method} cannot be done here; {', '.join(allowed)} can"
        raise Problem("RT_007", text, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(allowed)})
    raise Problem("RT_004", "there is nothing at this address; /realtime/docs says what there is")


def _checked(model: type[BaseModel], given: bytes | Mapping[str, str]) -> BaseModel:
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as wrong:
        raise wrong_fields(wrong) from wrong
