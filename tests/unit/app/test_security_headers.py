"""Every answer of the server has the security headers: pages, files, the API, the transports, and each error."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from itertools import chain, product
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from server import dashboard, demo
from server.app.http_app import make_app
from server.browser_sdk.routes import sdk_routes
from server.http.pages import SHARED
from server.http.security_headers import SECURITY_HEADERS
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.observe.health import health_routes
from server.rest import ENDPOINTS
from server.transports.http_routes import transport_routes
from server.transports.http_sessions import HttpSessions
from tests.support.fakes.server import FakeLiveQueries, FakeServer, fake_server
from tests.support.servers.rest_api import rest_over

NOWHERE = "postgresql://127.0.0.1:9/nothing"
STATIC = (Path(dashboard.__file__).parent / "static", Path(demo.__file__).parent / "static", SHARED)
PAGES = ("/", "/dashboard", "/realtime/docs")


def check(headers: Mapping[str, str], where: str) -> None:
    policy = headers["content-security-policy"]
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert directive in policy, where
    assert "unsafe" not in policy, where
    for name, value in SECURITY_HEADERS:
        if name != b"content-security-policy":
            assert headers[name.decode()] == value.decode(), (where, name)


async def failing(request: Request) -> Response:
    raise ZeroDivisionError


def all_routes() -> list[BaseRoute]:
    """Those of ``realtime dev``, which has the most, and one whose handler has a fault."""
    sessions = HttpSessions(FakeServer(FakeLiveQueries(), SessionLimits(), ConnectionLimits()), 30.0)
    own = transport_routes(sessions, ("*",))
    return [
        Route("/fault", failing),
        *own,
        *sdk_routes(),
        *dashboard.dashboard_routes(),
        *demo.routes(NOWHERE),
        rest_over(NOWHERE).mount,
    ]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(health_routes(lambda: {"status": "ok"}), all_routes())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


def addresses() -> list[str]:
    """The path of each route, each file below the mounted folder, each endpoint of the API, and some that are nothing."""
    paths = ["/health", "/realtime", "/realtime/docs", "/realtime/openapi.json", "/nothing", "/realtime/nothing"]
    for route in all_routes():
        match route:
            case Mount(app=StaticFiles(directory=folder), path=mounted):
                assert folder is not None
                paths += [f"{mounted}/{p.relative_to(folder)}" for p in Path(folder).rglob("*") if p.is_file()]
                paths += [f"{mounted}/nothing.js"]
            case Mount(path="/realtime"):
                paths += [f"/realtime{each.path}" for each in ENDPOINTS]
            case Route(path=path):
                paths.append(path)
            case _:
                raise AssertionError(f"{route} is a kind of route that this test does not ask")
    return sorted(set(paths))


async def test_every_route_and_every_method_has_the_security_headers(client: httpx.AsyncClient) -> None:
    asked = [(method, path) for path in addresses() for method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")]
    statuses = set()
    for method, path in asked:
        if (method, path) == ("GET", "/realtime/sse"):
            continue  # an endless answer: asked over a socket below
        answer = await client.request(method, path)
        check(answer.headers, f"{method} {path} {answer.status_code}")
        statuses.add(answer.status_code)
    assert statuses >= {200, 400, 404, 405, 415, 426, 500, 503}


async def test_answers_over_a_socket_have_them_too() -> None:
    async with fake_server() as server, httpx.AsyncClient(base_url=server.url) as http, asyncio.timeout(60):
        async with http.stream("GET", "/realtime/sse") as stream:
            assert stream.status_code == 200
            check(stream.headers, "an event stream")
        poll = await http.post("/realtime/poll", json={}, headers={"Origin": "https://elsewhere.example"})
        check(poll.headers, "a poll")
        assert poll.headers["access-control-allow-origin"] == "*"  # who may read by CORS still does
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"no http\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        lines = [line.partition(": ") for line in head]
        check(httpx.Headers([(name, value) for name, _, value in lines]), "input that is no HTTP")
        writer.close()


async def test_pages_run_no_script_of_others_and_make_no_markup_from_text(client: httpx.AsyncClient) -> None:
    for page in PAGES:
        answer = await client.get(page)
        policy = answer.headers["content-security-policy"]
        assert "require-trusted-types-for 'script'" in policy
        assert "trusted-types 'none'" in policy
        style = answer.text.partition("<style>")[2].partition("</style>")[0]
        if style:
            assert f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy


def test_no_page_of_ours_makes_markup_from_text() -> None:
    """Also where a browser does not know Trusted Types."""
    markup = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(")
    for script in chain.from_iterable(folder.rglob("*.js") for folder in STATIC):
        text = script.read_text()
        assert not [way for way in markup if way in text], script


async def test_no_answer_leads_to_the_host_that_a_request_names(client: httpx.AsyncClient) -> None:
    """An address with a slash too many or too few is none: the answer is no redirect, least of all to that host."""
    async with asyncio.timeout(60):
        for path in sorted({each.rstrip("/") for each in addresses()} - {""}):
            for method, spelling in product(("GET", "POST"), (path, f"{path}/", f"{path}//")):
                if (method, spelling) == ("GET", "/realtime/sse"):
                    continue  # an endless answer
                answer = await client.request(method, spelling, headers={"Host": "evil.example"})
                assert not answer.is_redirect, (method, spelling)
                assert "evil.example" not in str(answer.headers), (method, spelling)
        assert (await client.get("/health/")).status_code == 404
