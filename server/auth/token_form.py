"""The form of tokens: what can be refused without a key.

Sizes are bounded before anything is parsed. Names that occur twice are refused, because parsers differ in which one counts.
"""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64decode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NoReturn

import msgspec

from engine.errors import BunbaseError
from engine.values.levels import deeper_than
from server.auth.jwk import ALGORITHMS, MAX_KEY_ID
from server.auth.refusal import AuthenticationError

__all__ = ["MAX_TOKEN", "UnverifiedToken", "issuers_named", "read_object", "read_time", "read_token"]

MAX_TOKEN: Final = 8192
"""Characters of a token. Those of identity providers with many groups have about 4,000."""

_MAX_DEPTH: Final = 16
_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_PARTS: Final = 3
_TYPES: Final = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
_TIMES: Final = {name: f"the claim {name}" for name in ("exp", "nbf", "iat")}
_MAX_TIME: Final = 2.0**53
_LAST: Final = (None, None, "AQgw", "AEIMQUYcgkosw048")
"""What the last character can be, by the characters beyond groups of four: bits that stand for nothing are 0. One character
beyond them is no base64.
"""
_USUAL_HEADER: Final = 512  # characters of a header that is remembered: those of an issuer's tokens are all the same


class _FormError(BunbaseError, ValueError):
    """The JSON of a token is not acceptable."""


@dataclass(slots=True, eq=False)
class UnverifiedToken:
    """The claims of a token, and of what they have a ``signature``. ``expires_at``, ``times`` (of ``exp``, ``nbf`` and
    ``iat``, as far as the token has them): seconds since the Unix epoch.
    """

    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    key_id: str | None
    issuer: str | None
    times: Mapping[str, float]
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def expires_at(self) -> float:
        """The claim ``exp``."""
        return self.times["exp"]


def read_token(text: str) -> UnverifiedToken:
    """Read a token without verifying it. Raises ``AuthenticationError`` for one that no key could make valid."""
    if len(text) > MAX_TOKEN:
        raise AuthenticationError(f"the token is longer than {MAX_TOKEN} characters")
    found = _FORM.fullmatch(text)
    if found is None:
        raise AuthenticationError("not a JSON web token: three parts of base64url with dots between them")
    header, payload, signature = found.groups()
    algorithm, key_id = _usual_header(header) if len(header) <= _USUAL_HEADER else _header(header)
    claims = _object(payload, "claims")
    times: dict[str, float] = {name: read_time(claims[name], _TIMES[name]) for name in _TIMES if name in claims}
    if "exp" not in times:
        raise AuthenticationError("the token lacks the claim exp", "claims")
    issuer = claims.get("iss")
    if not (issuer is None or isinstance(issuer, str)):
        raise AuthenticationError("wrong issuer", "issuer")
    return UnverifiedToken(
        text[: found.end(2)].encode(), _signature(signature), algorithm, key_id, issuer, times, claims
    )


def issuers_named(text: str) -> frozenset[str] | None:
    """The issuers that a text with the form of a JWT names, whatever else is wrong with it; None: it has not that form.

    Readers of tokens are of different leniency, so this one takes what any of them may take: padding, names that occur
    twice, any encoding. Raises ``RecursionError`` for one that is nested too deep to be read.
    """
    parts = text.split(".")
    if len(text) > MAX_TOKEN or len(parts) != _PARTS or not text.isascii():
        return None
    part = parts[1].rstrip("=")
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        claims = json.loads(
            data.decode(json.detect_encoding(data), "replace").removeprefix("\ufeff"),
            object_pairs_hook=tuple,
            parse_int=str,
            parse_float=str,
            strict=False,
        )
    except ValueError:
        return None
    if not isinstance(claims, tuple):  # a list is an array
        return None
    return frozenset(value for name, value in claims if name == "iss" and isinstance(value, str))


