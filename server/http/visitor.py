"""What headers have of a client for analytics: the country, if a trusted proxy has named it, and whether it wants to be
counted.

``DNT: 1`` is that of "Tracking Preference Expression" (W3C), ``Sec-GPC: 1`` that of "Global Privacy Control" (W3C).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from server.auth.identity import HandshakeRejectedError, HandshakeRequest

__all__ = ["Visitor", "VisitorHeaders"]

Header = Callable[[bytes], Sequence[str]]
"""The values of a header, by its name in lower case."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What was read."""

    country: str | None = None
    opts_out: bool = False

    def added_to(self, handshake: HandshakeRequest) -> HandshakeRequest:
        """The handshake with that, and with what its ``?analytics=`` is. Raises ``HandshakeRejectedError``."""
        choice = handshake.query.get("analytics", "on")
        if choice not in ("on", "off"):
            raise HandshakeRejectedError(HTTPStatus.BAD_REQUEST, "analytics: on or off")
        opts_out = self.opts_out or choice == "off"
        if self.country is None and not opts_out:
            return handshake
        return replace(handshake, country=self.country, opts_out=opts_out)


_ANYONE = Visitor()


class VisitorHeaders:
    """Reads them. ``country_header``: its name; None: there is none. ``respect_do_not_track``: the other two count."""

    def __init__(self, country_header: str | None = None, *, respect_do_not_track: bool = True) -> None:
        self._country = None if country_header is None else country_header.lower().encode()
        self._respected = respect_do_not_track

    def read(self, header: Header, *, proxied: bool) -> Visitor:
        """What the headers have. ``proxied``: they come from a trusted proxy; a client can send any country."""
        country: str | None = None
        if proxied and self._country is not None:
            [country] = named if len(named := header(self._country)) == 1 else [None]
        opts_out = self._respected and ("1" in header(b"dnt") or "1" in header(b"sec-gpc"))
        return Visitor(country, opts_out) if opts_out or country is not None else _ANYONE
