"""The REST API as an ASGI application: finds the endpoint, checks the request, runs it, and answers.

Paths are split before they are decoded, so a channel's name may hold any character, percent-encoded or not where HTTP allows
that. The API does nothing that SQL cannot: an endpoint runs one named query.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import msgspec
import orjson
import psycopg
import structlog
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import DictRow
from psycopg.types.json import set_json_loads
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from engine.channels.core.delivery.events import iso_time
from engine.identity.networks import network_of
from engine.metrics.pools import PoolUsage
from engine.postgres.connections.pool import Pool
from engine.postgres.statements.named_queries import query
from server.auth.authorizer import NotAllowedError
from server.auth.identity import HandshakeRequest
from server.http.bodies import read_body
from server.http.cors import cross_origin
from server.http.problems import ProblemError, problem_of, wrong_fields
from server.http.rate_limits import rate_limit_headers
from server.limits.network_rates import NetworkRates, Usage
from server.protocol.error_codes import ErrorCode
from server.protocol.validation import InvalidMessageError, check_payload
from server.protocol.value_words import decoding_in_words
from server.rest import activity, alerts, analytics, broadcast, channels, connections, nodes, rules, sessions
from server.rest.access import NOT_AN_OPERATOR, Access
from server.rest.clients import AdmittedClient, Clients
from server.rest.description.docs import DOCS_HEADERS, docs_page
from server.rest.description.endpoint import MAX_NAME, Answer, Call, Endpoint, NoQuery, ServedNode, trace_context
from server.rest.description.openapi import openapi

__all__ = ["ENDPOINTS", "Rest"]

ENDPOINTS: Sequence[Endpoint] = (
    *channels.ENDPOINTS,
    *broadcast.ENDPOINTS,
    *connections.ENDPOINTS,
    *sessions.ENDPOINTS,
    *rules.ENDPOINTS,
    *nodes.ENDPOINTS,
    *activity.ENDPOINTS,
    *alerts.ENDPOINTS,
    *analytics.ENDPOINTS,
)
"""Everything the API can do."""

_ENVELOPE = 64 * 1024  # bytes that a body may have beside its data
_TIMEOUT = 5.0  # seconds to wait for a database connection
_LIMIT = 10.0  # seconds for which a statement may run
_NOT_NOW = "the server is starting or stopping; try again"
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_log = structlog.get_logger("realtime.rest")


class Rest:
    """The API over one database.

    Args:
        dsn: the database.
        version: of this server, for the description.
        access: who is let in.
        pool_size: database connections at most.
        message_size: bytes of a message's data that are read at all; the database has the limit.
        recorded: waits until the messages committed by now can be read back; else the history lags by a moment.
        pooled: ``dsn`` is that of a pooler.
        rates: how many requests each client may make; None: any number.
        node: the running node; None: none, and what needs it is unavailable.
        clients: serves requests of clients; None: they are unavailable.
        origins: whose pages may read what clients are answered; ``*`` is any.
    """

    def __init__(  # noqa: PLR0913 - a setting each
        self,
        dsn: str,
        version: str,
        *,
        access: Access,
        pool_size: int,
        message_size: int,
        recorded: Callable[[], Awaitable[None]] | None = None,
        pooled: bool = False,
        rates: NetworkRates | None = None,
        node: ServedNode | None = None,
        clients: Clients | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._node = node
        self._clients = clients
        self._readable = cross_origin(self._respond, "POST", origins)
        self._recorded = recorded or _at_once
        self._rates = rates
        self._access = access
        self._message_size = message_size
        self._version = version
        self._opened = False
        self._pooled = pooled
        self._pool = Pool(
            dsn,
            "realtime rest",
            size=pool_size,
            idle=0,
            timeout=_TIMEOUT,
            limit=_LIMIT,
            pooled=pooled,
            configure=_configure if pooled else _configure_own,
            row_factory=psycopg.rows.dict_row,
            restored=True,
            fresh=0.0,  # a request is not retried: connections that broke while idle are replaced before use
        )

    @cached_property  # made when it is asked for: that takes longer than all else of a server's start
    def _documents(self) -> tuple[bytes, str]:
        """The OpenAPI description, and the page that shows it."""
        description = openapi(ENDPOINTS, self._version, keyed=self._access.keyed)
        return msgspec.json.encode(description), docs_page(ENDPOINTS, description)

    @property
    def mount(self) -> Mount:
        """The API below ``/realtime``, for any characters in the rest of the path."""
        mount = Mount("/realtime", self)
        # Starlette's own pattern stops at a line break, and a path that it does not match gets an answer without a code.
        mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
        return mount

    @property
    def pool_usage(self) -> PoolUsage:
        """How much of its pool is in use."""
        return self._pool.usage

    async def start(self) -> None:
        """Begin to use the database; before, requests are answered by 503."""
        await self._pool.open()
        self._opened = True

    def renew(self) -> None:
        """The way to the database may be another one: use new connections from now on."""
        self._pool.renew()

    async def stop(self) -> None:
        """Give the connections back."""
        self._opened = False
        await self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await (self._readable if _for_clients(scope) else self._respond)(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        usage = self._count(request)
        try:
            if usage is not None and not usage.allowed:
                text = f"more than {usage.quota.amount:g} requests per second from this address"
                raise ProblemError(ErrorCode.RATE_LIMITED, text, retry_after=usage.wait, limit="max_rest_rate")
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            response = _refusal(error, request)
        if usage is not None:
            response.headers.update(rate_limit_headers(usage))
        await response(scope, receive, send)

    def _count(self, request: Request) -> Usage | None:
        network = network_of(request.client.host) if request.client is not None else None
        if self._rates is None or network is None:
            return None
        return self._rates.count(network, time.monotonic())

    async def _answer(self, request: Request) -> Response:
        segments = _segments(request.scope)
        if request.method == "GET" and segments == ("openapi.json",):
            return Response(self._documents[0], media_type="application/json")
        if request.method == "GET" and segments == ("docs",):
            return HTMLResponse(self._documents[1], headers=DOCS_HEADERS)
        endpoint, path = _find(request.method, segments)
        handshake = self._access.check(request, endpoint.scope, clients=endpoint.clients is not None)
        if not self._opened:
            raise ProblemError(ErrorCode.CONNECTION_FAILED, _NOT_NOW)
        admitted = None if handshake is None else await self._admitted(handshake)
        if admitted is None or (admitted.principal.administrator and endpoint.clients is None):
            answer = await self._of_server(request, endpoint, path)
        else:
            answer = await self._of_client(request, endpoint, path, admitted)
        headers = {"Cache-Control": "no-store"}
        return Response(_encoded(answer), endpoint.status, headers, None if answer is None else "application/json")

    async def _of_server(self, request: Request, endpoint: Endpoint, path: Mapping[str, str]) -> Answer:
        body, raw = await self._body(request, endpoint)
        query = _checked(endpoint.query or NoQuery, dict(request.query_params))
        async with self._pool.connection() as connection:
            if self._pooled:
                await _flush(connection, transaction=True)
            call = Call(connection, path, query, body, raw, self._recorded, self._node)
            context = None if endpoint.method == "GET" else trace_context(request.headers)
            if context is None:
                return await endpoint.handler(call)
            async with connection.transaction():
                await call.rows("rest_annotate", meta=msgspec.json.encode(context.fields).decode())
                return await endpoint.handler(call)

    async def _admitted(self, handshake: HandshakeRequest) -> AdmittedClient:
        if self._clients is None:
            raise ProblemError(ErrorCode.CONNECTION_FAILED, _NOT_NOW)
        return await self._clients.admit(handshake)

    async def _of_client(
        self, request: Request, endpoint: Endpoint, path: Mapping[str, str], admitted: AdmittedClient
    ) -> Answer:
        if endpoint.clients is None or self._clients is None:
            raise NotAllowedError(NOT_AN_OPERATOR)
        _, raw = await self._body(request, endpoint)
        return await endpoint.clients(self._clients.call(admitted, path, raw, trace_context(request.headers)))

    async def _body(self, request: Request, endpoint: Endpoint) -> tuple[BaseModel | None, Mapping[str, bytes]]:
        if endpoint.body is None:
            return None, {}
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ProblemError(
                ErrorCode.INVALID_MESSAGE, "send the body as application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            )
        content = await read_body(request, self._message_size + _ENVELOPE)
        try:
            raw = {name: bytes(value) for name, value in _fields.decode(content).items()}
            check_payload(content)
        except RecursionError as wrong:
            raise ProblemError(ErrorCode.INVALID_MESSAGE, "body: nested too deeply") from wrong
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidMessageError) as wrong:
            raise ProblemError(ErrorCode.INVALID_MESSAGE, f"body: {decoding_in_words(str(wrong), ())}") from wrong
        return _checked(endpoint.body, content), raw


async def _at_once() -> None:
    pass


class _Time(Loader):
    """Times as messages show them; also those beyond Python's, such as infinity."""

    format = Format.TEXT

    def load(self, data: Buffer) -> str:
        """See the class."""
        return iso_time(bytes(data).decode())


