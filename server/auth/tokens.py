"""Verification of JSON Web Tokens (RFC 7519, after the best practices of RFC 8725). PyJWT checks signatures.

A token goes through these steps, each cheaper than the next; the first that fails refuses it:

1. Form (:mod:`server.auth.token_form`): size, base64url, JSON without duplicate names, a known algorithm, no ``crit``.
2. Claims, unverified: ``iss`` is a configured issuer, ``exp`` has not passed.
3. A key of that issuer for that algorithm and key id. Only here a key set may have to be fetched.
4. The signature with that key.
5. The claims: times, audience, and the types of those that name the token and its user.

Nothing of a token is used before step 5, except to refuse it, to choose the issuer and to find the key. ``jwt.decode`` is
not called: it would read everything once more, which takes twice as long as all these steps. A test compares the verdicts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.identity.principal import Principal
from server.auth.issuers import TokenIssuer
from server.auth.jwk import VerifyingKey
from server.auth.keysets import FixedKeys, KeySource, RemoteKeys
from server.auth.refusal import AuthenticationError
from server.auth.token_claims import principal_from
from server.auth.token_form import UnverifiedToken, issuers_named, read_token

__all__ = ["TokenVerifier"]

_TEXTS: Final = ("sub", "jti")  # RFC 7519, 4.1.2 and 4.1.7


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

    def _principal(self, read: UnverifiedToken, settings: TokenIssuer, keys: Sequence[VerifyingKey]) -> Principal:
        """Steps 4 and 5."""
        if not keys:
            raise AuthenticationError("unknown key: the issuer has none with this kid", "signature")
        for key in keys:
            if key.verify(read.signed, read.signature):
                break
        else:
            raise AuthenticationError("wrong signature", "signature")
        now = time.time()
        times, claims, expires_at = read.times, read.claims, read.expires_at
        if expires_at <= now - self._leeway:  # the key set may have had to be fetched since
            raise AuthenticationError("token expired", "expired")
        if max(times.get("nbf", now), times.get("iat", now)) > now + self._leeway:
            raise AuthenticationError("token not valid yet", "claims")
        _check_audience(claims.get("aud"), settings.audience)
        for name in _TEXTS:
            if not isinstance(claims.get(name, ""), str):
                raise AuthenticationError(f"the claim {name} is no text", "claims")
        return principal_from(claims, settings, expires_at + self._leeway)


def _check_audience(named: object, accepted: Sequence[str]) -> None:
    """Raise ``AuthenticationError`` unless the claim ``aud`` (RFC 7519, 4.1.3) names one that is accepted, or none is."""
    if not named:
        if accepted:
            raise AuthenticationError("the token lacks the claim aud", "claims")
        return
    if isinstance(named, str) and named in accepted:
        return
    audiences = named if isinstance(named, list) else [named]
    if not all(isinstance(each, str) for each in audiences) or not any(each in audiences for each in accepted):
        raise AuthenticationError("wrong audience", "claims")


def _source_of(issuer: TokenIssuer) -> KeySource:
    return FixedKeys(issuer.keys()) if issuer.jwks_url is None else RemoteKeys(issuer.jwks_url, issuer.accepted)
