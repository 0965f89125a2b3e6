"""Typed errors. Those a client may see carry the ``RT_00x`` code of the protocol."""

from __future__ import annotations

__all__ = [
    "CatalogError",
    "DatabaseUnavailableError",
    "FeedError",
    "InvalidQueryError",
    "PermissionDeniedError",
    "QueryRejectedError",
    "RealtimeError",
    "SubscriptionFailedError",
    "UnknownCollectionError",
]


class RealtimeError(Exception):
    """Base of every error this project raises on purpose.

    ``code`` is the protocol's error code; ``str(error)`` is safe to show to a client.
    """

    code = "RT_001"


class QueryRejectedError(RealtimeError):
    """A subscription's query cannot be accepted; the message says which part and why."""

    code = "RT_007"


class DatabaseUnavailableError(QueryRejectedError):
    """The database cannot answer the query now: it is away, overloaded, or a table is locked. The client may try again."""

    code = "RT_001"


class SubscriptionFailedError(QueryRejectedError):
    """The server failed to go on with a subscription; its log says why. The client may subscribe again."""

    code = "RT_001"


class InvalidQueryError(QueryRejectedError):
    """Malformed query: unknown field or operator, wrong value type, SQL that is not one pure SELECT."""

    code = "RT_007"


class PermissionDeniedError(QueryRejectedError):
    """The query reads something that is not exposed to clients."""

    code = "RT_003"


class UnknownCollectionError(QueryRejectedError):
    """No collection of that name is exposed."""

    code = "RT_004"


class FeedError(RealtimeError):
    """The replication stream cannot be started or read; the message tells the DBA how to mend it."""


class CatalogError(RealtimeError):
    """The database's description of a table cannot be read or used."""
