"""The principal that the claims of a verified token name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from server.auth.issuers import TokenIssuer
from server.auth.refusal import AuthenticationError
from server.protocol.validation import InvalidMessageError, check_storable

__all__ = ["check_attributes", "check_role", "check_user", "principal_from"]

_MAX_USER: Final = 256
_MAX_ROLE: Final = 63  # bytes of a PostgreSQL identifier
_MAX_EXPANSION: Final = 8192
_MISSING: Final = object()


def principal_from(claims: Mapping[str, Any], issuer: TokenIssuer, expires_at: float) -> Principal:
    """The principal. ``expires_at``: seconds since the Unix epoch, until which it may stay connected.

    Raises ``AuthenticationError`` if a claim that the settings name is missing or has no value that it can have.
    """
    attributes = {name: value for name in issuer.attribute_claims if (value := _claim(claims, name)) is not _MISSING}
    if attributes:
        check_attributes(attributes)
    role = _claim(claims, issuer.role_claim)
    return Principal(
        _user(claims, issuer.user_claim),
        attributes,
        Visibility(issuer.default_role if role is _MISSING else check_role(role, f"the claim {issuer.role_claim}")),
        claims=claims,
        expires_at=expires_at,
        authenticated=True,
        session_id=_session(claims, issuer.session_claim),
        administrator=issuer.admin_role is not None and role == issuer.admin_role,
    )


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim ``name``; if there is none and the name has dots, the field of an object that it leads to."""
    if name in claims:
        return claims[name]
    if "." not in name:
        return _MISSING
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _user(claims: Mapping[str, Any], name: str) -> str:
    user = _claim(claims, name)
    if user is _MISSING:
        raise AuthenticationError(f"the token lacks the claim {name}, which names the user", "claims")
    return check_user(user, f"the claim {name}")


def check_user(user: Any, name: str) -> str:
    """The id of a user, a text or a whole number. Raises ``AuthenticationError``; ``name``: of the claim or field."""
    if isinstance(user, int) and not isinstance(user, bool):
        user = str(user)
    if not (isinstance(user, str) and 0 < len(user) <= _MAX_USER and user.isprintable()):
        raise AuthenticationError(f"{name} is no id of a user: 1 to {_MAX_USER} printable characters", "claims")
    return user


def _session(claims: Mapping[str, Any], name: str) -> str | None:
    """The id. One of another type than text is no session's, and refused where sessions are validated."""
    session = _claim(claims, name)
    return None if session is _MISSING or session is None else str(session)


def check_role(role: Any, name: str) -> str:
    """The name of a role. Raises ``AuthenticationError``; ``name``: of the claim or field."""
    if not (isinstance(role, str) and 0 < len(role.encode()) <= _MAX_ROLE and role.isprintable()):
        raise AuthenticationError(f"{name} is no role: 1 to {_MAX_ROLE} printable bytes", "claims")
    return role


def check_attributes(attributes: Mapping[str, Any], what: str = "the claim") -> None:
    """Raises ``AuthenticationError`` unless they are plain values that PostgreSQL can keep. ``what``: they are there."""
    for name, value in attributes.items():
        if not (value is None or isinstance(value, str | int | Decimal)):
            raise AuthenticationError(f"{what} {name} is no attribute: attributes are plain values", "claims")
    try:
        check_storable(dict(attributes), field="attributes", max_expansion=_MAX_EXPANSION)
    except InvalidMessageError as wrong:
        raise AuthenticationError(str(wrong), "claims") from wrong
