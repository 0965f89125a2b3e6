"""Why a client's data was refused, and why a policy cannot be used."""

from __future__ import annotations

from engine.errors import BunbaseError, ErrorCode, RealtimeError

__all__ = ["ContentRefusedError", "PolicyError", "PolicyUnusableError"]


class ContentRefusedError(RealtimeError):
    """The data of a message does not fit a content policy; the text names the path and the policy."""

    code = ErrorCode.INVALID_MESSAGE


class PolicyUnusableError(RealtimeError):
    """A policy for this channel cannot be used, so nothing is published there that it would have to look at."""

    code = ErrorCode.CONNECTION_FAILED


class PolicyError(BunbaseError):
    """A row of ``realtime.content_policies`` cannot be compiled; the text is for ``/health`` and the log."""
