"""``realtime doctor``: the certificate of the server's own port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from server.app.settings import Settings
from server.app.tls import Certificate, CertificateError
from server.cli.doctor.finding import Finding

__all__ = ["certificate_findings"]


def certificate_findings(settings: Settings) -> Iterator[Finding]:
    """A problem if a server cannot start with it, or no client accepts it; a warning some days before that."""
    if settings.tls_certificate is None:
        return
    try:
        certificate = Certificate(settings.tls_certificate, settings.tls_key or settings.tls_certificate)
    except CertificateError as wrong:
        yield Finding("problem", str(wrong), "Correct tls_certificate and tls_key, or the files that they name.")
        return
    now = datetime.now(UTC)
    if (warning := certificate.warning(now)) is None:
        yield Finding("ok", f"the certificate is valid until {certificate.expires:%Y-%m-%d}")
    else:
        what, _, _ = warning.rpartition("; ")
        yield Finding(
            "problem" if certificate.expires <= now else "warn",
            what,
            "Renew it. A running server reads the new one within a minute.",
        )
