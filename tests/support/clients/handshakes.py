"""What a server answers to a handshake with a token or an API key, on any transport."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any, Protocol

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.clients.transports import SocketClient
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["answer_of"]


class Served(Protocol):
    """A server in this process or another."""

    @property
    def url(self) -> str: ...


def sent(way: str, text: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters and the headers that carry a token."""
    if text is None:
        return {}, {}
    if way == "subprotocol":
        wrapped = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return {}, {"Sec-WebSocket-Protocol": f"bunbase, bunbase.token.{wrapped}"}
    return ({"token": text}, {}) if way == "address" else ({}, {"Authorization": f"Bearer {text}"})


async def answer_of(
    server: Served, transport: str, text: str | None, way: str = "header", *, key: str | None = None, key_in: str = ""
) -> dict[str, Any]:
    """The greeting, or the error with the close code or HTTP status as ``status``. ``key``: an API key, in a header or in
    the address.
    """
    parameters, headers = sent(way, text)
    if key is not None:
        (headers if key_in == "header" else parameters)["apikey"] = key
    if transport in ("websocket", "msgpack"):
        parameters |= {"format": "msgpack"} if transport == "msgpack" else {}
        address = f"{server.url.replace('http', 'ws')}/realtime?{httpx.QueryParams(parameters)}"
        offered = [Subprotocol(each) for each in headers.pop("Sec-WebSocket-Protocol", "").split(", ") if each]
        async with connect(
            address, additional_headers=headers, subprotocols=offered or None, open_timeout=GIVE_UP_AFTER
        ) as socket:
            client = SocketClient(socket, packed=transport == "msgpack")
            first = await client.next()
            return first if first["type"] == "connected" else first | {"status": (await client.next())["code"]}
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER, headers=headers) as http:
        if transport == "poll":
            answer = await http.post("/poll", json={}, params=parameters)
            if answer.status_code == 200:
                greeting: dict[str, Any] = answer.json()["messages"][0]
                await http.request("DELETE", "/session", json={"session": greeting["session"]})
                return greeting
        else:
            answer = await http.send(http.build_request("GET", "/sse", params=parameters), stream=True)
            if answer.status_code == 200:
                lines = answer.aiter_lines()
                data = [line async for line in _until_data(lines)][-1]
                await answer.aclose()
                return dict(json.loads(data.removeprefix("data: ")))
            await answer.aread()
    problem = answer.json()
    assert answer.headers.get("www-authenticate") == 'Bearer realm="realtime"' or answer.status_code != 401
    return {"type": "error", "code": problem["code"], "message": problem["detail"], "status": answer.status_code}


async def _until_data(lines: Any) -> Any:
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return
