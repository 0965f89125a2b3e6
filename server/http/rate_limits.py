"""Limits in HTTP headers: ``Retry-After`` (RFC 9110, 10.2.3) and those of draft-ietf-httpapi-ratelimit-headers.

Draft 10 has ``RateLimit-Policy: "requests";q=1000;w=1`` and ``RateLimit: "requests";r=999;t=1``. Up to draft 6 the same were
the three ``RateLimit-Limit``, ``RateLimit-Remaining`` and ``RateLimit-Reset``, which many clients read.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

from server.auth.identity import HandshakeRejectedError
from server.limits.network_rates import Usage

__all__ = ["rate_limit_headers", "retry_after_header", "too_many"]


def retry_after_header(seconds: float) -> dict[str, str]:
    """``Retry-After``, in whole seconds."""
    return {"Retry-After": str(max(1, ceil(seconds)))}


def rate_limit_headers(usage: Usage) -> Mapping[str, str]:
    """The client's quota, and what is left of it. ``t``: seconds until there is more of it."""
    quota = usage.quota
    seconds = ceil(usage.wait) if usage.left < 1 else ceil(quota.window)
    return {
        "RateLimit-Policy": f'"{quota.name}";q={quota.amount:.0f};w={ceil(quota.window)}',
        "RateLimit": f'"{quota.name}";r={usage.left};t={seconds}',
        "RateLimit-Limit": f"{quota.amount:.0f}",
        "RateLimit-Remaining": f"{usage.left}",
        "RateLimit-Reset": f"{seconds}",
    }


def too_many(
    text: str, retry_after: float | None, limit: str, headers: Mapping[str, str] | None = None
) -> HandshakeRejectedError:
    """The refusal of a connection because of a limit, whose setting is ``limit``."""
    return HandshakeRejectedError(HTTPStatus.TOO_MANY_REQUESTS, text, headers, retry_after, limit)
