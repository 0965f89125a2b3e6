"""Every request of the REST API as a value: the request, the reader of its answer, and whether it is idempotent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from bunbase.protocol.codec import decode_text, encode_bytes
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.crypto import Encryption
from bunbase.protocol.errors import BunbaseError, RealtimeError
from bunbase.protocol.expected import (
    expect_header,
    expect_optional_text,
    expect_text,
    expect_timeout,
    expect_trace,
    expect_whole,
)
from bunbase.protocol.model import HistoryPage, Presence, User
from bunbase.rest.resources import ConnectionInfo, Room
from bunbase.transports.base import Address, given_or_set, retry_after_of

__all__ = [
    "Call",
    "broadcast",
    "broadcast_widely",
    "client_options",
    "close_room",
    "connections",
    "create_room",
    "disconnect",
    "disconnect_user",
    "expect_open",
    "get_room",
    "history",
    "kick",
    "options",
    "plain_errors",
    "presence",
    "read",
    "retry_options",
    "shown",
    "update_room",
    "worth_repeating",
]

T = TypeVar("T")
_PAGE = 1000
_HEADER = re.compile(r"[\t -~]*")
_BUSY = frozenset((429, 502, 503, 504))
_JITTER = wait_random_exponential(multiplier=0.1, max=5)
_SETTINGS = {
    "max_messages": "maxMessages",
    "presence_timeout": "presenceTimeout",
    "typing_timeout": "typingTimeout",
    "created_by": "createdBy",
}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """``read`` makes the result of the answer's JSON (None if it has none). ``repeatable``: twice is as good as once."""

    method: str
    path: str
    read: Callable[[Any], T]
    json: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    repeatable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


class RateLimitedError(BunbaseError):
    """The server could not do it now."""

    def __init__(self, error: RealtimeError) -> None:
        super().__init__(str(error))
        self.error = error


def expect_open(http: httpx.Client | httpx.AsyncClient) -> None:
    """Raise ``RealtimeError`` if the client is closed."""
    if http.is_closed:
        raise RealtimeError(ErrorCode.CONNECTION_FAILED, "the client is closed")


def options(call: Call[Any]) -> dict[str, Any]:
    """Parameters, headers and body of a call as options of httpx; its own JSON has no ``Decimal``."""
    given: dict[str, Any] = {"params": call.params, "headers": dict(call.headers)}
    if call.json is not None:
        given["content"] = encode_bytes(call.json)
        given["headers"]["Content-Type"] = "application/json"
    return given


def read(call: Call[T], answer: httpx.Response) -> T:
    """The result of a call. Raises ``RealtimeError``, or ``RateLimitedError`` if it may be repeated."""
    if answer.is_success:
        return call.read(decode_text(answer.content) if answer.content else None)
    try:
        problem = answer.json()
        error = RealtimeError(str(problem["code"]), str(problem.get("detail") or problem.get("title")))
        error.retry_after = problem.get("retryAfter")
    except (ValueError, KeyError, TypeError):
        error = RealtimeError(ErrorCode.CONNECTION_FAILED, f"HTTP {answer.status_code} {answer.reason_phrase}")
        error.retry_after = retry_after_of(answer.headers) or None
    if call.repeatable and answer.status_code in _BUSY:
        raise RateLimitedError(error)
    raise error


def worth_repeating(call: Call[Any], error: BaseException, timeout: float | None) -> bool:
    """Whether to try again after ``error``: always if the server was not reached, else if repeating is harmless. Not if the
    server asks to wait for longer than ``timeout`` seconds.
    """
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return True
    if isinstance(error, RateLimitedError):
        return timeout is None or (error.error.retry_after or 0.0) <= timeout
    return call.repeatable and isinstance(error, httpx.TransportError)


def client_options(url: str | None, api_key: str | None, timeout: float | None, attempts: int) -> dict[str, Any]:
    """The arguments of an HTTP client of httpx, synchronous or not. ``TypeError`` or ``ValueError`` for a wrong one."""
    url, api_key = given_or_set(url, api_key)
    if timeout is not None:
        expect_timeout(timeout)
    expect_whole("attempts", attempts, 1)
    if api_key is not None:
        expect_header("api_key", api_key)
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    return {"base_url": Address(url).http, "headers": headers, "timeout": timeout}


def retry_options(call: Call[Any], attempts: int, timeout: float | None) -> dict[str, Any]:
    """How tenacity repeats a call: after as long as the server asks for, if that is at most ``timeout`` seconds."""
    return {
        "retry": retry_if_exception(lambda error: worth_repeating(call, error, timeout)),
        "wait": lambda state: _asked(state) + _JITTER(state),
        "stop": stop_after_attempt(attempts),
        "reraise": True,
    }


def _asked(state: RetryCallState) -> float:
    error = None if state.outcome is None else state.outcome.exception()
    return (error.error.retry_after or 0.0) if isinstance(error, RateLimitedError) else 0.0


@contextmanager
def plain_errors(base_url: httpx.URL) -> Iterator[None]:
    """Raise errors of the HTTP client as ``RealtimeError``, without the frames of httpx and tenacity.

    ``base_url``: where the server was looked for, for the message.
    """
    try:
        yield
    except RateLimitedError as busy:
        raise busy.error from None
    except RealtimeError as error:  # another one, as contextlib gives the same one its traceback back
        raise RealtimeError(error.code, error.message, error.channel, error.ref, error.retry_after) from None
    except httpx.TransportError as error:
        raise RealtimeError(
            ErrorCode.CONNECTION_FAILED,
            f"the server cannot be reached at {shown(base_url)}: {error or type(error).__name__}",
        ) from None


