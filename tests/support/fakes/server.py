"""A WebSocket end to talk to in tests: uvicorn in this process, with live queries whose events the test makes itself."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.errors import InvalidQueryError, QueryRejectedError
from engine.identity.principal import Principal
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import LiveQuery
from engine.live.query_accounts import ConnectionAccount
from engine.query.explaining import Explanation
from server.app.http_app import make_app
from server.app.uvicorn_http import arrivals
from server.auth.authenticator import AddressAuthenticator, Authenticator
from server.auth.identity import HandshakeRequest, packed_of
from server.client.admission import Admission, Connection
from server.client.credential_watch import CredentialWatch
from server.client.shared import SharedServices
from server.limits.connection_limiter import ConnectionLimiter
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.limits.published_bytes import PublishedBytes
from server.limits.reading_shares import ReadingShare
from server.observe.health import health_routes
from server.observe.meters import Meters
from server.ports.live_queries import LiveEvent, LiveSubscription
from server.session.session import Greeting, Session
from server.transports.http_routes import transport_routes
from server.transports.http_sessions import HttpSessions
from server.transports.websocket.websocket_connection import WebSocketConnection
from server.wire.wires import Wires
from tests.support.fakes.channels import FakeChannels


@dataclass(eq=False)
class Event:
    position: int
    reset: bool
    changes_json: bytes
    error: QueryRejectedError | None = None
    committed_at: int | None = None
    meta: bytes | None = None

    @property
    def delta_json(self) -> bytes:
        return self.changes_json


@dataclass(eq=False)
class FakeLiveSubscription:
    """A subscriber of a list of texts. What it has is remembered while paused, as the live queries do it."""

    source: FakeLiveQueries
    deliver: Callable[[LiveSubscription, LiveEvent], None]
    strategy: str = "incremental"
    reason: str | None = None
    position: int = 1
    epoch: str = "e"
    recovered: bool | None = None
    has: list[str] | None = None
    paused: bool = True
    cancelled: bool = False
    pauses: int = 0

    def begin(self) -> None:
        self.paused = False
        self._bring(reset=True)

    def cancel(self) -> None:
        self.cancelled = True
        self.source.subscriptions.remove(self)

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False
        if self.has != self.source.rows:
            self._bring(reset=False)

    def _bring(self, *, reset: bool) -> None:
        self.has = list(self.source.rows)
        self.deliver(self, Event(self.source.position, reset, json.dumps(self.source.rows).encode()))


@dataclass(eq=False)
class FakeLiveQueries:
    """Live queries over one list; every event carries the whole list."""

    rows: list[str] = field(default_factory=list)
    position: int = 1
    subscriptions: list[FakeLiveSubscription] = field(default_factory=list)
    gate: asyncio.Event | None = None
    queries: list[LiveQuery] = field(default_factory=list)
    awaited: list[LiveSubscription] = field(default_factory=list)

    async def explain(self, query: LiveQuery) -> Explanation:
        return Explanation("select 1", ())

    async def subscribe(
        self,
        principal: Principal,
        collection: str,
        spec: Mapping[str, object],
        deliver: Callable[[LiveSubscription, LiveEvent], None],
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> FakeLiveSubscription:
        if self.gate is not None:
            await self.gate.wait()
        if collection == "none":
            raise InvalidQueryError("there is none")
        subscription = FakeLiveSubscription(self, deliver)
        self.subscriptions.append(subscription)
        return subscription

    async def shown(self, subscriptions: Iterable[LiveSubscription]) -> None:
        self.awaited = list(subscriptions)
        if self.gate is not None:
            await self.gate.wait()

    async def reopen(self, principal: Principal, subscription: FakeLiveSubscription) -> None:
        """All see the same."""

    def change(self, rows: list[str], meta: bytes | None = None) -> None:
        self.position += 1
        self.rows = rows
        event = Event(self.position, False, json.dumps(rows).encode(), meta=meta)
        for subscription in list(self.subscriptions):
            if not subscription.paused:
                subscription.has = rows
                subscription.deliver(subscription, event)

    def end(self, error: QueryRejectedError) -> None:
        for subscription in self.subscriptions:
            subscription.deliver(subscription, Event(self.position, False, b"[]", error))
        self.subscriptions.clear()


class EventServer(uvicorn.Server):
    """Begins and ends by events. uvicorn looks for both its end and its connections' every tenth of a second, which is
    most of the time of a short test.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        async with asyncio.timeout(self.config.timeout_graceful_shutdown):
            while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.002)
            for server in self.servers:
                await server.wait_closed()


