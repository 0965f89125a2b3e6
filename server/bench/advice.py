"""What stands behind an error that the load met, and which setting is about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from engine.errors import ErrorCode

__all__ = ["advice"]

_CAUSES: Final[tuple[tuple[str, str], ...]] = (
    ("messages per second|too many messages", "the server's limit max_message_rate: raise it, or take more --publishers"),
    ("bytes of messages per second", "the server's limit max_published_bytes: raise it, or take more tokens or less --size"),
    ("presence updates per second", "the server's limit max_presence_rate: raise it, or take more --clients"),
    ("this user has", "the server's limit max_connections_per_user: raise it, or give a file with more tokens"),
    ("this address has", "the server's limit max_connections_per_ip: raise it, or load it from its own machine"),
    ("new connections", "the server's limit max_connection_rate: raise it, or load it from its own machine"),
    ("subscriptions are allowed", "the server's limit max_subscriptions: raise it, or take a smaller --each"),
    ("live queries|windows", "one of the server's limits of live queries, max_windows or max_windows_per_user: raise it"),
    (f"{ErrorCode.AUTHENTICATION_FAILED}|4401|HTTP 401", "the token or the key is refused: --token-file, --api-key"),
    (ErrorCode.PERMISSION_DENIED, "a rule or the channel's name does not allow it: another --channel, or a token that may"),
    ("4008", "the server ended clients that did not take what it sent (max_backlog): a lower rate, or more --processes"),
    ("[Tt]oo many open files", "this process may not open more files: raise `ulimit -n`, or give more --processes"),
    ("[Cc]onnection refused|reset by peer|not connected within", "the server takes no more connections: look at its limit "
     "of open files (`ulimit -n`) and at its log"),
    ("Cannot assign requested address", "no local port is free: fewer --clients, or wait until closed ones have expired"),
    ("HTTP 503", "the server is starting or stopping"),
)  # fmt: skip


def advice(errors: Iterable[str]) -> list[str]:
    """A sentence for each cause among ``errors``, once."""
    found = (words for error in errors for pattern, words in _CAUSES if re.search(pattern, error))
    return list(dict.fromkeys(found))
