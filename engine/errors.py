"""Typed errors. Those a client may see carry the ``RT_00x`` code of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

__all__ = [
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
    """The protocol's error codes; ``meaning`` says what each stands for.

    Part of the protocol, and kept with the errors because the engine's carry them. The SDKs' lists are generated from
    this one (``sdk/generate_codes.py``).
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


class RealtimeError(Exception):
    """Base of every error this project raises on purpose.

    ``code`` is the protocol's error code; ``str(error)`` is safe to show to a client.
    """

    code: ErrorCode = ErrorCode.CONNECTION_FAILED


class QueryRejectedError(RealtimeError):
    """A subscription's query cannot be accepted; the message says which part and why."""

    code = ErrorCode.INVALID_MESSAGE


class DatabaseUnavailableError(QueryRejectedError):
    """The database cannot answer the query now: it is away, overloaded, or a table is locked. The client may try again."""

    code = ErrorCode.CONNECTION_FAILED


class PrivilegeLostError(DatabaseUnavailableError):
    """The server, or ``realtime_reader`` as which it reads, has lost a privilege; the query can be answered when it is back.

    ``grants``: the statements that give it back, which are for who runs the database, not for clients. ``outdated``: the
    privilege is there, and the catalog in use does not know it yet.
    """

    def __init__(self, grants: Sequence[str] = (), *, outdated: bool = False) -> None:
        super().__init__("the server's role lacks a privilege that it needs; its /health names the GRANT")
        self.grants = tuple(grants)
        self.outdated = outdated


class SubscriptionFailedError(QueryRejectedError):
    """The server failed to go on with a subscription; its log says why. The client may subscribe again."""

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
    """The replication stream cannot be started or read; the message tells the DBA how to mend it."""


class CatalogError(RealtimeError):
    """The database's description of a table cannot be read or used."""
