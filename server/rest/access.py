"""Access to the REST API: with the server's rest_key or a secret API key; without the former, also from this machine.

The API is for servers: it reads and writes everything. A request through a proxy looks as if it came from this machine, so
without a key such requests are refused, and so are requests that another web site could have made a browser on this
machine send. A request with a user's token or a publishable key is a client's, wherever it comes from; that of an
administrator may do what a secret key may.
"""

from __future__ import annotations

import hmac
import re
from enum import Enum
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from server.auth.api_keys import READER, KeyRing, looks_like_key
from server.auth.identity import API_KEY, HandshakeRequest
from server.auth.refusal import AuthenticationError
from server.http.cross_site import is_own_page
from server.http.own_requests import why_not_local
from server.http.problems import CHALLENGE, ProblemError
from server.protocol.error_codes import ErrorCode

__all__ = ["NOT_AN_OPERATOR", "Access", "Tokens"]

NOT_AN_OPERATOR: Final = (
    "this is for operators, with a secret API key or an administrator's token; yours has no rights here"
)
"""What a client is answered that asks for more than clients may."""

_JWT: Final = re.compile(r"e[wy][\w-]+\.[\w-]+\.[\w-]*", re.ASCII)  # what begins with "{" begins so in base64
_NEEDED: Final = "this needs the header Authorization: Bearer KEY with the server's rest_key or a secret API key"

_OTHER_TOKENS: Final = (
    "a user's token that is no JSON web token needs the header apikey with a publishable key beside it"
)


class Tokens(Enum):
    """The tokens of users that a server accepts."""

    NONE = "none"
    JWT = "JSON web tokens"
    ANY = "any text"


class Access:
    """Lets requests in.

    Args:
        key: a static key, which gives everything; None: there is none, and this machine needs no key.
        ring: the API keys.
        required: this machine needs a key, too.
        tokens: of users, which the server accepts.
    """

    def __init__(self, key: str | None, ring: KeyRing, *, required: bool = False, tokens: Tokens = Tokens.NONE) -> None:
        self._key = key
        self._ring = ring
        self._required = required
        self._tokens = tokens

    @property
    def keyed(self) -> bool:
        """Whether every request needs a key."""
        return self._key is not None or self._required

    @property
    def _needed(self) -> str:
        """What a request without a key, or with a wrong one, lacks."""
        return f"{_NEEDED}; {_OTHER_TOKENS}" if self._tokens is Tokens.ANY and self._key is not None else _NEEDED

    def check(self, request: Request, scope: str, *, clients: bool = False) -> HandshakeRequest | None:
        """None: the request of a server, which may do this. Else that of a client, which has still to be authenticated, and
        may turn out to be an administrator.

        ``scope``: what a secret key needs for it; ``clients``: clients may ask for it, too.

        Raises ``ProblemError`` if the request is refused, ``RealtimeError`` if it cannot be judged now.
        """
        key, token = self._given(request)
        if token is not None:
            return _handshake(request, token, key)
        if key is None and self.keyed:
            raise _refused(self._needed)
        if key is None:
            self._check_local(request)
        elif not self._is_own(key) and not self._check_key(request, key, scope, clients=clients):
            return _handshake(request, None, key)
        return None

    def _given(self, request: Request) -> tuple[str | None, str | None]:
        """The key and the token of a request: one of them, or a token with the publishable key of its application.

        Bearer tokens that this server has no use for may be those of a proxy.
        """
        if any(name in request.query_params for name in (API_KEY, "token")):
            raise _refused(
                "REST takes no key and no token from the address, where proxies log it: send it in a header, and revoke it"
            )
        schemes = [each.partition(" ") for each in request.headers.getlist("authorization")]
        bearer = [text.strip() for scheme, _, text in schemes if scheme.lower() == "bearer"]
        keys = request.headers.getlist(API_KEY)
        tokens = [each for each in bearer if self._is_token(each, of_client=bool(keys))]
        keys += [each for each in bearer if each not in tokens and (self._key is not None or looks_like_key(each))]
        if len(keys) > 1 or len(tokens) > 1 or (tokens and any(not each.startswith("pk_") for each in keys)):
            raise ProblemError(
                ErrorCode.INVALID_MESSAGE,
                "one key is accepted, in the header Authorization or in the header apikey; or a user's token, with the "
                "publishable key of its application",
            )
        return (keys[0] if keys else None), (tokens[0] if tokens else None)

    def _is_token(self, text: str, *, of_client: bool) -> bool:
        """Whether a bearer token is meant to be a user's. Beside a rest_key a JWT is known by its form, and other texts by
        the header that a client alone sends (``of_client``): a mistyped rest_key must not travel to a handler of tokens,
        whichever endpoint it was meant for.
        """
        if self._tokens is Tokens.NONE or looks_like_key(text) or self._is_own(text):
            return False
        if self._key is None:
            return True
        if self._tokens is Tokens.ANY:
            return of_client or _JWT.fullmatch(text) is not None
        return text.count(".") == 2  # which this server verifies itself

    def _is_own(self, text: str) -> bool:
        return self._key is not None and hmac.compare_digest(text.encode(), self._key.encode())

    def _check_key(self, request: Request, text: str, scope: str, *, clients: bool) -> bool:
        """Whether it is a server's, which may do this; else it is a client's."""
        try:
            key = self._ring.check(text, _address(request))
        except AuthenticationError as refusal:
            raise _refused(str(refusal) if looks_like_key(text) or self._key is None else self._needed) from refusal
        if not key.secret and not clients:
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED, "a publishable API key has no rights here: this takes a secret one"
            )
        wanted = {scope, READER} if request.method == "GET" else {scope}
        if key.secret and key.scopes is not None and key.scopes.isdisjoint(wanted):
            raise ProblemError(ErrorCode.PERMISSION_DENIED, f"the API key {key.prefix} lacks the scope {scope}")
        return key.secret

    def _check_local(self, request: Request) -> None:
        if (reason := why_not_local(request)) is not None:
            raise ProblemError(ErrorCode.PERMISSION_DENIED, reason, HTTPStatus.FORBIDDEN)


def _handshake(request: Request, token: str | None, key: str | None) -> HandshakeRequest:
    """The request as one that opens a connection, so that the same authenticator judges it.

    A page of this server need not be among ``allowed_origins`` to use a token. One that reaches it under a name of its own
    (DNS rebinding) looks like such a page, but has no token.
    """
    origin = request.headers.get("origin")
    if token is not None and is_own_page(request):
        origin = None
    return HandshakeRequest(origin, dict(request.query_params), _address(request), token, key)


def _address(request: Request) -> str | None:
    return None if request.client is None else request.client.host.partition("%")[0]


def _refused(text: str) -> ProblemError:
    return ProblemError(ErrorCode.AUTHENTICATION_FAILED, text, headers=CHALLENGE)
