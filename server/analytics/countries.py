"""The country that a client connects from: by its address, from a database of the operator in MaxMind's format; else as a
trusted proxy has named it. The address itself is not kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from engine.errors import RealtimeError
from server.analytics.counter import UNKNOWN_COUNTRY
from server.auth.identity import HandshakeRequest

if TYPE_CHECKING:
    import maxminddb

__all__ = ["Countries", "CountryDatabase", "CountryDatabaseError"]

_CODE: Final = re.compile(r"[A-Z]{2}")
_NO_COUNTRIES: Final = frozenset(("XX", "T1", UNKNOWN_COUNTRY))
"""What proxies send in place of a country: Cloudflare has XX for an unknown one and T1 for Tor."""

_log = structlog.get_logger(__name__)


class CountryDatabaseError(RealtimeError):
    """The database of countries cannot be read. ``reason``: why, in words; ``remedy``: what to do, a sentence."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason, self.remedy = reason, remedy


class CountryDatabase:
    """The file ``path``, read anew when it was replaced. Raises ``CountryDatabaseError``.

    It is held in memory and read by Python, about 40 microseconds for an address: a file that is mapped into memory ends the
    process when it is cut short in place, and so does maxminddb's reader in C (3.2.0) at some damaged records.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader, self._version = self._opened()
        self._damaged = False

    def country(self, address: str) -> str | None:
        """The code of ISO 3166-1; None: it is not known."""
        try:
            return _code_in(self._reader.get(address))
        except ValueError:  # no address, IPv6 in a database of IPv4, or a record that is no UTF-8
            return None
        except (RuntimeError, TypeError) as error:  # InvalidDatabaseError, or a record with keys of another type
            if not self._damaged:
                self._damaged = True
                _log.warning("country_database_unreadable", path=str(self._path), error=str(error))
            return None

    def renew(self) -> None:
        """Look whether the file was replaced. A new one that cannot be read is passed over."""
        try:
            if _version(self._path) == self._version:
                return
            reader, version = self._opened()
        except (CountryDatabaseError, OSError) as error:
            _log.warning("country_database_unreadable", path=str(self._path), error=str(error))
            return
        self._reader.close()
        self._reader, self._version, self._damaged = reader, version, False

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _opened(self) -> tuple[maxminddb.Reader, tuple[int, int, int]]:
        try:
            import maxminddb
        except ImportError as missing:
            raise CountryDatabaseError(
                "country_database needs the package maxminddb, which is not installed",
                "Run pip install 'bunbase-realtime[geo]', or remove the setting.",
            ) from missing
        try:
            version = _version(self._path)
            return maxminddb.open_database(self._path, maxminddb.MODE_MEMORY), version
        except (OSError, ValueError, TypeError, maxminddb.InvalidDatabaseError) as wrong:  # TypeError: of its metadata
            raise CountryDatabaseError(
                f"country_database: {self._path} cannot be read ({wrong})",
                "Name a file in MaxMind's format (.mmdb) that the server's user may read, or remove the setting.",
            ) from wrong


class Countries:
    """The country of each connection. ``database`` None: as the proxy has it, if ``header``."""

    def __init__(self, database: CountryDatabase | None, *, header: bool) -> None:
        self._lookup: Callable[[str], str | None] = (lambda _: None) if database is None else database.country
        self._counted = header or database is not None

    def of(self, handshake: HandshakeRequest) -> str | None:
        """Its code, or ``UNKNOWN_COUNTRY``; None: countries are not counted."""
        if not self._counted:
            return None
        found = None if handshake.ip is None else self._lookup(handshake.ip)
        return found or _code(handshake.country) or UNKNOWN_COUNTRY


def _version(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _code_in(record: object) -> str | None:
    """In a record of MaxMind's and DB-IP's databases ``country.iso_code``, in flat ones ``country_code`` or ``country``."""
    if not isinstance(record, dict):
        return None
    country = record.get("country")
    if isinstance(country, dict):
        return _code(country.get("iso_code"))
    return _code(record.get("country_code")) or _code(country)


def _code(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    code = text.strip().upper()
    return code if _CODE.fullmatch(code) and code not in _NO_COUNTRIES else None
