"""Certificates for trying a cluster: an authority whose key is not kept, and a certificate for each server."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Certificate", "make_certificates"]

_VALID: Final = timedelta(days=365)
_EARLIER: Final = timedelta(hours=1)  # for clocks that are behind


class Certificate(NamedTuple):
    """PEM."""

    certificate: bytes
    key: bytes


def make_certificates(hosts: tuple[str, ...]) -> tuple[bytes, dict[str, Certificate]]:
    """The authority's certificate, and one for each host, for a year. Servers of a cluster are each other's clients, too."""
    issuer = _name("realtime nats-config")
    signer = ec.generate_private_key(ec.SECP256R1())
    authority = _signed(issuer, signer.public_key(), issuer, signer, None)
    made = {}
    for host in hosts:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(_name(host[:64]), key.public_key(), issuer, signer, host)
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        made[host] = Certificate(_pem(certificate), key.private_bytes(serialization.Encoding.PEM, *form))
    return _pem(authority), made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    """``host`` None: the authority's own."""
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=host is None,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(usage, critical=True)
    )
    if host is not None:
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        builder = builder.add_extension(both, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
