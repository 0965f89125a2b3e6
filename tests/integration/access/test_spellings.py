"""Other spellings of an address, other methods and headers of proxies: none leads to a handler past the gate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence

from server.rest import ENDPOINTS
from tests.integration.access.conftest import Judged
from tests.integration.access.test_rest_requests import SAMPLES
from tests.support.servers.processes import GIVE_UP_AFTER

REFUSED = {400, 401, 403, 404, 405, 414, 426}
AT_ONCE = 16


def spellings(path: str) -> Iterator[str]:
    """Of ``/realtime/…``: each is the same resource to some proxy or server."""
    rest = path.removeprefix("/realtime")
    last = path.rpartition("/")[2]
    yield path
    yield "/" + path
    yield f"/.{path}"
    yield f"/x/..{path}"
    yield f"/realtime/.{rest}" if rest else "/realtime/."
    yield f"/realtime/{rest}"
    yield f"/realtime/x/..{rest}"
    yield path + "/"
    yield path + "/."
    yield path + "//"
    yield path + ";x=1"
    yield path + "%2f"
    yield path + "%00"
    yield path + "%3f"
    yield path + "?"
    yield path + "?/health"
    yield path + "#x"
    yield path.replace("/", "%2f")
    yield path.replace("/", "\\")
    yield f"/realtime%2f{rest[1:]}"
    yield f"/%72ealtime{rest}"
    yield path.removesuffix(last) + f"%{ord(last[0]):02x}{last[1:]}"
    yield path.removesuffix(last) + f"%25{ord(last[0]):02x}{last[1:]}"
    yield path.upper()
    yield path.title()
    yield f"http://127.0.0.1{path}"
    yield f"http://evil.example/health/..{path}"
    yield f"HTTPS://user@localhost{path}"
    yield f"/health/..{path}"
    yield f"/health{path}"
    yield f"/realtime/docs/..{rest}"


async def status_of(port: int, method: str, target: str, *lines: str, body: str = "") -> int:
    """The status of the answer to a request with this target, to the letter; 0: closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", body]).encode("latin-1"))
    first = await reader.readline()
    writer.close()
    return int(first.split()[1]) if first else 0


async def statuses(port: int, requests: Sequence[tuple[str, ...]]) -> list[int]:
    """Of requests as ``status_of`` takes them, with the body as the last one; some at once."""
    some = asyncio.Semaphore(AT_ONCE)

    async def ask(method: str, target: str, *rest: str) -> int:
        async with some:
            return await status_of(port, method, target, *rest[:-1], body=rest[-1])

    async with asyncio.timeout(2 * GIVE_UP_AFTER):
        return await asyncio.gather(*(ask(*request) for request in requests))


async def test_no_spelling_of_a_rest_address_reaches_its_handler_without_a_key(judged: Judged) -> None:
    requests: list[tuple[str, ...]] = []
    for endpoint in ENDPOINTS:
        sample = SAMPLES[endpoint.name]
        path = f"/realtime{endpoint.path}".format(**sample.path)
        query = "&".join(f"{name}={value}" for name, value in sample.query.items())
        body = "" if sample.body is None else json.dumps(sample.body)
        for spelling in spellings(path):
            target = f"{spelling}?{query}" if query and "?" not in spelling else spelling
            requests.append((endpoint.method, target, body))
        requests += [
            (endpoint.method, "/health", f"X-Original-URL: {path}", f"X-Rewrite-URL: {path}", body),
            (
                endpoint.method,
                path,
                "X-Forwarded-For: 127.0.0.1",
                "X-Real-IP: 127.0.0.1",
                "Forwarded: for=127.0.0.1",
                body,
            ),
            (endpoint.method, path, "X-HTTP-Method-Override: GET", "X-Forwarded-Prefix: /health", body),
            (endpoint.method, path, "Authorization: Bearer", "apikey: ", body),
            (endpoint.method, path, "Authorization: Basic dTpw", body),
        ]
    found = await statuses(judged.server.port, requests)
    reached = [(request, status) for request, status in zip(requests, found, strict=True) if status not in REFUSED]
    assert [each for each in reached if each[0][1] != "/health"] == []
    assert {status for request, status in reached} <= {200}, "the health is open, and is the health"


async def test_no_spelling_of_a_transports_address_opens_a_session_with_a_refused_token(judged: Judged) -> None:
    refused = f"Authorization: Bearer {judged.credentials['expired'].token}"
    requests: list[tuple[str, ...]] = [
        (method, spelling, refused, body)
        for method, path, body in (("GET", "/realtime/sse", ""), ("POST", "/realtime/poll", "{}"))
        for spelling in spellings(path)
    ]
    requests += [
        (method, "/realtime/sse", refused, "") for method in ("HEAD", "OPTIONS", "POST", "PUT", "TRACE", "FOO")
    ]
    requests += [(method, "/realtime/poll", refused, "{}") for method in ("GET", "PUT", "get", "PoSt")]
    found = await statuses(judged.server.port, requests)
    assert [each for each in zip(requests, found, strict=True) if each[1] not in REFUSED] == []
    assert found.count(401) >= 2


async def test_no_spelling_of_the_sockets_address_lets_in_a_refused_token(judged: Judged) -> None:
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {judged.credentials['expired'].token}",
    )
    accepted = []
    async with asyncio.timeout(2 * GIVE_UP_AFTER):
        for spelling in spellings("/realtime"):
            reader, writer = await asyncio.open_connection("127.0.0.1", judged.server.port)
            writer.write(
                "\r\n".join([f"GET {spelling} HTTP/1.1", "Host: localhost", *upgrade, "", ""]).encode("latin-1")
            )
            status = int((await reader.readline()).split()[1])
            assert status in REFUSED | {101, 200}, spelling  # 200: /health
            if status == 101:
                accepted.append(spelling)
                sent = await reader.readuntil(b'"code":"RT_002"')
                assert b'"connected"' not in sent, spelling
            writer.close()
    assert "/realtime" in accepted
