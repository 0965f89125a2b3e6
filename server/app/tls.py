"""TLS on the server's own port: the certificate, until when it is valid, and its renewal while the server runs.

TLS 1.2 or newer, with OpenSSL's choice of ciphers. A renewed certificate is for new connections; those that are open keep
the keys that they have agreed on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from server.app.settings import Settings, SettingsError
from server.app.uvicorn_http import HttpProtocol

__all__ = ["Certificate", "CertificateError", "certificate_of", "listening_with"]

_SOON: Final = timedelta(days=14)
"""Certificates of Let's Encrypt are renewed 30 days before their end: one that is this near has not been."""

_LOOK_INTERVAL: Final = 60.0  # seconds

_SHUTDOWN_TIMEOUT: Final = 2.0  # seconds for a client to answer that its connection ends

_log = structlog.get_logger("realtime.tls")


class CertificateError(SettingsError):
    """The certificate or its key cannot be used; the message names the file and the cause."""


class Certificate:
    """The certificate chain and the key in two PEM files, or in one. Raises ``CertificateError``.

    ``context``: what the listener is given. ``expires``: the end of the server's own certificate.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain, self._key = chain, key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        self.context.set_alpn_protocols(["http/1.1"])
        self._read = self._contents()
        self._load_into(self.context)
        self.expires = self._end(self._read[0])

    def warning(self, now: datetime) -> str | None:
        """What is wrong with the time of the certificate, with the remedy behind the last semicolon."""
        if now < self.expires - _SOON:
            return None
        tense = "expired" if self.expires <= now else "expires"
        return f"the certificate {self._chain} {tense} at {self.expires:%Y-%m-%d %H:%M} UTC; renew it"

    def renew(self) -> bool:
        """Read the files again; returns whether they have changed, and new connections get the new certificate.

        Raises ``CertificateError`` and goes on with the certificate that it has if the files are of no use, for instance
        because the key is not yet written.
        """
        found = self._contents()
        if found == self._read:
            return False
        expires = self._end(found[0])
        # A context whose certificate and key do not match serves no client: they are tried on another one.
        self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._load_into(self.context)
        self._read, self.expires = found, expires
        return True

    async def follow(self) -> None:
        """Look for a renewed certificate, without end."""
        failed = ""
        while True:
            await asyncio.sleep(_LOOK_INTERVAL)
            try:
                if self.renew():
                    _log.info("certificate_renewed", expires=self.expires.isoformat())
                failed = ""
            except CertificateError as wrong:
                if str(wrong) != failed:  # once for each reason
                    _log.warning("certificate_not_renewed", reason=str(wrong))
                failed = str(wrong)

    def _contents(self) -> tuple[bytes, bytes]:
        try:
            return self._chain.read_bytes(), self._key.read_bytes()
        except OSError as wrong:
            raise CertificateError(f"{wrong.filename} cannot be read: {wrong.strerror}") from wrong

    def _load_into(self, context: ssl.SSLContext) -> None:
        def no_password() -> str:
            raise CertificateError(
                f"the key in {self._key} is encrypted; store it without a password: openssl pkey -in {self._key}"
            )

        try:
            context.load_cert_chain(self._chain, self._key, no_password)
        except ssl.SSLError as wrong:
            if wrong.reason == "KEY_VALUES_MISMATCH":
                raise CertificateError(
                    f"the key in {self._key} is not the key of the certificate in {self._chain}; give the pair"
                ) from wrong
            raise CertificateError(
                f"{self._chain} and {self._key} are not a certificate and its key in PEM ({wrong.reason or wrong}); the "
                "server's own certificate comes first, those of intermediate authorities after it"
            ) from wrong

    def _end(self, chain: bytes) -> datetime:
        from cryptography import x509  # here and not above: few servers have TLS of their own

        try:
            return x509.load_pem_x509_certificate(chain).not_valid_after_utc
        except ValueError as wrong:
            raise CertificateError(f"{self._chain} has no certificate in PEM: {wrong}") from wrong


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate that the settings name, None without TLS. Raises ``CertificateError``; warns of its end in the log."""
    if settings.tls_certificate is None:
        return None
    certificate = Certificate(settings.tls_certificate, settings.tls_key or settings.tls_certificate)
    if (warning := certificate.warning(datetime.now(UTC))) is not None:
        _log.warning("certificate_ends", reason=warning)
    return certificate


def listening_with(certificate: Certificate | None) -> Mapping[str, Any]:
    """What ``loop.create_server`` is given: TLS, in which uvicorn leaves a client that ends neither a handshake nor a
    connection a minute. Empty without a certificate.
    """
    if certificate is None:
        return {}
    return {
        "ssl": certificate.context,
        "ssl_handshake_timeout": HttpProtocol.head_timeout,
        "ssl_shutdown_timeout": _SHUTDOWN_TIMEOUT,
    }
