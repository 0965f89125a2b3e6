"""The same client over each transport: what it sends and receives is alike, whatever carries it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from tests.support.servers.processes import GIVE_UP_AFTER

TRANSPORTS = ("websocket", "msgpack", "sse", "poll")
Message = dict[str, Any]
_LAST = ("close", "end")


class TransportClient:
    """A client that keeps what it receives. A close is received as a last message of the type ``close``."""

    connected: Message

    def __init__(self) -> None:
        self.received: list[Message] = []

    async def send(self, **message: object) -> None:
        raise NotImplementedError

    async def next(self) -> Message:
        """The next message, as it comes."""
        raise NotImplementedError

    async def leave(self) -> None:
        """End the connection on purpose."""
        raise NotImplementedError

    async def close(self) -> None:
        """Break the connection, or send nothing more."""
        raise NotImplementedError

    async def burst(self, *messages: Message) -> None:
        """Send all of it at once, whatever comes of it."""
        raise NotImplementedError

    async def receive(self, *kinds: str) -> Message:
        """The next message of one of these kinds; of any kind if none is given. Others are kept for later."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                for place, message in enumerate(self.received):
                    if not kinds or message["type"] in kinds:
                        return self.received.pop(place)
                message = await self.next()
                self.received.append(message)
                assert not kinds or message["type"] in kinds or message["type"] not in _LAST, message

    async def join(self, channel: str = "chat:1", **options: object) -> Message:
        await self.send(type="subscribe", channel=channel, **options)
        return await self.receive("subscribed", "error")

    async def ask(self, **message: object) -> Message:
        await self.send(**message)
        return await self.receive("ack", "error")


class SocketClient(TransportClient):
    """JSON in text frames, or MessagePack in binary ones."""

    def __init__(self, socket: ClientConnection, *, packed: bool) -> None:
        super().__init__()
        self.socket = socket
        self.packed = packed

    async def send(self, **message: object) -> None:
        await self.socket.send(msgspec.msgpack.encode(message) if self.packed else json.dumps(message))

    async def burst(self, *messages: Message) -> None:
        with suppress(ConnectionClosed):
            for message in messages:
                await self.send(**message)

    async def next(self) -> Message:
        try:
            data = await self.socket.recv()
        except ConnectionClosed:
            return {"type": "close", "code": self.socket.close_code, "reason": self.socket.close_reason}
        assert isinstance(data, bytes) == self.packed
        message: Message = msgspec.msgpack.decode(data) if isinstance(data, bytes) else json.loads(data)
        return message

    async def leave(self) -> None:
        await self.socket.close(CloseCode.NORMAL_CLOSURE)

    async def close(self) -> None:
        await self.socket.close(CloseCode.GOING_AWAY)


class EventStreamClient(TransportClient):
    """An event stream, and requests to send. ``last_id`` is what an ``EventSource`` would remember."""

    def __init__(self, http: httpx.AsyncClient, response: httpx.Response) -> None:
        super().__init__()
        self.http = http
        self.response = response
        self.lines = response.aiter_lines()
        self.last_id = ""
        self.batches = 0

    async def send(self, **message: object) -> None:
        await self.post(message)

    async def burst(self, *messages: Message) -> None:
        await self.http.post("/send", json={"session": self.connected["session"], "messages": messages})

    async def post(self, *messages: Message) -> None:
        self.batches += 1
        body = {"session": self.connected["session"], "seq": self.batches, "messages": messages}
        answer = await self.http.post("/send", json=body)
        assert (answer.status_code, answer.json()) == (202, {"seq": self.batches}), answer.text

    async def next(self) -> Message:
        kind, data = "", ""
        async for line in self.lines:
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data = value
            elif name == "id":
                self.last_id = value
            elif not line and data:
                message: Message = json.loads(data)
                assert message["type"] == kind
                return message
        return {"type": "end"}

    async def leave(self) -> None:
        await end_session(self.http, self.connected["session"])

    async def close(self) -> None:
        await self.response.aclose()


class PollingClient(TransportClient):
    """Long polling, its messages sent with the polls."""

    def __init__(self, http: httpx.AsyncClient, secret: str, cursor: int) -> None:
        super().__init__()
        self.http = http
        self.secret = secret
        self.cursor = cursor
        self.batches = 0
        self.waiting: list[Message] = []

    async def send(self, **message: object) -> None:
        await self.poll(message)

    async def burst(self, *messages: Message) -> None:
        await self.poll(*messages)

    async def next(self) -> Message:
        while not self.waiting:
            await self.poll()
        return self.waiting.pop(0)

    async def poll(self, *messages: Message) -> None:
        body: Message = {"session": self.secret, "cursor": self.cursor, "timeout": 0 if messages else 20_000}
        if messages:
            self.batches += 1
            body |= {"seq": self.batches, "messages": messages}
        answer = await self.http.post("/poll", json=body)
        assert answer.status_code == 200, answer.text
        self.cursor = answer.json()["cursor"]
        self.waiting += answer.json()["messages"]

    async def leave(self) -> None:
        await end_session(self.http, self.secret)

    async def close(self) -> None:
        pass  # a client that polls no more is closed by the server some time later


@asynccontextmanager
async def transport_client(url: str, transport: str, **parameters: str) -> AsyncIterator[TransportClient]:
    """A client that has been greeted. ``url``: the server's."""
    parameters |= {"format": "msgpack"} if transport == "msgpack" else {}
    async with httpx.AsyncClient(base_url=f"{url}/realtime", timeout=GIVE_UP_AFTER) as http:
        target = await _opened(http, url, transport, parameters)
        try:
            target.connected = await target.receive("connected")
            yield target
        finally:
            await target.close()


async def _opened(http: httpx.AsyncClient, url: str, transport: str, parameters: dict[str, str]) -> TransportClient:
    if transport == "poll":
        answer = await http.post("/poll", params=parameters, json={})
        assert answer.status_code == 200, answer.text
        first = answer.json()
        target = PollingClient(http, first["session"], first["cursor"])
        target.waiting = first["messages"]
        return target
    if transport == "sse":
        return EventStreamClient(http, await open_stream(http, params=parameters))
    address = f"{url.replace('http', 'ws', 1)}/realtime?{urlencode(parameters)}"
    return SocketClient(
        await connect(address, max_size=None, open_timeout=GIVE_UP_AFTER), packed=transport == "msgpack"
    )


async def end_session(http: httpx.AsyncClient, secret: str) -> None:
    await http.request("DELETE", "/session", json={"session": secret})


async def open_stream(http: httpx.AsyncClient, **options: Any) -> httpx.Response:
    response = await http.send(http.build_request("GET", "/sse", **options), stream=True)
    assert response.status_code == 200, await response.aread()
    assert response.headers["content-type"].startswith("text/event-stream")
    return response
