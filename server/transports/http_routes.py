"""The HTTP addresses of the transports that are no sockets: ``/realtime/sse``, ``/send``, ``/poll`` and ``/session``.

Requests are read and checked here, sessions do the rest. A session's secret is enough to use it, so the origin of a
request counts when a session is opened, and cross-origin answers may be read by the origins that may open one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from engine.errors import BunbaseError
from server.auth.identity import API_KEY, HandshakeRequest, handshake_of, packed_of
from server.client.background import Background
from server.http.bodies import read_body
from server.http.cors import cross_origin
from server.http.problems import ProblemError, problem_of
from server.http.visitor import Visitor
from server.protocol.error_codes import ErrorCode
from server.protocol.half_pairs import without_half_pairs
from server.protocol.value_words import decoding_in_words
from server.transports.http_sessions import HttpSessions, OtherWorkers, ended
from server.transports.sse.request import read_request
from server.transports.sse.sse_connection import GONE_ID

__all__ = ["transport_routes"]

_MAX_BODY = 1024 * 1024
_MAX_QUERY = 32 * 1024
_MAX_WAIT = 30_000
_NO_STORE = {"Cache-Control": "no-store"}
_Body = TypeVar("_Body")
_Result = TypeVar("_Result")


class _Send(Struct, forbid_unknown_fields=True):
    session: str
    messages: list[msgspec.Raw]
    seq: Annotated[int, Meta(ge=1)] | None = None


class _Poll(Struct, forbid_unknown_fields=True):
    session: str | UnsetType = UNSET
    cursor: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    timeout: Annotated[int, Meta(ge=0)] = 25_000
    messages: list[msgspec.Raw] = []
    seq: Annotated[int, Meta(ge=1)] | None = None


class _End(Struct, forbid_unknown_fields=True):
    session: str


_send = msgspec.json.Decoder(_Send)
_poll = msgspec.json.Decoder(_Poll)
_end = msgspec.json.Decoder(_End)


def transport_routes(
    sessions: HttpSessions, allowed_origins: Sequence[str], others: OtherWorkers | None = None
) -> list[BaseRoute]:
    """The routes. ``allowed_origins``: origins whose pages may read the answers; ``*`` is any. ``others``: None: all
    sessions are here.
    """
    transports = _Transports(sessions, others)
    return [
        Route(f"/realtime/{name}", cross_origin(_Endpoint(method, handler), method, allowed_origins))
        for name, method, handler in (
            ("sse", "GET", transports.stream),
            ("send", "POST", transports.send),
            ("poll", "POST", transports.poll),
            ("session", "DELETE", transports.end),
        )
    ]


_Handler = Callable[[Request, Send], Awaitable[Response | None]]


class _Endpoint:
    """One address: an error in ``handler`` becomes a problem document."""

    def __init__(self, method: str, handler: _Handler) -> None:
        self._method = method
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        response: Response | None
        try:
            if request.method != self._method:
                text = f"{request.method} cannot be done here; {self._method} can"
                raise ProblemError(
                    ErrorCode.INVALID_MESSAGE, text, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": self._method}
                )
            response = await self._handler(request, send)
        except ClientDisconnect:
            return
        except BunbaseError as refused:
            response = _refusal(refused)
        if response is not None:
            await response(scope, receive, send)


def _refusal(error: BunbaseError) -> Response:
    """The answer to a request that met ``error``, which is raised if it is the server's own fault.

    Not kept in a variable of :class:`_Endpoint`'s frame, which is in its traceback: see :func:`_while_connected`.
    """
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.response()


class _Transports:
    """The handler of each address."""

    def __init__(self, sessions: HttpSessions, others: OtherWorkers | None) -> None:
        self._sessions = sessions
        self._others = others
        self._background = Background()

    async def stream(self, request: Request, send: Send) -> Response | None:
        """``GET /realtime/sse``."""
        pairs = _pairs(request)
        upgrade = _upgrade(request, pairs)
        last_id = request.headers.get("last-event-id") or upgrade.query.get("lastEventId")
        if last_id == GONE_ID:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=_NO_STORE)  # an EventSource then gives up
        stream_request = read_request(pairs, last_id)
        connection = self._sessions.accept_stream(upgrade)
        await self._sessions.authenticate(connection, partial(_while_connected, request))
        await connection.run(request.scope, request.receive, send, stream_request)
        return None

    async def send(self, request: Request, send: Send) -> Response:
        """``POST /realtime/send``."""
        body, content = await _body(request, _send)
        if (answer := await self._handed_on(request, body.session, content)) is not None:
            return answer
        connection = self._sessions.find(body.session)
        if connection.inbox.accept(body.seq) and not await connection.inbox.carry_out(
            connection, _texts(body.messages)
        ):
            raise ended()
        return _json(b"{}" if body.seq is None else b'{"seq":%d}' % body.seq, HTTPStatus.ACCEPTED)

    async def poll(self, request: Request, send: Send) -> Response:
        """``POST /realtime/poll``."""
        body, content = await _body(request, _poll)
        if body.session is not UNSET and (answer := await self._handed_on(request, body.session, content)) is not None:
            return answer
        if body.session is UNSET:
            connection = self._sessions.accept_poll(_upgrade(request, _pairs(request)))
            await self._sessions.authenticate(connection, partial(_while_connected, request))
        else:
            connection = self._sessions.find_poll(body.session)
        if (body.messages or body.seq is not None) and connection.inbox.accept(body.seq):
            self._background.spawn(connection.inbox.carry_out(connection, _texts(body.messages)))
        if body.session is UNSET:
            return _answer(*await connection.wait(0, 0), connection.secret)
        if body.cursor is UNSET:
            raise ProblemError(ErrorCode.INVALID_MESSAGE, "cursor: give that of the last answer that arrived")
        timeout = min(body.timeout, _MAX_WAIT) / 1000
        return _answer(*await _while_connected(request, asyncio.create_task(connection.wait(body.cursor, timeout))))

    async def end(self, request: Request, send: Send) -> Response:
        """``DELETE /realtime/session``."""
        body, content = await _body(request, _end)
        if (answer := await self._handed_on(request, body.session, content)) is not None:
            return answer
        self._sessions.find(body.session).close_cleanly()
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=_NO_STORE)

    async def _handed_on(self, request: Request, secret: str, content: bytes) -> Response | None:
        """The answer of the worker whose session it is; None: it is one of this worker's."""
        if self._others is None or not self._others.have(secret):
            return None
        asking = self._others.ask(secret, request.method, request.scope["path"], content)
        return await _while_connected(request, asyncio.create_task(asking))