def _header(part: str) -> tuple[str, str | None]:
    """The algorithm and the key id."""
    header = _object(part, "header")
    algorithm, key_id, type = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise AuthenticationError("wrong algorithm: a signed token is needed", "signature")
    if "crit" in header or "b64" in header:
        raise AuthenticationError("the token has critical extensions (crit), of which none is supported")
    if not (key_id is None or (isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID)):
        raise AuthenticationError("kid in the header of the token is no short text")
    if not (isinstance(type, str) and type.lower() in _TYPES):
        raise AuthenticationError("wrong type: typ in the header of the token is not that of an access token")
    return algorithm, key_id


_usual_header = lru_cache(maxsize=64)(_header)


def read_time(value: object, name: str) -> float:
    """A time (RFC 7519, 2: a number of seconds). PyJWT would accept text, and fail on infinity. Raises
    ``AuthenticationError``; ``name``: of the claim or field.
    """
    if (type(value) is int or isinstance(value, Decimal)) and -_MAX_TIME <= value <= _MAX_TIME:
        return float(value)
    raise AuthenticationError(f"{name} is not a number of seconds")


def _object(part: str, name: str) -> dict[str, Any]:
    """The JSON object of one part."""
    try:
        data = _decoded(part)
        plain = _plain_object(data)
        return read_object(data.decode()) if plain is None else plain
    except (ValueError, RecursionError) as wrong:
        reason = str(wrong) if isinstance(wrong, _FormError) else "no JSON in base64url"
        raise AuthenticationError(f"the {name} of the token cannot be read: {reason}") from wrong


def _signature(part: str) -> bytes:
    try:
        return _decoded(part)
    except ValueError as wrong:
        raise AuthenticationError("the signature of the token cannot be read: no base64url", "signature") from wrong


def _decoded(part: str) -> bytes:
    """The bytes of one part, which has the characters of ``_FORM``. Raises ``ValueError`` also where other texts are the
    same bytes (RFC 4648, 3.5).
    """
    last = _LAST[len(part) % 4]
    if last is not None and part[-1:] not in last:
        raise _FormError("no base64url")
    return a2b_base64(part.replace("-", "+").replace("_", "/") + "==")


def read_object(text: str) -> dict[str, Any]:
    """The JSON object in ``text``, its numbers exact. Raises ``ValueError``, which is a ``BunbaseError`` where it is
    JSON, and ``RecursionError``.
    """
    value = _decoder.decode(text)
    if "\\ud" in text.lower():  # half of a surrogate pair cannot be encoded later
        json.dumps(value, ensure_ascii=False, default=str).encode()
    if not isinstance(value, dict):
        raise _FormError("no JSON object")
    if text.count("{") + text.count("[") > _MAX_DEPTH and deeper_than(value, _MAX_DEPTH):
        raise _FormError(f"nested more than {_MAX_DEPTH} levels deep")
    return value


def _plain_object(data: bytes) -> dict[str, Any] | None:
    """What ``read_object`` makes of ``data``, in a sixth of the time, if that is plain: without an escape, and so flat that
    its depth needs no look. None: it is not, or something is wrong with it.

    msgspec takes names that occur twice. Each name in the text ends with a quotation mark before a colon, so where there
    are as many of these as names in the value, or fewer, none occurred twice; a text with the same characters is in doubt.
    """
    if b"\\" in data or data.count(b"{") + data.count(b"[") > _MAX_DEPTH:
        return None
    try:
        value = _plain_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    names = len(_NAMES.findall(data))
    return value if names <= len(value) or names <= _names(value) else None


def _names(value: object) -> int:
    """How many names the objects in ``value`` have."""
    if isinstance(value, dict):
        return len(value) + sum([_names(each) for each in value.values() if isinstance(each, dict | list)])
    return sum([_names(each) for each in value if isinstance(each, dict | list)]) if isinstance(value, list) else 0


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _FormError("a name occurs twice")
    return value


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not math.isfinite(float(number)):
        raise _FormError("a number is too large")
    return number


def _no_number(text: str) -> NoReturn:
    raise _FormError("NaN and infinity are no JSON numbers")


_NAMES: Final = re.compile(rb'"[ \t\n\r]*+:')
_plain_decoder: Final = msgspec.json.Decoder(dict[str, Any], float_hook=_decimal)
_decoder: Final = json.JSONDecoder(object_pairs_hook=_distinct, parse_float=_decimal, parse_constant=_no_number)
