"""The headers that limit what a browser does with an answer: every answer has them, whatever route or error made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SECURITY_HEADERS", "SecurityHeaders", "page_policy"]


def page_policy(**sources: str) -> str:
    """The ``Content-Security-Policy`` of a page that loads nothing but ``sources``, and shows text as text.

    A keyword is a directive with underscores, for instance ``script_src="'self'"``. Scripts cannot make markup from a
    text (``require-trusted-types-for``), pages of others cannot frame the page, and its forms are sent nowhere.
    """
    directives = [f"{name.replace('_', '-')} {source}" for name, source in sources.items()]
    return "; ".join(("default-src 'none'", *directives, *_ALWAYS))


_ALWAYS: Final = (
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = tuple(
    (name.encode(), value.encode())
    for name, value in (
        # An answer that is no page loads nothing, also if a browser is made to show it.
        ("content-security-policy", page_policy()),
        ("cross-origin-opener-policy", "same-origin"),
        # For requests without CORS only: pages that may read an answer, by CORS, still do.
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),  # for browsers that do not know frame-ancestors
    )
)
"""Names in lower case, and values (OWASP Secure Headers Project). An answer that sets one itself keeps its own."""


class SecurityHeaders:
    """ASGI middleware around the whole application, so that also the answers to errors have the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_missing(message.get("headers", ()))]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _missing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in headers}
    return [header for header in SECURITY_HEADERS if header[0] not in names]