async def _while_connected(request: Request, task: asyncio.Task[_Result]) -> _Result:
    """The result of ``task``, which is cancelled if the client disconnects first. Raises ``ClientDisconnect``.

    Raises ``ProblemError`` if the task was cancelled by the server, which stops.
    """
    leaving = asyncio.create_task(_disconnected(request.receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        if task.cancelled():
            raise ProblemError(ErrorCode.CONNECTION_FAILED, "the server is stopping; try again")
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        del task  # it has the error, whose traceback has this frame: a cycle, left to the cyclic collector


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _texts(messages: list[msgspec.Raw]) -> list[bytes]:
    return [bytes(message) for message in messages]


def _pairs(request: Request) -> list[tuple[str, str]]:
    text: bytes = request.scope["query_string"]
    if len(text) > _MAX_QUERY:
        raise ProblemError(
            ErrorCode.INVALID_MESSAGE, f"the query string is longer than {_MAX_QUERY} bytes", HTTPStatus(414)
        )
    try:
        return parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as wrong:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "the query string is not percent-encoded UTF-8") from wrong


def _upgrade(request: Request, pairs: list[tuple[str, str]]) -> HandshakeRequest:
    peer = None if request.client is None else request.client.host.partition("%")[0]
    headers = request.headers
    upgrade = handshake_of(
        headers.get("origin"),
        pairs,
        peer,
        headers.getlist("authorization"),
        api_keys=headers.getlist(API_KEY),
    )
    packed_of(upgrade)  # MessagePack is for sockets; here it is understood, and JSON
    visitor: Visitor = request.scope.get("state", {}).get("visitor", Visitor())  # by server.app.uvicorn_http
    return visitor.added_to(upgrade)


async def _body(request: Request, decoder: msgspec.json.Decoder[_Body]) -> tuple[_Body, bytes]:
    """What it means, and as it came."""
    content = await read_body(request, _MAX_BODY)
    try:
        try:
            return decoder.decode(content), content
        except msgspec.MsgspecError:
            # One of the messages may have what ends only itself: the client would send them all again, for ever.
            if (readable := without_half_pairs(content)) is None:
                raise
            return decoder.decode(readable), content
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        names = getattr(decoder.type, "__struct_encode_fields__", ())
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"body: {decoding_in_words(str(wrong), names)}") from wrong


def _answer(cursor: int, messages: list[bytes], secret: str | None = None) -> Response:
    session = b"" if secret is None else b'"session":"%b",' % secret.encode()
    return _json(b'{%b"cursor":%d,"messages":[%b]}' % (session, cursor, b",".join(messages)), HTTPStatus.OK)


def _json(content: bytes, status: HTTPStatus) -> Response:
    return Response(content, status, _NO_STORE, "application/json")