async def _flush(connection: psycopg.AsyncConnection[DictRow], *, transaction: bool) -> None:
    """An acknowledged write survives a crash."""
    await connection.execute(query("engine_at_least_local").encode(), {"transaction": transaction})


async def _configure_own(connection: psycopg.AsyncConnection[DictRow]) -> None:
    await _flush(connection, transaction=False)
    await _configure(connection)


async def _configure(connection: psycopg.AsyncConnection[DictRow]) -> None:
    # PostgreSQL keeps JSON that Python cannot (numbers of any size, any nesting), so its text goes into answers as it is.
    set_json_loads(orjson.Fragment, connection)
    connection.adapters.register_loader("timestamptz", _Time)


def _refusal(error: Exception, request: Request) -> Response:
    """The answer to a request that met ``error``.

    A variable of the frame that caught it must not have the error, whose traceback has that frame: the request would be
    left to the cyclic collector.
    """
    problem = problem_of(error)
    if problem is None:
        _log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
        problem = ProblemError(
            ErrorCode.CONNECTION_FAILED, "the server failed to do this; see its log", HTTPStatus(500)
        )
    return problem.response()


def _encoded(answer: Answer) -> bytes | None:
    if isinstance(answer, BaseModel):
        return answer.model_dump_json(by_alias=True).encode()
    return None if answer is None else orjson.dumps(answer)


def _segments(scope: Scope) -> tuple[str, ...]:
    """The parts of the path after ``/realtime``, each decoded. Raises ``ProblemError`` if one is no name."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.partition(b"?")[0].split(b"/")[2:]]
    except UnicodeDecodeError as wrong:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "the path is not percent-encoded UTF-8") from wrong
    if any(character < " " or character == "\x7f" for part in parts for character in part):
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "names have no control characters")
    if any(len(part) > MAX_NAME for part in parts):
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"names have at most {MAX_NAME} characters")
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
        raise ProblemError(
            ErrorCode.INVALID_MESSAGE, text, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(allowed)}
        )
    raise ProblemError(ErrorCode.NOT_FOUND, "there is nothing at this address; /realtime/docs lists the addresses")


def _for_clients(scope: Scope) -> bool:
    """Whether clients may call what is at this address."""
    try:
        segments = _segments(scope)
    except ProblemError:
        return False
    return any(each.clients is not None and each.match(segments) is not None for each in ENDPOINTS)


def _checked(model: type[BaseModel], given: bytes | Mapping[str, str]) -> BaseModel:
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as wrong:
        raise wrong_fields(wrong, model) from wrong