def shown(base_url: httpx.URL) -> str:
    """The server's address for messages: without a password."""
    return Address(str(base_url)).shown


def _channel(name: str, rest: str = "") -> str:
    expect_text("channel", name)
    return f"/channels/{quote(name, safe='')}{rest}"


def _nothing(_: object) -> None:
    return None


def _trace(traceparent: str | None, tracestate: str | None) -> dict[str, str]:
    """The headers of a W3C trace context. Raises ``ValueError`` for text that no header can carry (RFC 9110, 5.5)."""
    given = {"traceparent": traceparent, "tracestate": tracestate}
    headers = {
        name: value.strip() if isinstance(value, str) else value for name, value in given.items() if value is not None
    }
    expect_trace(headers.get("traceparent"), headers.get("tracestate"))
    for name, value in headers.items():
        if not _HEADER.fullmatch(value):
            raise ValueError(f"{name}: {value!r} has characters other than those of a header; give printable ASCII")
    return headers


def broadcast(  # noqa: PLR0913
    channel: str,
    event: str,
    data: object,
    id: str | None,
    sender: str | None,
    audience: Mapping[str, Any] | None,
    priority: int,
    encryption: Encryption | None,
    traceparent: str | None,
    tracestate: str | None,
) -> Call[str]:
    """Publish. It always has an id, so that repeating it is harmless."""
    expect_text("event", event)
    expect_optional_text("id", id)
    body: dict[str, Any] = {"event": event, "id": id or str(uuid.uuid4())}
    body["data"] = data if encryption is None else encryption.encrypt(channel, event, data)
    optional = {"sender": sender, "audience": audience, "priority": priority or None}
    body |= {name: value for name, value in optional.items() if value is not None}
    trace = _trace(traceparent, tracestate)
    return Call("POST", _channel(channel, "/broadcast"), lambda raw: str(raw["id"]), body, headers=trace)


def broadcast_widely(  # noqa: PLR0913
    event: str,
    data: object,
    users: Sequence[str] | None,
    channels: Sequence[str] | None,
    sender: str | None,
    audience: Mapping[str, Any] | None,
    traceparent: str | None,
    tracestate: str | None,
) -> Call[None]:
    """To all connections, to users or to several channels. Has no id: repeating would deliver it twice."""
    expect_text("event", event)
    body = {"event": event, "data": data, "users": users, "channels": channels, "sender": sender, "audience": audience}
    given = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/broadcast", _nothing, given, repeatable=False, headers=_trace(traceparent, tracestate))


def presence(channel: str) -> Call[Presence]:
    """The present users."""
    return Call("GET", _channel(channel, "/presence"), _read_presence)


def _read_presence(raw: Any) -> Presence:
    return Presence(tuple(map(User.of, raw["users"])), raw["count"])


def kick(channel: str, user_id: str, reason: str | None) -> Call[int]:
    """Remove a user."""
    expect_text("user_id", user_id)
    body = {"userId": user_id} if reason is None else {"userId": user_id, "reason": reason}
    return Call("POST", _channel(channel, "/kick"), lambda raw: int(raw["connections"]), body)


def history(channel: str, before: str | None, limit: int) -> Call[HistoryPage]:
    """A page of messages."""
    params: dict[str, Any] = {"limit": limit} if before is None else {"limit": limit, "before": before}
    return Call("GET", _channel(channel, "/messages"), HistoryPage.of, params=params)


def connections(user_id: str | None, after: str | None) -> Call[tuple[list[ConnectionInfo], str | None]]:
    """A page of connections, and where the next one begins."""
    expect_optional_text("user_id", user_id)
    given = {"userId": user_id, "after": after, "limit": _PAGE}
    params = {name: value for name, value in given.items() if value is not None}
    return Call("GET", "/connections", _read_connections, params=params)


def _read_connections(raw: Any) -> tuple[list[ConnectionInfo], str | None]:
    return [ConnectionInfo.of(each) for each in raw["connections"]], raw["next"]


def disconnect(connection_id: str) -> Call[None]:
    """End a connection. Not repeated once it may have arrived: a repeated one would get an error."""
    expect_text("connection_id", connection_id)
    return Call("DELETE", f"/connections/{quote(connection_id, safe='')}", _nothing, repeatable=False)


def disconnect_user(user_id: str) -> Call[int]:
    """End all connections of a user."""
    expect_text("user_id", user_id)
    return Call("DELETE", "/connections", lambda raw: int(raw["count"]), params={"userId": user_id})


def create_room(name: str, settings: Mapping[str, Any]) -> Call[Room]:
    """Make a room."""
    expect_text("channel", name)
    return Call("POST", "/channels", Room.of, {"name": name, **_camel(settings)}, repeatable=False)


def get_room(name: str) -> Call[Room]:
    """Read a room."""
    return Call("GET", _channel(name), Room.of)


def update_room(name: str, settings: Mapping[str, Any]) -> Call[Room]:
    """Change a room."""
    return Call("PATCH", _channel(name), Room.of, _camel(settings))


def close_room(name: str) -> Call[None]:
    """Close a room."""
    return Call("DELETE", _channel(name), _nothing, repeatable=False)


def _camel(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {_SETTINGS.get(name, name): value for name, value in settings.items()}
