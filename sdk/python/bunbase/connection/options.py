"""How a client connects, reconnects and detects a dead connection. Times in seconds."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from bunbase.protocol.codec import encode_text
from bunbase.transports import TRANSPORTS

__all__ = ["Options", "expect", "query_of"]

_log = logging.getLogger("bunbase")

_ABOVE_0 = ("connect_timeout", "heartbeat_interval", "heartbeat_timeout", "upgrade_interval")
_FROM_0 = ("reconnect_delay", "max_reconnect_delay", "max_reconnect_attempts", "queue_limit")


def expect(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    """Raises ``TypeError`` if the value is none of these types. The message does not repeat it: it may be a secret."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(each.__name__ for each in kinds if each is not NoneType)
        raise TypeError(f"{name}: {expected} is expected, not {type(value).__name__}")


def query_of(
    api_key: str | None,
    user: str | None,
    attributes: Mapping[str, Any] | None,
    more: Mapping[str, str] | None,
    *,
    given: bool,
) -> dict[str, str]:
    """The parameters of the address. A secret key does not belong there, which is logged if it was ``given``."""
    expect("user", user, (str, NoneType))
    expect("attributes", attributes, (Mapping, NoneType))
    for name, value in (attributes or {}).items():
        if not isinstance(value, str | int | float | bool | None):
            raise TypeError(
                f"attributes: {name!r} is a {type(value).__name__}; strings, numbers, bools and None are expected"
            )
    expect("parameters", more, (Mapping, NoneType))
    # One secret per object: whichever connection carries it, the server sees the same client.
    known = {"client": secrets.token_urlsafe(24), "delta": "on"}
    if api_key is not None and api_key.startswith("pk_"):
        known["apikey"] = api_key
    elif given:
        _log.warning("api_key: only a publishable key (pk_) is sent; make one with `realtime keys create`")
    if user is not None:
        known["user"] = user
    if attributes:
        known["attributes"] = encode_text(attributes)
    return {**known, **(more or {})}


@dataclass(frozen=True, slots=True)
class Options:
    """See ``Realtime`` for their meaning. Raises ``ValueError`` for an invalid value, ``TypeError`` for another type."""

    reconnect: bool
    reconnect_delay: float
    max_reconnect_delay: float
    max_reconnect_attempts: float
    transports: Sequence[str]
    connect_timeout: float
    heartbeat_interval: float
    heartbeat_timeout: float
    upgrade_interval: float
    queue_limit: int

    def __post_init__(self) -> None:
        expect("reconnect", self.reconnect, bool)
        for name in (*_ABOVE_0, *_FROM_0):
            expect(name, getattr(self, name), (int, float))
        unknown = [name for name in self.transports if name not in TRANSPORTS]
        if unknown or not self.transports:
            raise ValueError(f"transports: {list(self.transports)!r}; known are {', '.join(TRANSPORTS)}")
        for name in _ABOVE_0:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be more than 0 seconds")
        for name in _FROM_0:
            if math.isnan(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative")
