"""Masking: no secret is written, by whatever part it is logged.

The last step before rendering: every text of an event, its name and its traceback included, is searched for what has the
form of a secret; a field that is named as one has no value at all. A text is cut off after :data:`MAX_TEXT` characters, so
that a client cannot fill the disk with one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

__all__ = ["MASK", "MAX_TEXT", "mask", "masked", "without_secrets"]

MASK: Final = "[masked]"
MAX_TEXT: Final = 16_384
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 1_000

_SECRET_FIELDS: Final = re.compile(
    r"(?i)(.*[_-])?(token|jwt|secret|password|passwd|pgpassword|authorization|cookie|api[_-]?key|rest[_-]?key|dsn|conninfo|"
    r"private_?key|signature|credentials?)"
)

# What repeats is bounded or cannot fail, so that the time is linear in the length of the text.
_FORMS: Final = tuple(
    (re.compile(form), text)
    for form, text in (
        # JSON Web Tokens (RFC 7519): three parts in base64url (five if encrypted), of which the first is a JSON object.
        # First those in which a blank, a tab or a line break is behind "{", or a name that begins with no ASCII letter.
        (
            r"(?<![A-Za-z0-9_-])e(?:y[AIKL]|w[ko0])[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]{10,}+)(?:\.[A-Za-z0-9_-]*+){0,3}",
            MASK,
        ),
        (r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}", MASK),
        # API keys: see server.auth.api_keys. The part by which one is found may be shown.
        (r"\b([ps]k_[0-9a-f]{12})_[0-9a-zA-Z_]+", rf"\1_{MASK}"),
        # Connection strings of libpq, in both forms, and user and password of any URL (RFC 3986, 3.2.1).
        (r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/?#@:]{0,100}):[^\s/?#]{0,200}@", rf"\1:{MASK}@"),
        (r"(?i)\b((?:ssl|pg)?password\s*=\s*)('(?:[^'\\]|\\.){0,200}'|[^\s'&]+)", rf"\1{MASK}"),
        # Credentials in the query of an address, and in a header.
        (
            r"(?i)([?&](?:access_token|token|api_?key|key|rest_key|secret|password|code|signature)=)[^\s&#\"']+",
            rf"\1{MASK}",
        ),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", rf"\1 {MASK}"),
        # Private keys (RFC 7468).
        (r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", MASK),
    )
)


_SIGNS: Final = ("ey", "ew", "k_", "://", "=", "-----")
_SIGNS_OF_HEADERS: Final = ("bearer", "basic")
"""Every form above has one of these in it, the latter in any case: to look for these is twenty times as quick."""


def masked(text: str) -> str:
    """``text`` without what has the form of a secret, and without what is beyond :data:`MAX_TEXT` characters."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} [{len(text) - MAX_TEXT} more characters]"
    return without_secrets(text)


def without_secrets(text: str) -> str:
    """``text`` without what has the form of a secret, in linear time."""
    if text.isascii() and not _may_have_secret(
        text
    ):  # in others more characters than ASCII's are equal but for their case
        return text
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text


def _may_have_secret(text: str) -> bool:
    for sign in _SIGNS:
        if sign in text:
            return True
    text = text.lower()
    for sign in _SIGNS_OF_HEADERS:  # noqa: SIM110 - any() takes three times as long
        if sign in text:
            return True
    return False


def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's processor; ``_record`` and the like are its own, and stay."""
    if _is_plain(event):
        return event
    for field, value in event.items():
        if not field.startswith("_"):
            event[field] = _of_field(field, value, 0)
    return event


def _is_plain(event: EventDict) -> bool:
    """Whether no text of the event can have a secret: as of most events, in a tenth of the time that each text takes."""
    texts = []
    for field, value in event.items():
        if isinstance(value, str):
            texts.append(value)
        elif value is not None and not isinstance(value, bool | int | float):
            return False
        if _is_secret(field):
            return False
    text = "\n".join(texts)
    return len(text) <= MAX_TEXT and text.isascii() and not _may_have_secret(text)


@lru_cache(maxsize=1_024)
def _is_secret(field: str) -> bool:
    return _SECRET_FIELDS.fullmatch(field) is not None


def _of_field(field: object, value: Any, depth: int) -> Any:
    if value and not isinstance(value, bool) and isinstance(field, str) and _is_secret(field):
        return MASK
    return _of(value, depth)


def _of(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return masked(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _MAX_DEPTH:
        return masked(repr(value))
    if isinstance(value, Mapping):
        return {str(key): _of_field(key, each, depth + 1) for key, each in list(value.items())[:_MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_of(each, depth + 1) for each in list(value)[:_MAX_ITEMS]]
    return masked(str(value))
