"""One TLS context for all HTTP clients of tests that trust what the system trusts.

Reading the authorities takes 24 ms of a processor for each client, and nearly all of them then ask over plain HTTP.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import httpx

__all__ = ["share_tls_contexts"]


def share_tls_contexts() -> None:
    """From now on clients that are made without ``verify`` share a context."""
    for client in (httpx.Client, httpx.AsyncClient):
        client.__init__ = _sharing(client.__init__)  # type: ignore[method-assign]


def _sharing(made: Callable[..., None]) -> Callable[..., None]:
    @wraps(made)
    def __init__(self: object, **options: Any) -> None:
        options.setdefault("verify", _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")))
        made(self, **options)

    return __init__


@cache
def _context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """What httpx makes by default; by the variables of the environment that it looks at."""
    return httpx.create_ssl_context()
