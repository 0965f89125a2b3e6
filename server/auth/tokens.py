"""Verification of JSON Web Tokens (RFC 7519, after the best practices of RFC 8725). PyJWT checks signatures and claims.

A token goes through these steps, each cheaper than the next; the first that fails refuses it:

1. Form (:mod:`server.auth.token_form`): size, base64url, JSON without duplicate names, a known algorithm, no ``crit``.
2. Claims, unverified: ``iss`` is a configured issuer, ``exp`` has not passed.
3. A key of that issuer for that algorithm and key id. Only here a key set may have to be fetched.
4. The signature with that key, and all claims once more by PyJWT.

Nothing of a token is used before step 4, except to refuse it, to choose the issuer and to find the key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import jwt
from jwt import PyJWK

from engine.identity.principal import Principal
from server.auth.issuers import TokenIssuer
from server.auth.keysets import FixedKeys, KeySource, RemoteKeys
from server.auth.refusal import AuthenticationError, Reason
from server.auth.token_claims import principal_from
from server.auth.token_form import UnverifiedToken, issuers_named, read_token

__all__ = ["TokenVerifier"]

_REASONS: Final[Sequence[tuple[type[jwt.PyJWTError], str]]] = (
    (jwt.ExpiredSignatureError, "token expired"),
    (jwt.ImmatureSignatureError, "token not valid yet"),
    (jwt.InvalidAudienceError, "wrong audience"),
    (jwt.InvalidIssuerError, "wrong issuer"),
    (jwt.InvalidSignatureError, "wrong signature"),
    (jwt.InvalidKeyError, "unknown key: the issuer has none with this kid"),
)


@dataclass(frozen=True, slots=True)
class _Known:
    """An issuer and where its keys are."""

    settings: TokenIssuer
    source: KeySource


class TokenVerifier:
    """Makes principals of tokens.

    Args:
        issuers: whose tokens are accepted; distinct (``check_distinct``).
        leeway: seconds by which the clocks of issuers may differ from this one.
        source_of: the keys of an issuer.
    """

    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        leeway: float = 10.0,
        *,
        source_of: Callable[[TokenIssuer], KeySource] | None = None,
    ) -> None:
        make = source_of or _source_of
        self._issuers = {each.issuer: _Known(each, make(each)) for each in issuers}
        self._leeway = leeway
        self._jwt = jwt.PyJWT({"require": ["exp"], "enforce_minimum_key_length": True})

    def start(self) -> None:
        """Fetch the key sets, so that the first clients need not wait."""
        for each in self._issuers.values():
            each.source.warm()

    async def close(self) -> None:
        """Abandon fetches."""
        for each in self._issuers.values():
            await each.source.close()

    def knows(self, token: str) -> bool:
        """Whether a token has the form of a JWT and names a configured issuer, whatever else is wrong with it."""
        if not self._issuers:
            return False
        try:
            named = issuers_named(token)
        except RecursionError:  # which it names is not known: refused here, no other reader gets it
            return True
        return named is not None and (None in self._issuers or not named.isdisjoint(self._issuers))

    def verify_now(self, token: str) -> Principal | None:
        """The principal, if that takes no round trip; None: ``verify`` finds it.

        Raises ``AuthenticationError`` with the reason if the token is refused.
        """
        read, known = self._read(token)
        keys = known.source.find(read.algorithm, read.key_id)
        if not keys and known.source.grows:
            return None
        return self._principal(read, known.settings, keys)

    async def verify(self, token: str) -> Principal:
        """The principal; may fetch the issuer's key set.

        Raises ``AuthenticationError`` with the reason, and ``KeySetUnavailableError`` if the key cannot be fetched now.
        """
        read, known = self._read(token)
        keys = known.source.find(read.algorithm, read.key_id)
        if not keys:
            await known.source.refresh()
            keys = known.source.find(read.algorithm, read.key_id)
        return self._principal(read, known.settings, keys)

    def _read(self, token: str) -> tuple[UnverifiedToken, _Known]:
        """Steps 1 and 2."""
        if not self._issuers:
            raise AuthenticationError(
                "this server accepts no tokens: it has no issuer (setting auth_issuers)", "unknown"
            )
        read = read_token(token)
        known = self._issuers.get(None) or self._issuers.get(read.issuer)
        if known is None:
            raise AuthenticationError("wrong issuer", "issuer")
        if read.algorithm not in known.source.algorithms:
            raise AuthenticationError("wrong algorithm: the issuer's tokens are signed with another", "signature")
        if read.expires_at <= time.time() - self._leeway:
            raise AuthenticationError("token expired", "expired")
        return read, known

    def _principal(self, read: UnverifiedToken, settings: TokenIssuer, keys: Sequence[PyJWK]) -> Principal:
        """Step 4."""
        failure: jwt.PyJWTError = jwt.InvalidKeyError()
        for key in keys:
            try:
                self._jwt.decode(
                    read.text,
                    key,
                    [read.algorithm],
                    audience=settings.audience or None,
                    issuer=settings.issuer,
                    leeway=self._leeway,
                )
            except jwt.InvalidSignatureError as wrong:
                failure = wrong  # another key may fit
            except jwt.PyJWTError as wrong:
                failure = wrong
                break
            else:
                return principal_from(read.claims, settings, read.expires_at + self._leeway)
        raise AuthenticationError(_text(failure), _reason(failure)) from failure


def _reason(failure: jwt.PyJWTError) -> Reason:
    if isinstance(failure, jwt.ExpiredSignatureError):
        return "expired"
    return "signature" if isinstance(failure, jwt.InvalidSignatureError | jwt.InvalidKeyError) else "claims"


def _text(failure: jwt.PyJWTError) -> str:
    if isinstance(failure, jwt.MissingRequiredClaimError):
        return f"the token lacks the claim {failure.claim}"
    return next((reason for kind, reason in _REASONS if isinstance(failure, kind)), "invalid token")


def _source_of(issuer: TokenIssuer) -> KeySource:
    return FixedKeys(issuer.keys()) if issuer.jwks_url is None else RemoteKeys(issuer.jwks_url, issuer.accepted)