@dataclass(eq=False)
class FakeServer:
    """Accepts every connection."""

    lists: FakeLiveQueries
    session_limits: SessionLimits
    connection_limits: ConnectionLimits
    connections: set[Any] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    http_server: EventServer | None = None
    rooms: FakeChannels = field(default_factory=FakeChannels)
    authenticator: Authenticator = field(default_factory=lambda: AddressAuthenticator(trust_user_parameter=True))
    kind: type[WebSocketConnection] = WebSocketConnection
    packed: bool = False
    meters: Meters | None = None
    admitted: int = 0
    limiter: ConnectionLimiter | None = None
    flooding: bool = False
    share: ReadingShare | None = None
    key_watch: CredentialWatch | None = None
    session_watch: CredentialWatch | None = None
    services: SharedServices = field(init=False)

    def __post_init__(self) -> None:
        self.services = SharedServices(
            self.lists,
            self.rooms,
            authenticator=self.authenticator,
            meters=self.meters,
            wires=Wires.make() if self.meters is None else Wires.make(self.meters.stages, self.meters.error),
            key_watch=self.key_watch,
            session_watch=self.session_watch,
            published=PublishedBytes(1 << 40),
        )

    @property
    def message_hard_cap(self) -> int:
        return self.connection_limits.message_hard_cap

    def arrivals(self, ip: str) -> None:
        return None

    def floods(self, ip: str) -> bool:
        return self.flooding

    def accept(self, handshake: HandshakeRequest) -> WebSocketConnection:
        packed = self.packed or packed_of(handshake)
        connection = self.kind(self.admit(handshake, "websocket"), self.closed, packed=packed)
        self.accepted(connection)
        return connection

    def admit(self, handshake: HandshakeRequest, transport: str, secret: str | None = None) -> Admission:
        principal = self.authenticator.identify(handshake)
        self.admitted += 1
        name = "test" if self.admitted == 1 else f"test-{self.admitted}"
        id = handshake.query.get("connection", name)
        session = Session(id, self.session_limits, Greeting(secret=secret))
        counted = None
        if self.limiter is not None:
            counted = self.limiter.enter(id, handshake.ip, None if principal is None else principal.user_id)
        limits = self.connection_limits
        return Admission(session, handshake, transport, self.services, limits, principal, counted, self.share)

    def accepted(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.changed.set()

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.changed.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; looked at when a connection comes or goes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def left_alone(self) -> None:
        """Wait until no connection is left."""
        await self.until(lambda: not self.connections)

    def connect(self, query: str = "", **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/realtime{query}", **options)


@asynccontextmanager
async def fake_server(
    session_limits: SessionLimits | None = None,
    connection_limits: ConnectionLimits | None = None,
    lists: FakeLiveQueries | None = None,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[FakeServer]:
    session_limits, connection_limits = session_limits or SessionLimits(), connection_limits or ConnectionLimits()
    server = FakeServer(lists or FakeLiveQueries(), session_limits, connection_limits, **options)
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    config = uvicorn.Config(
        make_app(health_routes(lambda: {"status": "ok"}), transport_routes(HttpSessions(server, 30.0), ("*",))),
        http=arrivals(server),
        ws="none",
        lifespan="off",
        log_config=None,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        timeout_graceful_shutdown=60,
    )
    server.http_server = EventServer(config)
    task = asyncio.create_task(server.http_server._serve([listener]))
    try:
        yield server
    finally:
        server.http_server.ended.set()
        await task


async def send(socket: ClientConnection, message: object) -> None:
    await socket.send(json.dumps(message))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 60))
    return message


async def subscribe(socket: ClientConnection, id: str = "q", collection: str = "list") -> None:
    await send(socket, {"type": "subscribe", "channel": f"db:collection:{collection}", "id": id})


async def closed_after(doing: Coroutine[Any, Any, None]) -> int:
    """The code with which the server closes the connection while ``doing`` goes on."""
    with pytest.raises(ConnectionClosed) as closed:
        await doing
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def receive_to_the_end(client: ClientConnection) -> None:
    while True:
        await receive(client)
