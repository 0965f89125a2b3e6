"""The fields of a handshake request with its token, and the principal that its address names: anonymous, or a user if that
is trusted.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from engine.errors import BunbaseError
from engine.identity.principal import Principal
from engine.values.exact_json import exact_decoder
from server.protocol.validation import InvalidMessageError, check_storable

__all__ = [
    "API_KEY",
    "TOKEN_PROTOCOL",
    "WATCH",
    "HandshakeRejectedError",
    "HandshakeRequest",
    "delta_of",
    "handshake_of",
    "packed_of",
    "principal_of",
    "query_of",
]

TOKEN_PROTOCOL: Final = "bunbase.token."
"""How a subprotocol begins that carries a token, in base64url."""

API_KEY: Final = "apikey"
"""The header and the parameter of the address that carry an API key."""

WATCH: Final = "watch"
"""The parameter of the address, ``on``, by which a client of this machine asks to watch the service without a key."""

_NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})  # shared by all connections without
_MAX_USER = 256
_MAX_QUERY = 8192
_Attributes = dict[str, str | int | Decimal | bool | None]
_CLIENT = re.compile(r"[A-Za-z0-9_-]{16,64}")
_attributes: msgspec.json.Decoder[dict[str, Any]] = exact_decoder(dict[str, Any])


class HandshakeRejectedError(BunbaseError):
    """The upgrade is refused with an HTTP status; the text gives the reason. ``headers``: further headers of the answer;
    ``retry_after``: seconds; ``limit``: as of ``RealtimeError``.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(detail)
        self.limit = limit
        self.status = status
        self.headers = headers
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """The fields of an upgrade request.

    ``query``: its parameters, the last one of each name, without the token and the key; ``ip``: the peer's address;
    ``token``: what is to prove the client's identity; ``api_key``: of which application it is. These two appear in no log
    and no error. ``country``: from a header of a trusted proxy; ``opts_out``: the client does not want to be counted.
    ``token_in_address``: the token came there; ``local``: a program of this machine sent the request, or a page of this
    server in a browser of this machine.
    """

    origin: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    ip: str | None = None
    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    country: str | None = None
    opts_out: bool = False
    token_in_address: bool = False
    local: bool = False


def handshake_of(
    origin: str | None,
    parameters: Iterable[tuple[str, str]],
    ip: str | None,
    authorization: Sequence[str],
    protocols: Sequence[str] = (),
    api_keys: Sequence[str] = (),
) -> HandshakeRequest:
    """The handshake with these query parameters, values of the header ``Authorization``, offered subprotocols, and values
    of the header ``apikey``.

    A token is ``Authorization: Bearer TOKEN``; where that header cannot be set, the subprotocol ``bunbase.token.`` and the
    token in base64url; or ``?token=TOKEN``. Other schemes are of a proxy, and ignored. An API key is
    the header ``apikey`` or ``?apikey=KEY``. Raises ``HandshakeRejectedError`` for more than one token (RFC 6750, 2: one
    method only) or key.
    """
    given = list(parameters)
    query: Mapping[str, str] = _NO_QUERY
    tokens: list[str] = []
    for each in authorization:
        scheme, _, text = each.partition(" ")
        if scheme.lower() == "bearer":
            tokens.append(text.strip())
    if protocols:
        tokens += [_unwrapped(each) for each in protocols if each.startswith(TOKEN_PROTOCOL)]
    in_address: list[str] = []
    keys = list(api_keys)
    if given:
        query = {name: value for name, value in given if name not in ("token", API_KEY)} or _NO_QUERY
        in_address = [value for name, value in given if name == "token"]
        tokens += in_address
        keys += [value for name, value in given if name == API_KEY]
    if len(tokens) > 1:
        raise HandshakeRejectedError(
            HTTPStatus.BAD_REQUEST,
            "token: one is accepted, in the header Authorization, as a subprotocol or in the address",
        )
    if len(keys) > 1:
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "apikey: one is accepted, as a header or in the address")
    token, key = (tokens[0] if tokens else None), (keys[0] if keys else None)
    return HandshakeRequest(origin, query, ip, token, key, token_in_address=bool(in_address))


def _unwrapped(protocol: str) -> str:
    """The token in a subprotocol. A wrong form becomes a token that is none, which is refused as such."""
    encoded = protocol.removeprefix(TOKEN_PROTOCOL)
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return ""


def query_of(text: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string. Raises ``HandshakeRejectedError`` if they are no text."""
    if not text:
        return []
    if len(text) > _MAX_QUERY:
        raise HandshakeRejectedError(
            HTTPStatus.REQUEST_URI_TOO_LONG, f"the query string is longer than {_MAX_QUERY} bytes"
        )
    try:
        return parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as wrong:
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "the query string is not percent-encoded UTF-8") from wrong


def packed_of(upgrade: HandshakeRequest) -> bool:
    """Whether the client asks for MessagePack (``?format=msgpack``). Raises ``HandshakeRejectedError`` for an unknown
    format.
    """
    format = upgrade.query.get("format", "json")
    if format not in ("json", "msgpack"):
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "format: json or msgpack")
    return format == "msgpack"


def delta_of(handshake: HandshakeRequest) -> bool:
    """Whether changes of live queries are to come as deltas (``?delta=on``)."""
    return handshake.query.get("delta") == "on"


def principal_of(handshake: HandshakeRequest, *, trust_user_parameter: bool) -> Principal:
    """The principal that the address names.

    Args:
        handshake: with ``?client=SECRET``, by which an anonymous client stays the same user when it connects again; with
            ``?user=ID`` and ``&attributes={"team":"red"}``, which only count if they are trusted.
        trust_user_parameter: believe them. Never on a server that strangers can reach.

    Raises ``HandshakeRejectedError`` if they have a wrong form, or are given but not trusted.
    """
    user, attributes = handshake.query.get("user"), handshake.query.get("attributes")
    anonymous = _anonymous(handshake.query.get("client"))
    if user is None and attributes is None:
        return Principal(anonymous)
    if not trust_user_parameter:
        raise HandshakeRejectedError(
            HTTPStatus.FORBIDDEN,
            "user and attributes in the address are believed by development servers only (trust_user_parameter)",
        )
    if user is not None and not (0 < len(user) <= _MAX_USER and user.isprintable()):
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, f"user: 1 to {_MAX_USER} printable characters")
    return Principal(user or anonymous, _decoded(attributes), authenticated=user is not None)


def _anonymous(client: str | None) -> str | None:
    """The user id of a client known only by its secret. Other clients see the id, so it must not reveal the secret."""
    if client is None:
        return None
    if not _CLIENT.fullmatch(client):
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "client: 16 to 64 characters of A-Z, a-z, 0-9, _ and -")
    return f"anon-{hashlib.sha256(client.encode()).hexdigest()[:20]}"


def _decoded(attributes: str | None) -> _Attributes:
    if attributes is None:
        return {}
    try:
        decoded = _attributes.decode(attributes)
        check_storable(decoded, field="attributes", max_expansion=_MAX_QUERY)
    except InvalidMessageError as wrong:
        raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, str(wrong)) from wrong
    except (msgspec.MsgspecError, RecursionError) as wrong:
        raise HandshakeRejectedError(
            HTTPStatus.BAD_REQUEST, f"attributes: a JSON object of plain values ({wrong})"
        ) from wrong
    for name, value in decoded.items():
        if isinstance(value, list | dict):
            raise HandshakeRejectedError(
                HTTPStatus.BAD_REQUEST, f"attributes: a JSON object of plain values, which {name!r} is not"
            )
    return decoded
