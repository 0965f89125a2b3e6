"""Typed errors. Errors that a client may see carry the ``RT_00x`` code of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

__all__ = [
    "BunbaseError",
    "CatalogError",
    "DatabaseUnavailableError",
    "ErrorCode",
    "FeedError",
    "InvalidQueryError",
    "PermissionDeniedError",
    "PrivilegeLostError",
    "QueryRejectedError",
    "RealtimeError",
    "SubscriptionFailedError",
    "UnknownCollectionError",
]


class ErrorCode(StrEnum):
    """The protocol's error codes, each with its ``meaning``.

    Defined here because the engine's errors carry them. The SDKs' lists are generated from this one
    (``sdk/generate_codes.py``).
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """``meaning`` is optional for ``ErrorCode("RT_001")`` alone: every member has one."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    CONNECTION_FAILED = "RT_001", "connection failed"
    AUTHENTICATION_FAILED = "RT_002", "authentication failed"
    PERMISSION_DENIED = "RT_003", "permission denied"
    NOT_FOUND = "RT_004", "channel not found"
    MESSAGE_TOO_LARGE = "RT_005", "message too large"
    RATE_LIMITED = "RT_006", "rate limit exceeded"
    INVALID_MESSAGE = "RT_007", "invalid message format"
    CHANNEL_FULL = "RT_008", "channel capacity exceeded"
    PRESENCE_REJECTED = "RT_009", "presence update failed"


class BunbaseError(Exception):
    """The root of every exception class of this project. Most are a :class:`RealtimeError`; the others never reach a client:
    a module raises them for another one, which handles them.
    """


class RealtimeError(BunbaseError):
    """Base of every error that ends a request, a subscription or the server.

    ``code`` is the protocol's error code; ``str(error)`` is safe to show to a client. ``retry_after``: in how many seconds
    the client may ask again; None: that is not known, or will not help. ``limit``: the setting whose limit was reached, if
    one was.
    """

    code: ErrorCode = ErrorCode.CONNECTION_FAILED
    retry_after: float | None = None
    limit: str = ""


class QueryRejectedError(RealtimeError):
    """A subscription's query cannot be accepted; the message names the part and the reason."""

    code = ErrorCode.INVALID_MESSAGE


class DatabaseUnavailableError(QueryRejectedError):
    """The database is unreachable or overloaded, or a table is locked. The client may retry the query."""

    code = ErrorCode.CONNECTION_FAILED


class PrivilegeLostError(DatabaseUnavailableError):
    """The server, or its role ``realtime_reader``, has lost a privilege; the query can be answered once it is restored.

    ``grants``: the statements that restore it, for the operator, not for clients. ``outdated``: the privilege exists, but
    the catalog in use was loaded before it was granted.
    """

    def __init__(self, grants: Sequence[str] = (), *, outdated: bool = False) -> None:
        super().__init__("the server's role lacks a privilege that it needs; its /health names the GRANT")
        self.grants = tuple(grants)
        self.outdated = outdated


class SubscriptionFailedError(QueryRejectedError):
    """The server ended a subscription because of a fault; its log has the reason. The client may subscribe again."""

    code = ErrorCode.CONNECTION_FAILED


class InvalidQueryError(QueryRejectedError):
    """Malformed query: unknown field or operator, wrong value type, SQL that is not one pure SELECT."""

    code = ErrorCode.INVALID_MESSAGE


class PermissionDeniedError(QueryRejectedError):
    """The query reads something that is not exposed to clients."""

    code = ErrorCode.PERMISSION_DENIED


class UnknownCollectionError(QueryRejectedError):
    """No collection of that name is exposed."""

    code = ErrorCode.NOT_FOUND


class FeedError(RealtimeError):
    """The replication stream cannot be started or read; the message names the remedy for the operator."""


class CatalogError(RealtimeError):
    """The database's description of a table cannot be read or used."""
