"""Whether a bearer token of a REST request is a server's key, a user's token, or of no concern."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from server.auth.api_keys import KeyRing
from server.http.problems import ProblemError
from server.rest import ENDPOINTS
from server.rest.access import Access, Tokens

KEY = "correct.horse.battery"
LISTING = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "listConnections")
OF_CLIENTS = next(endpoint for endpoint in ENDPOINTS if endpoint.clients is not None)


def request(bearer: str, *more: tuple[bytes, bytes]) -> Request:
    headers = [(b"host", b"localhost:8000"), (b"authorization", f"Bearer {bearer}".encode()), *more]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }
    )


@pytest.mark.parametrize(
    ("tokens", "key", "bearer", "found"),
    [
        (Tokens.NONE, None, "opaque", "server"),  # a proxy's, on a server that accepts no tokens
        (Tokens.JWT, None, "opaque", "client"),
        (Tokens.ANY, None, "opaque", "client"),
        (Tokens.NONE, KEY, "opaque", "refused"),
        (Tokens.JWT, KEY, "opaque", "refused"),
        (Tokens.JWT, KEY, "a.b.c", "client"),
        (Tokens.ANY, KEY, KEY + "y", "refused"),  # mistyped: no token that a webhook is asked about
        (Tokens.JWT, KEY, KEY, "server"),
        (Tokens.ANY, KEY, KEY, "server"),
    ],
)
def test_a_token_that_the_server_accepts_makes_the_request_a_clients(
    tokens: Tokens, key: str | None, bearer: str, found: str
) -> None:
    access = Access(key, KeyRing(), tokens=tokens)
    if found == "refused":
        with pytest.raises(ProblemError, match="this needs the header Authorization"):
            access.check(request(bearer), LISTING.scope)
        return
    handshake = access.check(request(bearer), LISTING.scope)
    assert (None if handshake is None else handshake.token) == (bearer if found == "client" else None)


def test_beside_a_rest_key_any_text_is_a_token_with_the_header_that_a_client_alone_sends() -> None:
    access = Access(KEY, KeyRing(), tokens=Tokens.ANY)
    for endpoint in (OF_CLIENTS, LISTING):
        handshake = access.check(
            request("opaque", (b"apikey", b"pk_000000000000_1")), endpoint.scope, clients=endpoint.clients is not None
        )
        assert handshake is not None
        assert handshake.token == "opaque"


def test_a_mistyped_rest_key_is_no_token_on_the_endpoints_of_clients_either() -> None:
    access = Access(KEY, KeyRing(), tokens=Tokens.ANY)
    for mistyped in (KEY + "y", KEY[:-1], KEY.upper(), "another"):
        with pytest.raises(ProblemError, match="this needs the header Authorization"):
            access.check(request(mistyped), OF_CLIENTS.scope, clients=True)


def test_beside_a_rest_key_a_jwt_is_a_token_by_its_form() -> None:
    access = Access(KEY, KeyRing(), tokens=Tokens.ANY)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    handshake = access.check(request(token), OF_CLIENTS.scope, clients=True)
    assert handshake is not None
    assert handshake.token == token


@pytest.mark.parametrize(
    ("origin", "judged"),
    [
        ("http://localhost:8000", None),
        ("https://localhost:8000", None),  # a proxy in front has TLS
        ("http://localhost:8001", "http://localhost:8001"),
        ("https://evil.example", "https://evil.example"),
        ("null", "null"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_a_page_of_the_server_itself_may_use_a_token_and_other_pages_are_judged_by_their_origin(
    origin: str, judged: str | None
) -> None:
    access = Access(None, KeyRing(), tokens=Tokens.JWT)
    handshake = access.check(request("a.b.c", (b"origin", origin.encode())), LISTING.scope)
    assert handshake is not None
    assert handshake.origin == judged
