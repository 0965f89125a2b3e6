"""Which origins of pages may connect (setting ``allowed_origins``): exact ones, one with any port (``http://localhost:*``),
or ``*``, all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from server.auth.identity import HandshakeRejectedError

__all__ = ["LOCAL_ORIGINS", "check_origin", "origin_pattern"]

LOCAL_ORIGINS: Final = tuple(
    f"{scheme}://{host}:*" for scheme in ("http", "https") for host in ("localhost", "127.0.0.1", "[::1]")
)
"""Pages of servers on this machine."""

_ANY_PORT: Final = ":*"


def origin_pattern(allowed: Iterable[str]) -> str:
    """A regular expression that these origins match in full, and no other."""
    return "|".join(
        re.escape(each.removesuffix(_ANY_PORT)) + r"(:[0-9]{1,5})?" if each.endswith(_ANY_PORT) else re.escape(each)
        for each in allowed
    )


def check_origin(origin: str | None, allowed: Iterable[str]) -> None:
    """Raise ``HandshakeRejectedError`` for a page of an origin that is not ``allowed``; a program gives none."""
    if origin is None or "*" in allowed or re.fullmatch(origin_pattern(allowed), origin.lower()):
        return
    raise HandshakeRejectedError(HTTPStatus.FORBIDDEN, f"connections from {origin} are not allowed")
