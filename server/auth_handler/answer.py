"""What a handler answers: who the client is, or that it is refused.

The same JSON object is returned by functions and sent by webhooks, and is checked as the claims of a token are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from engine.errors import BunbaseError
from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from engine.values.exact_json import write_exact
from server.auth.refusal import AuthenticationError
from server.auth.token_claims import check_attributes, check_role, check_user
from server.auth.token_form import read_object, read_time
from server.auth_handler.settings import DEFAULT_ROLE

__all__ = ["AnswerError", "RefusedError", "read_answer", "read_returned", "refusal_of"]

_FIELDS: Final = frozenset(("userId", "role", "attributes", "claims", "expiresAt", "sessionId"))
_MAX_REASON: Final = 200
_REASON: Final = "the token was refused"


class AnswerError(BunbaseError):
    """The handler gave an answer that means nothing. The text names the fault, and never a value."""


class RefusedError(AuthenticationError):
    """The handler refuses the client."""


def read_returned(value: object) -> Principal:
    """The principal that a function returned. Raises ``RefusedError`` and ``AnswerError``."""
    if value is None:
        raise RefusedError(_REASON)
    if not isinstance(value, Mapping):
        raise AnswerError(f"it returned {type(value).__name__}, neither a dict nor None")
    try:
        text = write_exact(dict(value)).decode()
        json.dumps(
            dict(value), allow_nan=False, default=lambda _: None
        )  # NaN was written as null, which can mean "never"
    except (TypeError, ValueError, RecursionError) as wrong:
        raise AnswerError("the dict that it returned cannot be written as JSON") from wrong
    return read_answer(text)


def read_answer(text: str | bytes) -> Principal:
    """The principal that an answer names. Raises ``RefusedError`` and ``AnswerError``."""
    try:
        answer = read_object(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as wrong:
        raise AnswerError(
            f"the answer cannot be read: {wrong if isinstance(wrong, BunbaseError) else 'no JSON'}"
        ) from wrong
    if "refused" in answer:
        raise RefusedError(_reason(answer["refused"]))
    if unknown := answer.keys() - _FIELDS:
        raise AnswerError(
            f"the answer has unknown fields; known are {', '.join(sorted(_FIELDS))} ({len(unknown)} others)"
        )
    try:
        return _principal(answer)
    except AuthenticationError as wrong:
        if isinstance(wrong, RefusedError):
            raise
        raise AnswerError(str(wrong)) from wrong


def refusal_of(text: bytes) -> RefusedError:
    """The refusal in the body of an answer whose status has refused the client already."""
    try:
        return RefusedError(_reason(read_object(text.decode()).get("refused")))
    except (ValueError, RecursionError):  # whatever it is, it gives no reason
        return RefusedError(_REASON)


def _reason(given: object) -> str:
    """The reason as the client may get it."""
    return given if isinstance(given, str) and 0 < len(given) <= _MAX_REASON and given.isprintable() else _REASON


def _principal(answer: Mapping[str, Any]) -> Principal:
    if "userId" not in answer:
        raise AnswerError("the answer lacks userId")
    user, role = check_user(answer["userId"], "userId"), check_role(answer.get("role", DEFAULT_ROLE), "role")
    attributes, claims = _fields(answer, "attributes"), _fields(answer, "claims")
    check_attributes(attributes, "the attribute")
    session, expires_at = answer.get("sessionId"), answer.get("expiresAt")
    if not (session is None or isinstance(session, str)):
        raise AnswerError("sessionId is no text")
    if expires_at is not None:
        expires_at = read_time(expires_at, "expiresAt")
        if expires_at <= time.time():
            raise RefusedError("token expired")
    return Principal(
        user,
        attributes,
        Visibility(role),
        claims={**claims, "sub": user, "role": role},
        expires_at=expires_at,
        authenticated=True,
        session_id=session,
    )


def _fields(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name, {})
    if not isinstance(value, Mapping):
        raise AnswerError(f"{name} is no JSON object")
    return value
