"""The definition of an endpoint: one source for serving it and for describing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers

from engine.identity.principal import Principal
from engine.postgres.statements.named_queries import query
from engine.tracing.context import TRACEPARENT, TRACESTATE, TraceContext, parse_context
from server.auth.authorizer import Action, Circumstances
from server.client.shared import SharedServices
from server.ports.channels import Member
from server.protocol.error_codes import ErrorCode
from server.rules.explain import Explanation

__all__ = ["MAX_NAME", "Answer", "Call", "ClientCall", "Endpoint", "NoQuery", "ServedNode", "shown", "trace_context"]

MAX_NAME: Final = 255
"""Characters of a name in a path, as of a channel's in a message."""

_Model = TypeVar("_Model", bound=BaseModel)
Answer = BaseModel | Mapping[str, object] | None
"""The result of a handler: the described model, the same as a mapping made by :func:`shown`, or None."""


class NoQuery(BaseModel):
    """Of an endpoint that has no parameters: one that is given is a mistake, and is not ignored."""

    model_config = ConfigDict(extra="forbid")


def shown(model: type[BaseModel], row: Mapping[str, object]) -> dict[str, object]:
    """A row as ``model`` describes it. Not validated: rows that other programs wrote are shown as they are."""
    return {field.serialization_alias or name: row[name] for name, field in model.model_fields.items()}


def trace_context(headers: Headers) -> TraceContext | None:
    """The trace context of a request; None without a valid one. Several ``traceparent`` are none."""
    parents = headers.getlist(TRACEPARENT)
    return parse_context(parents[0], ",".join(headers.getlist(TRACESTATE))) if len(parents) == 1 else None


class ServedNode(Protocol):
    """What the API uses of a running node besides its database."""

    @property
    def services(self) -> SharedServices:
        """What its clients share. Raises ``HandshakeRejectedError`` before the start and at the end."""

    async def explain(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Explanation:
        """What the rules decide, and why. Raises ``UnavailableError``."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked. ``raw``: the body's fields as the JSON text they came in. ``recorded`` waits until the
    messages committed by now can be read back.
    """

    connection: psycopg.AsyncConnection[DictRow]
    path: Mapping[str, str]
    query: BaseModel | None
    body: BaseModel | None
    raw: Mapping[str, bytes]
    recorded: Callable[[], Awaitable[None]]
    node: ServedNode | None

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """Run the named query; returns its rows, with ``jsonb`` as the text it is (``orjson.Fragment``)."""
        cursor = await self.connection.execute(query(name).encode(), parameters)
        return await cursor.fetchall()

    def query_as(self, model: type[_Model]) -> _Model:
        """The query parameters."""
        assert isinstance(self.query, model)
        return self.query

    def body_as(self, model: type[_Model]) -> _Model:
        """The body."""
        assert isinstance(self.body, model)
        return self.body


@dataclass(frozen=True, slots=True)
class ClientCall:
    """One request of a client, checked. ``raw``: the body's fields as the JSON text they came in; ``context``: its trace."""

    services: SharedServices
    principal: Principal
    member: Member
    path: Mapping[str, str]
    raw: Mapping[str, bytes]
    context: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``path`` is below ``/realtime``; ``{name}`` stands for one segment of it. ``problems``: codes it may answer with;
    ``conflict``: when it answers 409; ``scope``: what an API key must have. ``clients``: answers
    clients, who come with a publishable key or a user's token; None: it is for servers alone.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Call], Awaitable[Answer]]
    description: str = ""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: HTTPStatus = HTTPStatus.OK
    problems: tuple[ErrorCode, ...] = ()
    conflict: str = ""
    scope: str = field(kw_only=True)
    clients: Callable[[ClientCall], Awaitable[Answer]] | None = None
    segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.path.strip("/").split("/")))

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The path's parameters if it is this endpoint's path, else None."""
        if len(segments) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for wanted, given in zip(self.segments, segments, strict=True):
            if wanted.startswith("{"):
                found[wanted[1:-1]] = given
            elif wanted != given:
                return None
        return found
