"""What headers have of a client for analytics: the country, if a trusted proxy has named it, and whether it wants to be
counted.

``DNT: 1`` is that of "Tracking Preference Expression" (W3C), ``Sec-GPC: 1`` that of "Global Privacy Control" (W3C).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from server.auth.identity import HandshakeRequest

__all__ = ["VisitorHeaders"]

Header = Callable[[bytes], Sequence[str]]
"""The values of a header, by its name in lower case."""


class VisitorHeaders:
    """Reads them. ``country_header``: its name; None: there is none. ``respect_do_not_track``: the other two count."""

    def __init__(self, country_header: str | None = None, *, respect_do_not_track: bool = True) -> None:
        self._country = None if country_header is None else country_header.lower().encode()
        self._respected = respect_do_not_track

    def read(self, handshake: HandshakeRequest, header: Header, *, proxied: bool) -> HandshakeRequest:
        """The handshake with what the headers have. ``proxied``: they come from a trusted proxy; a client can send any."""
        country: str | None = None
        if proxied and self._country is not None:
            [country] = named if len(named := header(self._country)) == 1 else [None]
        opts_out = self._respected and any("1" in header(name) for name in (b"dnt", b"sec-gpc"))
        return handshake if country is None and not opts_out else replace(handshake, country=country, opts_out=opts_out)
